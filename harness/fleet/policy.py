# SPDX-License-Identifier: Apache-2.0
"""Which shard goes to which host next; pure, so that the simulation and the night run the very same lines.

Scarce before plentiful, long before short: a shard that few hosts can carry is placed first, and of those
that equally many can carry the longest.  It goes to a host that has its image already, then to the one whose
cores and memory stay in balance, then to the least loaded.  Nothing waits in a host's own queue: what is not
begun can still go elsewhere (dask.distributed assigns such work ahead of time, and a broken host keeps it).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from harness.fleet.shards import Kind, Needs, Shard

#: MiB of disk that stay free beside images: results, templates, overlays of running guests.
DISK_LEFT_MIB = 4096


@dataclass
class Load:
    """A host as it can be loaded: what it has, and what of it is taken now.

    `closed` says why it takes no further lease; None where it does.
    """

    name: str
    cores: int
    memory_mib: int
    disk_mib: int
    accelerator: Kind
    images: set[str]
    closed: str | None = None
    cores_taken: int = 0
    memory_taken: int = 0
    guests: list[str] = field(default_factory=list)

    def able(self, needs: Needs) -> bool:
        """Whether it could carry this at all, were nothing else on it."""
        return (
            self.closed is None
            and needs.cores <= self.cores
            and needs.memory_mib <= self.memory_mib
            and needs.accelerator in (None, self.accelerator)
            and self._has_room_for(needs)
        )

    def lacks(self, needs: Needs) -> str:
        """Why it could not carry this, for people."""
        if self.closed is not None:
            return self.closed
        lacking = []
        if needs.cores > self.cores:
            lacking.append(f"lends {self.cores} of {needs.cores} cores")
        if needs.memory_mib > self.memory_mib:
            lacking.append(f"lends {self.memory_mib} of {needs.memory_mib} MiB")
        if needs.accelerator not in (None, self.accelerator):
            lacking.append(f"has {self.accelerator.upper()} where {needs.accelerator.upper()} is needed")
        if not self._has_room_for(needs):
            wanted = (needs.image_bytes >> 20) + DISK_LEFT_MIB
            lacking.append(f"has {self.disk_mib} of {wanted} MiB of disk for the image")
        return ", ".join(lacking) or "could carry it"

    def fits(self, needs: Needs) -> bool:
        """Whether it can carry this now."""
        return (
            self.able(needs)
            and self.cores_taken + needs.cores <= self.cores
            and self.memory_taken + needs.memory_mib <= self.memory_mib
            and not (needs.alone and needs.guest in self.guests)
        )

    def take(self, needs: Needs) -> None:
        """A lease begins."""
        self.cores_taken += needs.cores
        self.memory_taken += needs.memory_mib
        self.guests.append(needs.guest)
        if needs.image not in self.images:
            self.images.add(needs.image)
            self.disk_mib -= needs.image_bytes >> 20

    def give_back(self, needs: Needs) -> None:
        """A lease has ended."""
        self.cores_taken -= needs.cores
        self.memory_taken -= needs.memory_mib
        self.guests.remove(needs.guest)

    def _has_room_for(self, needs: Needs) -> bool:
        return needs.image in self.images or self.disk_mib - (needs.image_bytes >> 20) >= DISK_LEFT_MIB

    def cost(self, needs: Needs) -> tuple[bool, float, float]:
        """Less is better."""
        cores = (self.cores_taken + needs.cores) / self.cores
        memory = (self.memory_taken + needs.memory_mib) / self.memory_mib
        return needs.image not in self.images, abs(cores - memory), max(cores, memory)


_Class = tuple[Needs, frozenset[str]]


class Waiting:
    """Shards that are to be placed, by what they need."""

    def __init__(self, shards: Iterable[Shard] = ()) -> None:
        self._number = itertools.count()
        self._by: dict[_Class, list[tuple[float, int, Shard]]] = {}
        self._able: dict[tuple[Needs, int], int] = {}
        for shard in shards:
            self.add(shard)

    def __len__(self) -> int:
        return sum(map(len, self._by.values()))

    def __iter__(self) -> Iterator[Shard]:
        return iter([shard for heap in self._by.values() for _, _, shard in heap])

    def add(self, shard: Shard) -> None:
        """One more, or one again."""
        heap = self._by.setdefault((shard.needs, shard.avoid), [])
        heapq.heappush(heap, (-shard.seconds, next(self._number), shard))

    def drop_cell(self, cell: str) -> list[Shard]:
        """Takes all of a cell away; gives them."""
        gone: list[Shard] = []
        for key, heap in list(self._by.items()):
            gone += [entry[2] for entry in heap if entry[2].cell == cell]
            self._by[key] = [entry for entry in heap if entry[2].cell != cell]
            heapq.heapify(self._by[key])
            if not self._by[key]:
                del self._by[key]
        return gone

    def classes(self) -> list[tuple[_Class, Shard]]:
        """One entry for each kind of need, with the longest shard of it."""
        return [(key, heap[0][2]) for key, heap in self._by.items()]

    def scarcity(self, needs: Needs, hosts: Sequence[Load]) -> int:
        """How many of the hosts could carry this; counted anew when a host was closed or opened."""
        key = needs, sum(host.closed is None for host in hosts)
        if key not in self._able:
            self._able[key] = sum(host.able(needs) for host in hosts)
        return self._able[key]

    def pop(self, key: _Class) -> Shard:
        """The longest shard of a kind, taken."""
        shard = heapq.heappop(self._by[key])[2]
        if not self._by[key]:
            del self._by[key]
        return shard


def place(waiting: Waiting, hosts: Sequence[Load], most: int | None = None) -> list[tuple[Shard, Load]]:
    """What begins now, and where; it is taken from `waiting` and from what the hosts have left.

    ``most``: how many shards may be begun.
    """
    placed: list[tuple[Shard, Load]] = []
    free = [host for host in hosts if host.closed is None and host.cores_taken < host.cores]
    full: set[_Class] = set()
    while free and (most is None or len(placed) < most):
        fitting: dict[_Class, list[Load]] = {}
        heads: dict[_Class, Shard] = {}
        for key, head in waiting.classes():
            if key not in full:
                found = [host for host in _allowed(free, hosts, *key) if host.fits(key[0])]
                if found:
                    fitting[key], heads[key] = found, head
                else:
                    full.add(key)  # what is placed only makes less room
        if not fitting:
            break
        chosen = min(fitting, key=lambda key: (waiting.scarcity(key[0], hosts), -heads[key].seconds))
        needs = chosen[0]
        host = min(fitting[chosen], key=lambda one: one.cost(needs))
        placed.append((waiting.pop(chosen), host))
        host.take(needs)
        if host.cores_taken >= host.cores:
            free.remove(host)
    return placed


def _allowed(
    free: Sequence[Load], hosts: Sequence[Load], needs: Needs, avoid: frozenset[str]
) -> Sequence[Load]:
    """Not where it has failed, while another host could carry it."""
    if not avoid or not any(host.name not in avoid and host.able(needs) for host in hosts):
        return free
    return [host for host in free if host.name not in avoid]


def carriers(needs: Needs, hosts: Iterable[Load]) -> list[Load]:
    """The hosts that could carry this, were nothing else on them."""
    return [host for host in hosts if host.able(needs)]


def at_once(needs: Needs, hosts: Iterable[Load]) -> int:
    """How many leases of this all hosts together could carry at the same time, were nothing else on them."""
    found = 0
    for host in carriers(needs, hosts):
        several = min(host.cores // needs.cores, host.memory_mib // needs.memory_mib)
        found += min(several, 1) if needs.alone else several
    return found
