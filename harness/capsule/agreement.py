# SPDX-License-Identifier: Apache-2.0
"""Whether what came now is what came then: by cause, and by the numbers of the status blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from harness.capsule.seen import Seen
from harness.verdict import Verdict


class Outcome(StrEnum):
    """What one playing says of the failure."""

    REPRODUCED = "reproduced"
    DIFFERENT = "different"
    NOT_REPRODUCED = "not reproduced"


@dataclass(frozen=True, slots=True)
class Difference:
    """One number of a status block that came otherwise: which step, which field, then and now."""

    step: str
    field: str
    then: Any
    now: Any


def outcome(then: Seen, now: Seen) -> Outcome:
    """Reproduced: it fails with the same cause (docs/results.md); different: it fails otherwise.

    Of what was recorded, and shows no failure itself, nobody knows the cause: then any failure is that one.
    """
    if now.scenario["verdict"] == Verdict.PASSED:
        return Outcome.NOT_REPRODUCED
    before, after = then.cause, now.cause
    same = before is None or (after is not None and before.key == after.key)
    return Outcome.REPRODUCED if same else Outcome.DIFFERENT


def differences(then: Seen, now: Seen) -> Iterator[Difference]:
    """Fields of the status blocks that differ; steps are told by their place in the scenario."""
    for before, after in zip(_blocks(then), _blocks(now), strict=False):
        for name, value in before[1].items():
            other = after[1].get(name)
            if name == "data" and isinstance(other, str) and other.startswith(str(value)):
                continue  # a trace has the begin of long data
            if value != other:
                yield Difference(before[0], name, value, other)


def tally(outcomes: Iterable[Outcome]) -> Counter[Outcome]:
    """How often each came."""
    found: Counter[Outcome] = Counter(dict.fromkeys(Outcome, 0))
    found.update(outcomes)
    return found


def _blocks(seen: Seen) -> list[tuple[str, Mapping[str, Any]]]:
    """Of each step of the scenario's own, its name, the numbers of its status block, a property's data."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for step in seen.steps:
        if step["do"] == "setup":
            continue
        block = step.get("status_block") or {}
        numbers = dict(block.get("numbers") or {})
        if step["do"] == "property_get" and block.get("output"):
            numbers["data"] = str(block["output"])
        found.append((str(step["name"]), numbers))
    return found
