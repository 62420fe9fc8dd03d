# SPDX-License-Identifier: Apache-2.0
"""A scenario that fails in a count (docs/scenarios.md, "What is kept"), in pieces that leave it repeating.

What leaks is told by how it grows with what is done between counts.  So a kind of step goes from between all
counts of a series at once, or stays as often as it was: `events` of each count remains true.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.capsule.seen import Seen
from harness.capsule.smaller import Piece
from harness.language.model import (
    Close,
    Counters,
    OpenDevice,
    OpenFilter,
    OpenPin,
    Scenario,
    Share,
    Wait,
)
from harness.verdict import Verdict

#: Keys that say how often something is done: they stay with their steps.
OFTEN = frozenset({"repeat", "threads", "events"})
#: By what a name differs from round to round.
_ROUND = re.compile(r"(?:_r?\d+)+$")
_NAMES = frozenset({"name", "on", "filter", "connect_to", "start", "request"})
_OTHERWISE = frozenset({"argument1", "argument2", "note", *OFTEN})
#: Counts of a series, of which the last is judged.
_SERIES = 3


def fails_in_a_count(seen: Seen) -> bool:
    """Whether what failed is that something was kept."""
    guilty = next((step for step in seen.steps if step["verdict"] == seen.scenario["verdict"]), None)
    return seen.scenario["verdict"] == Verdict.FAILED and guilty is not None and guilty["do"] == "counters"


def holds_more(scenario: Scenario) -> bool:
    """Whether more is open, or under way, at one count of a series than at the one before.

    Then more is kept with every driver, a sound one too, so that nothing smaller of a leak is shown by it.
    """
    held: set[str] = set()
    before: int | None = None
    for step in scenario.steps:
        if isinstance(step, Counters):
            if step.events and before is not None and len(held) > before:
                return True
            before = len(held)
        elif isinstance(step, OpenPin | OpenFilter | OpenDevice | Share) and step.expect == "success":
            held.add(step.name)
        elif isinstance(step, Close) and not step.keep:
            held.discard(step.on)
        elif isinstance(step, Wait):
            held.discard(f"{step.request}, asked")
        elif getattr(step, "start", None) is not None:
            held.add(f"{getattr(step, 'start', None)}, asked")
    return False


def together(scenario: Scenario, pieces: Sequence[Piece]) -> list[tuple[Piece, ...]]:
    """The pieces in groups that are left out together, in the order in which each group begins.

    Args:
        scenario: the scenario.
        pieces: of `smaller.pieces`.
    """
    parts = _parts(scenario)
    groups: dict[tuple[object, ...], list[Piece]] = {}
    for kind, place, key in pieces:
        group = (kind, place, key) if kind == "open" else (kind, *parts[place], key)
        groups.setdefault(group, []).append((kind, place, key))
    return [tuple(group) for group in groups.values()]


def _parts(scenario: Scenario) -> list[tuple[object, ...]]:
    """Of each step by what it belongs to others: series, before or between its counts, and kind."""
    parts: list[tuple[object, ...]] = []
    series = counts = 0
    for place, step in enumerate(scenario.steps):
        if isinstance(step, Counters):
            counts = counts + 1 if step.events else 1
            parts.append((place,))
            if counts == _SERIES:
                series, counts = series + 1, 0
            continue
        said = {
            key: _ROUND.sub("", str(value)) if key in _NAMES else str(value)
            for key, value in step.model_dump(exclude_unset=True).items()
            if key not in _OTHERWISE
        }
        parts.append((series, counts > 0, str(sorted(said.items()))))
    return parts
