# SPDX-License-Identifier: Apache-2.0
"""A night with fake leases: the very policy of `harness.fleet.policy`, and time that merely passes.

``python -m harness.fleet.simulation`` prints what 10,000 cells on 200 hosts take, and what the bound is.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.fleet.blame import Blame
from harness.fleet.policy import Load, Waiting, place
from harness.fleet.shards import Needs, Shard

#: Seconds, as measured (docs/performance.md, docs/hosts.md): a lease with its process up to its first
#: request; the templates of a target on a host that has not had it; a gibibyte of an image on its way.
LEASE, TEMPLATE, GIBIBYTE = 4.0, 15.0, 10.0
#: Seconds after which a silent host's leases are given up.
SILENCE = 60.0


@dataclass
class Outcome:
    """`seconds` until the last shard ended, `runs` how often each was begun, and who was quarantined."""

    seconds: float = 0.0
    runs: dict[str, int] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    quarantined: dict[str, str] = field(default_factory=dict)


def simulate(
    shards: Sequence[Shard],
    hosts: Sequence[Load],
    *,
    dies: Mapping[str, float] | None = None,
    broken: frozenset[str] = frozenset(),
) -> Outcome:
    """Plays a night to its end.

    Args:
        shards: all of it.
        hosts: empty ones; they are loaded.
        dies: when hosts fall silent for ever, by name, in seconds.
        broken: hosts on which every lease comes to nothing after the time of a lease.
    """
    waiting, blame, outcome = Waiting(shards), Blame(), Outcome()
    number, at = itertools.count(), 0.0
    events: list[tuple[float, int, str, Shard, Load]] = []
    warm: set[tuple[str, str]] = set()
    dead = dict(dies or {})
    while True:
        had = {host.name: set(host.images) for host in hosts if host.closed is None}
        for shard, host in place(waiting, hosts):
            outcome.runs[shard.id] = outcome.runs.get(shard.id, 0) + 1
            takes = LEASE
            if shard.needs.image not in had[host.name]:
                takes += GIBIBYTE * shard.needs.image_bytes / 2**30
                had[host.name].add(shard.needs.image)
            if (host.name, shard.needs.guest) not in warm:
                warm.add((host.name, shard.needs.guest))
                takes += TEMPLATE
            takes += 0.0 if host.name in broken else shard.seconds
            dying = dead.get(host.name)
            lost = dying is not None and at + takes > dying
            end = max(at, dying or 0.0) + SILENCE if lost else at + takes
            what = "lost" if lost else "failed" if host.name in broken else "ended"
            heapq.heappush(events, (end, next(number), what, shard, host))
        if not events:
            break
        at, _, what, shard, host = heapq.heappop(events)
        host.give_back(shard.needs)
        if what == "ended":
            outcome.ended[shard.id] = host.name
            blame.worked(shard.cell)
            outcome.seconds = at
            continue
        if what == "lost":
            host.closed = "silent"
        reason = "the host fell silent" if what == "lost" else "no guest can be had"
        blame.failed(host.name, shard.id, shard.cell, reason, what if what == "lost" else str(next(number)))
        sentence = blame.sentence(host.name, others=len(hosts) > 1)
        if sentence is not None and host.closed is None:
            host.closed = outcome.quarantined[host.name] = sentence
        waiting.add(replace(shard, avoid=blame.hosts_of(shard.id), tries=shard.tries + 1))
    return outcome


def bound(shards: Sequence[Shard], hosts: Sequence[Load]) -> float:
    """Seconds that no policy can do with less: what cores and memory give together, and the longest shard.

    For every set of shards that only some of the hosts can carry, too: these hosts have no more to give.
    """
    least = max((shard.seconds for shard in shards), default=0.0)
    able: dict[Needs, frozenset[str]] = {
        needs: frozenset(host.name for host in hosts if host.able(needs))
        for needs in {s.needs for s in shards}
    }
    for names in set(able.values()):
        of_these = [shard for shard in shards if able[shard.needs] <= names]
        cores = sum(host.cores for host in hosts if host.name in names)
        memory = sum(host.memory_mib for host in hosts if host.name in names)
        least = max(
            least,
            sum(shard.seconds * shard.needs.cores for shard in of_these) / max(cores, 1),
            sum(shard.seconds * shard.needs.memory_mib for shard in of_these) / max(memory, 1),
        )
    return least


def example(cells: int = 10_000, hosts: int = 200, seed: int = 1) -> tuple[list[Shard], list[Load]]:
    """A night of eight kernels on hosts of four sizes; a tenth of the hosts has no KVM."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    kinds = [("wine", 2 * 448 + 400, 1, 2**30), ("wine13", 2 * 448 + 400, 1, 2**30)]
    kinds += [(f"windows-{n}", 2 * (2048 + 1024 * (n % 3)) + 400, 1 + n % 2, 12 * 2**30) for n in range(6)]
    shards = []
    for n in range(cells):
        guest, memory, cores, size = dice.choice(kinds)
        needs = Needs(guest, f"{guest}-image", memory, cores, size, None if "wine" in guest else "kvm")
        shards.append(Shard(f"cell-{n}", f"cell-{n}", needs, (f"k{n}",), dice.lognormvariate(5.2, 0.6)))
    sizes = [(4, 16), (8, 32), (16, 64), (32, 96)]
    loads = []
    for n in range(hosts):
        cores, gib = sizes[n % len(sizes)]
        kind = "tcg" if n % 10 == 9 else "kvm"
        loads.append(Load(f"h{n}", cores, gib * 1024, 400 * 1024, kind, set()))  # type: ignore[arg-type]
    return shards, loads


if __name__ == "__main__":
    _shards, _hosts = example()
    _least = bound(_shards, _hosts)
    _took = simulate(_shards, _hosts).seconds
    _said = f"{len(_shards):,} cells on {len(_hosts)} hosts: {_took:,.0f} s"
    print(f"{_said}; bound {_least:,.0f} s; {_took / _least:.3f}")
