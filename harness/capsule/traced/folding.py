# SPDX-License-Identifier: Apache-2.0
"""What was done over and over in a trace, done once: blocks of steps that follow their like are left out.

Two steps are alike when they differ in the numbers of their arguments, in how often they are sent, and in
what their objects and requests are called, at most.  A block is left out only if it ends what it begins:
objects that were open at the same time stay several.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.capsule.traced.steps import Step

#: Keys that name an object or a request; by the first two a step gives a name.
_GIVES = ("name", "start")
_NAMES = (*_GIVES, "on", "filter", "connect_to", "request")
#: What else need not be equal.
_VARIES = frozenset({*_NAMES, "argument1", "argument2", "repeat"})
#: Steps of a block that is looked for.
_LONGEST = 60

Kind = tuple[tuple[str, str], ...]


def kind(step: Step) -> Kind:
    """What alike steps have in common."""
    return tuple(sorted((key, str(value)) for key, value in step.items() if key not in _VARIES))


def given(step: Step) -> list[str]:
    """The names that a step gives to an object or a request."""
    return [step[key] for key in _GIVES if step.get(key) is not None]


def renamed(step: Step, names: dict[str, str]) -> Step:
    """The same about other objects and requests."""
    return {key: names.get(value, value) if key in _NAMES else value for key, value in step.items()}


def folded(steps: Sequence[Step]) -> list[Step]:
    """The steps without blocks that repeat the block before them."""
    last: dict[str, int] = {}
    for place, step in enumerate(steps):
        last.update((step[key], place) for key in _NAMES if step.get(key) is not None)
    kept: list[Step] = []
    kinds: list[Kind] = []
    for place, step in enumerate(steps):
        kept.append(step)
        kinds.append(kind(step))
        while count := _repeated(kept, kinds, last, place):
            del kept[-count:], kinds[-count:]
    return kept


def _repeated(kept: Sequence[Step], kinds: Sequence[Kind], last: dict[str, int], place: int) -> int:
    """How many steps at the end are like as many before them; 0 where none are."""
    for count in range(1, min(_LONGEST, len(kept) // 2) + 1):
        if kinds[-count:] != kinds[-2 * count : -count]:
            continue
        again = kept[-count:]
        ended = all(last[name] <= place for step in again for name in given(step))
        if ended and _alike(kept[-2 * count : -count], again):
            return count
    return 0


def _alike(block: Sequence[Step], other: Sequence[Step]) -> bool:
    """Whether two blocks of the same kinds are about their objects in the same way."""
    names: dict[str, str] = {}
    for one, two in zip(block, other, strict=True):
        for key in _NAMES:
            if (one.get(key) is None) != (two.get(key) is None):
                return False
            if one.get(key) is None:
                continue
            if key in _GIVES:
                names[one[key]] = two[key]
            elif names.get(one[key], one[key]) != two[key]:
                return False
    return True
