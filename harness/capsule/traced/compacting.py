# SPDX-License-Identifier: Apache-2.0
"""Steps of a trace made fewer, as a scenario may have: rows of the same request become repeats.

Rows are found of requests that are the same, whose lengths grow by the same number each time, and whose
protocol differs in one bit after the other.  What is too long even then loses what was there before: the same
request with the same answer.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from harness.capsule.traced.events import Event
from harness.capsule.traced.steps import SIZE, Step, length
from harness.capsule.traced.translating import Translated
from harness.language.model import Target

#: Of a scenario.
MOST_STEPS = 190
#: Rows shorter than this stay single requests, which say more.
_LEAST_ROW = 8
_MOST_REPEATS = 1_000_000


@dataclass
class Row:
    """One step, and the events that it stands for."""

    step: Step
    events: list[Event | None]


def all_rows(translated: Translated, target: Target) -> list[Row]:
    """The steps as rows, however many."""
    single = [
        Row(dict(step), [event]) for step, event in zip(translated.steps, translated.events, strict=True)
    ]
    return _same(_bits(_strides(single), target))


def rows(translated: Translated, target: Target) -> tuple[list[Row], list[str]]:
    """The steps as rows, and remarks about what was left out."""
    found = all_rows(translated, target)
    if len(found) <= MOST_STEPS:
        return found, []
    fewer = _without_seen_before(found)
    remarks = [f"{len(found) - len(fewer)} requests that were asked and answered before are left out"]
    if len(fewer) > MOST_STEPS:
        kept = _first(fewer)
        remarks.append(f"of {len(fewer)} steps the last {len(fewer) - len(kept)} are left out")
        fewer = kept
    return fewer, remarks


def _is_single(step: Step) -> bool:
    return step["do"] == "handshake" and "start" not in step and "repeat" not in step


def _same(steps: Sequence[Row]) -> list[Row]:
    found: list[Row] = []
    for row in steps:
        last = found[-1] if found else None
        if last is not None and _is_single(row.step):
            alike = {key: value for key, value in last.step.items() if key != "repeat"}
            varied = {"in_stride", "out_stride", "vary", "start"} & last.step.keys()
            if alike == row.step and not varied and last.step.get("repeat", 1) < _MOST_REPEATS:
                last.step["repeat"] = last.step.get("repeat", 1) + 1
                last.events += row.events
                continue
        found.append(row)
    return found


def _lengths(row: Row) -> tuple[int, int] | None:
    event = row.events[0]
    if not _is_single(row.step) or event is None or {"in_buffer", "out_buffer", "control"} & row.step.keys():
        return None
    return event.in_length, event.out_length


def _but_lengths(step: Step) -> Step:
    return {key: value for key, value in step.items() if key not in ("in_length", "out_length", "input")}


def _strides(steps: Sequence[Row]) -> list[Row]:
    found: list[Row] = []
    place = 0
    while place < len(steps):
        count = _stride_row(steps, place)
        if count < _LEAST_ROW:
            found.append(steps[place])
            place += 1
            continue
        found.append(_strided(steps[place : place + count]))
        place += count
    return found


def _stride_row(steps: Sequence[Row], place: int) -> int:
    """How many from here on differ by the same strides; 1 where the next one does not belong to them."""
    count, stride = 1, None
    while place + count < len(steps):
        before, after = _lengths(steps[place + count - 1]), _lengths(steps[place + count])
        if before is None or after is None:
            break
        grown = after[0] - before[0], after[1] - before[1]
        if grown == (0, 0) or min(grown) < 0 or (stride is not None and grown != stride):
            break
        if not _belongs(steps[place].step, steps[place + count].step):
            break
        stride = grown
        count += 1
    return count


def _belongs(first: Step, other: Step) -> bool:
    """Whether two differ in lengths alone, as far as what was too short to be seen allows to say it."""
    one, two = _but_lengths(first), _but_lengths(other)
    unseen = {"protocol", "argument1", "argument2"}
    both = one.keys() & two.keys()
    return all(one[key] == two[key] for key in both) and (one.keys() ^ two.keys()) <= unseen


def _strided(row: Sequence[Row]) -> Row:
    first, second = _lengths(row[0]), _lengths(row[1])
    assert first is not None and second is not None
    fullest = max((_but_lengths(each.step) for each in row), key=len)
    step = {**fullest, "repeat": len(row)}
    for key, number, stride in (
        ("in_length", first[0], second[0] - first[0]),
        ("out_length", first[1], second[1] - first[1]),
    ):
        if number != SIZE:
            step[key] = length(number)
        if stride:
            step[key.replace("length", "stride")] = stride
    return Row(step, [event for each in row for event in each.events])


def _bits(steps: Sequence[Row], target: Target) -> list[Row]:
    """Protocols that differ from one in one bit each, from the lowest bit on."""
    found: list[Row] = []
    place = 0
    while place < len(steps):
        base, count = _bit_row(steps, place, target)
        if base is None or count < _LEAST_ROW:
            found.append(steps[place])
            place += 1
            continue
        members = steps[place : place + count]
        step = {**members[0].step, "protocol": base, "vary": "protocol", "repeat": count}
        found.append(Row(step, [event for each in members for event in each.events]))
        place += count
    return found


def _protocol(row: Row) -> int | None:
    event = row.events[0]
    content = event.input if event is not None else None
    if not _is_single(row.step) or content is None or content.protocol is None or "input" in row.step:
        return None
    return int.from_bytes(content.protocol.bytes_le, "little")


def _bit_row(steps: Sequence[Row], place: int, target: Target) -> tuple[str | None, int]:
    first = _protocol(steps[place])
    if first is None:
        return None, 0
    base, count = first ^ 1, 1
    while (
        place + count < len(steps) and count < 128 and _protocol(steps[place + count]) == base ^ (1 << count)
    ):
        count += 1
    guid = uuid.UUID(bytes_le=base.to_bytes(16, "little"))
    return target.protocol_name(guid) or str(guid), count


def _without_seen_before(steps: Sequence[Row]) -> list[Row]:
    seen: set[str] = set()
    kept = []
    for row in steps:
        if _is_single(row.step) or "repeat" in row.step:
            answers = [(e.status, e.information) for e in row.events if e is not None]
            key = f"{row.step}{answers}"
            if key in seen:
                continue
            seen.add(key)
        kept.append(row)
    return kept


def _first(steps: Sequence[Row]) -> list[Row]:
    """As many as a scenario may have, with what waits for each request that is started."""
    room = MOST_STEPS
    full = False
    started: set[str] = set()
    kept: list[Row] = []
    for row in steps:
        step = row.step
        if step["do"] == "wait":
            if step["request"] in started:
                kept.append(row)
            continue
        needs = 2 if "start" in step else 1
        full = full or room < needs
        if full or ("request" in step and step["request"] not in started):
            continue
        room -= needs
        started |= {step["start"]} if "start" in step else set()
        kept.append(row)
    return kept
