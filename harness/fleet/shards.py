# SPDX-License-Identifier: Apache-2.0
"""What a part of a cell needs of a host, and how a cell is cut into parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

#: MiB of a lease beside its guests: pytest, libvirt, what QEMU needs itself.
BESIDE_MIB = 400
#: Guests of one lease: the one in use, and the one that is forked ahead.
GUESTS = 2
#: Shards for each lease that can be at work at the same time: the last ones even the hosts out.
_ROUNDS = 4
#: Seconds of work for which an idle guest is worth a journey, however long shards are to be.
_WORTH = 10.0
#: Scenarios of one shard: they are named one by one on a command line.
MOST_ITEMS = 1000

Kind = Literal["kvm", "tcg"]


@dataclass(frozen=True)
class Needs:
    """What a host must have for a shard.

    `image` is the digest of the guest's image and `image_bytes` what it takes on the disk of a host that has
    it not yet; `alone`: the guest holds a device, of which there is one.  `accelerator`: all of a cell run on
    one kind, since what they give is compared.
    """

    guest: str
    image: str
    memory_mib: int
    cores: int = 1
    image_bytes: int = 0
    accelerator: Kind | None = None
    alone: bool = False


@dataclass(frozen=True)
class Shard:
    """A part of a cell: items that one lease runs; `seconds` is how long that is expected to take.

    `keys` are the items' node ids, `avoid` the hosts on which it has failed, `tries` how often, and
    `silences` how often the host that had it fell silent.
    """

    id: str
    cell: str
    needs: Needs
    keys: tuple[str, ...]
    seconds: float
    avoid: frozenset[str] = field(default_factory=frozenset)
    tries: int = 0
    silences: int = 0


def split(
    cell: str,
    needs: Needs,
    items: Sequence[tuple[str, float]],
    at_once: int,
    most: int | None = None,
    least: float = 60.0,
    beside_it: float = 0.0,
) -> list[Shard]:
    """A cell's items, each with the seconds that it takes, as shards of about the same length, in order.

    Args:
        cell: its name.
        needs: of each shard.
        items: node ids with seconds.
        at_once: how many leases could be at work at the same time on all hosts.
        most: how many may, where the user has said it.
        least: seconds of a shard, if its cell has so many: a lease has to be worth its journey.
        beside_it: seconds of other cells that the same hosts have to do anyway, so that none of them is idle.
    """
    beside = max(1, min(at_once, most or at_once))
    whole = sum(seconds for _, seconds in items)
    wanted = max(least, whole / (beside * _ROUNDS)) if beside > 1 else float("inf")
    if whole / beside >= _WORTH:  # no guest is idle that could have so much
        wanted = min(wanted, (whole + beside_it) / beside)
    wanted = whole / max(1, round(whole / wanted))  # no small rest
    found: list[list[tuple[str, float]]] = []
    length = 0.0
    for item in items:
        if not found or length + item[1] / 2 > wanted or len(found[-1]) >= MOST_ITEMS:
            found.append([])
            length = 0.0
        found[-1].append(item)
        length += item[1]
    return [
        Shard(f"{cell}/{number}", cell, needs, tuple(key for key, _ in part), sum(s for _, s in part))
        for number, part in enumerate(found, start=1)
    ]
