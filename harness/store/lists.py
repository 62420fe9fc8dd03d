# SPDX-License-Identifier: Apache-2.0
"""Lists of answers: loaded, and compared field by field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from harness.store.interning import among
from harness.store.models import NUMBERS, Answer, StatusBlock, Step
from harness.store.values import Value, fields_of

#: The field of a step of which nothing is there to be compared with.
PRESENCE = "step"


@dataclass(frozen=True, slots=True)
class ListedStep:
    """One step of a list; `fields` are what came back, by name; none where nothing did."""

    position: int
    do: str
    name: str
    route: str | None
    mode: str | None
    request: str
    verdict: str
    reason: str | None
    fields: Mapping[str, Value]


Listed = tuple[ListedStep, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A field of a step that differs; `position` is that of the step in the later list."""

    position: int
    step: str
    field: str
    before: Value
    now: Value


def load_lists(connection: Connection, numbers: Collection[int]) -> dict[int, Listed]:
    """Lists by their ids."""
    found: dict[int, list[ListedStep]] = {number: [] for number in numbers}
    answers = select(
        Answer.answers_id,
        Answer.position,
        Answer.step_id,
        Answer.status_block_id,
        Answer.verdict,
        Answer.reason,
    )
    rows = list(among(connection, answers, Answer.answers_id, numbers))
    of_steps = select(Step.id, Step.do, Step.name, Step.route, Step.mode, Step.request)
    steps: dict[int, list[Any]] = {
        row[0]: [*row[1:]] for row in among(connection, of_steps, Step.id, {row.step_id for row in rows})
    }
    names = ("outcome", "protocol", "seen", *NUMBERS)
    columns = [getattr(StatusBlock, name) for name in names]
    ids = {row.status_block_id for row in rows if row.status_block_id is not None}
    blocks = {
        row[0]: fields_of(dict(zip(names, row[1:], strict=True)))
        for row in among(connection, select(StatusBlock.id, *columns), StatusBlock.id, ids)
    }
    for row in sorted(rows, key=lambda row: (row.answers_id, row.position)):
        fields = blocks.get(row.status_block_id, {}) if row.status_block_id is not None else {}
        said: list[Any] = [row.position, *steps[row.step_id], row.verdict, row.reason, fields]
        found[row.answers_id].append(ListedStep(*said))
    return {number: tuple(listed) for number, listed in found.items()}


def differences(before: Listed, now: Listed) -> Iterator[Change]:
    """The fields that differ between two lists of one scenario.

    Steps belong together by kind, name and turn: where another guest needs other preparations their
    positions differ.  A step that only one of them has is one change, of the field `PRESENCE`.
    """
    earlier, later = _placed(before), _placed(now)
    for place, step in later.items():
        other = earlier.get(place)
        if other is None:
            yield Change(step.position, step.name, PRESENCE, None, "sent")
            continue
        names = dict.fromkeys([*other.fields, *step.fields])
        for name in names:
            old, new = other.fields.get(name), step.fields.get(name)
            if old != new:
                yield Change(step.position, step.name, name, old, new)
    for place, step in earlier.items():
        if place not in later:
            yield Change(step.position, step.name, PRESENCE, "sent", None)


def _placed(listed: Listed) -> dict[tuple[str, str, int], ListedStep]:
    turns: Counter[tuple[str, str]] = Counter()
    placed = {}
    for step in listed:
        place = (step.do, step.name)
        placed[(*place, turns[place])] = step
        turns[place] += 1
    return placed
