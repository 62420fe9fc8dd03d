# SPDX-License-Identifier: Apache-2.0
"""A scenario in pieces that can be left out, and put together again from those that are kept.

A piece is a step, an entry of `open`, or one key of a step that has a default.  Not every choice of pieces
is a scenario: a request on a pin that nobody opened is none.  `build` says so by None.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from harness.language.model.check import check, shorthand
from harness.language.model.scenario import Scenario

#: Keys without which a step is another step; what they name is left out with the step.
_KEPT = frozenset({"do", "on", "name", "pin", "start", "request", "to", "route", "what", "path", "made"})
#: Keys that name an open object.
_REFERS = frozenset({"on", "connect_to", "filter"})
#: What a step may take.
_LIMIT = "timeout_ms"
#: What says which answers and times are right: no part of a failure that is none of an answer.
JUDGED = frozenset({"expect", _LIMIT})
#: Steps that ask nothing of a driver: they look, or let time pass.
_LOOKING = frozenset({"seen", "wait_inside", "sleep"})
#: Requests that one step may send at once.
_MOST_THREADS = 64
#: Counts and times, of which less may do.
_SHRINK = ("repeat", "threads", "delay_ms", "ms", _LIMIT)

Piece = tuple[str, int, str]


def pieces(scenario: Scenario, fixed: Container[str] = ()) -> list[Piece]:
    """What can be left out, in the order of the scenario: entries of `open`, steps, and keys of steps.

    Args:
        scenario: the scenario.
        fixed: keys that stay with their steps.
    """
    found: list[Piece] = [("open", index, "") for index in range(len(scenario.open))]
    for index, step in enumerate(_steps(scenario)):
        found.append(("step", index, ""))
        found += [("key", index, key) for key in step if key not in _KEPT and key not in fixed]
    return found


def build(scenario: Scenario, kept: Sequence[Piece], fixed: Container[str] = ()) -> Scenario | None:
    """The scenario with these of its `pieces` only; None where they make none."""
    chosen = set(kept)
    table = scenario.model_dump(exclude_unset=True)
    table["open"] = [entry for index, entry in enumerate(scenario.open) if ("open", index, "") in chosen]
    table["steps"] = [
        {
            key: value
            for key, value in step.items()
            if key in _KEPT or key in fixed or ("key", index, key) in chosen
        }
        for index, step in enumerate(_steps(scenario))
        if ("step", index, "") in chosen
    ]
    return valid(table)


def is_held_for_ever(scenario: Scenario) -> bool:
    """Whether a request goes into a callback that was told to stay, and nothing lets it go within its time.

    It hangs with every driver, a sound one too, so that nothing smaller of a failure is shown by it.
    """
    pins = {entry.name: entry.pin for entry in map(shorthand, scenario.open)}
    blocks: set[Any] = set()
    held: dict[str, Any] = {}
    for step in _steps(scenario):
        pin, request = step.get("pin"), step.get("request")
        match step["do"]:
            case "open_pin":
                pins[step["name"]] = pin
            case "behaviour":
                blocks.discard(pin)
                delay = step.get("delay_ms", 0)
                if delay >= scenario.timeout_ms or (step["kind"] == "block" and not delay):
                    blocks.add(pin)
            case "reset" | "unblock":
                held = {name: where for name, where in held.items() if where != pin}
                if step["do"] == "reset":
                    blocks.discard(pin)
            case "cancel":
                held.pop(str(request), None)
            case "handshake" if pins.get(step["on"]) in blocks:
                if step.get("start") is None:
                    return True
                held[step["start"]] = pins[step["on"]]
    return bool(held)


def shrunk(scenario: Scenario, *, limits: bool = True) -> list[Scenario]:
    """The same with one count or time made smaller, each by half and to the least; the smallest first.

    Args:
        scenario: the scenario.
        limits: also what a step may take: where the failure is that it takes too long, with less time
            it would fail with every driver.
    """
    found = []
    for index, step in enumerate(_steps(scenario)):
        for key in _SHRINK:
            value = step.get(key)
            if not isinstance(value, int) or value <= 1 or (key == _LIMIT and not limits):
                continue
            for less in dict.fromkeys((1, value // 2)):
                table = scenario.model_dump(exclude_unset=True)
                table["steps"] = [*_steps(scenario)]
                table["steps"][index] = {**step, key: less}
                smaller = valid(table)
                if smaller is not None:
                    found.append(smaller)
    return found


def simpler(scenario: Scenario) -> list[Scenario]:
    """The same with one thing less of what several steps are about.

    Without what looks on and lets time pass; without an object and all that is asked of it; without a request
    and all that waits for it; with two pins of a kind as one; with requests under way at once that are alike
    as threads of one; with a request waited for where it is sent.
    """
    steps = _steps(scenario)
    # First, since they take longest of all when they wait in vain.
    acting = [step for step in steps if step["do"] not in _LOOKING]
    found = [acting] if len(acting) < len(steps) - 1 else []
    found += [_without(steps, step["name"]) for step in steps if step["do"] in ("open_pin", "open_filter")]
    found += [_as_threads(steps, *alike) for alike in _alike(steps)]
    found += [_unsent(steps, place) for place, step in enumerate(steps) if step.get("start") is not None]
    found += [_as_one(steps, first, other) for first, other in _pairs(steps)]
    found += [_at_once(steps, place) for place, step in enumerate(steps) if step.get("start") is not None]
    tables = ({**scenario.model_dump(exclude_unset=True), "steps": kept} for kept in found if kept)
    return [smaller for table in tables if (smaller := valid(table)) is not None]


def _without(steps: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Nothing is left that refers to the object, nor to a request that was sent to it."""
    kept: list[dict[str, Any]] = []
    requests: set[str] = set()
    for step in steps:
        if step.get("name") == name or any(step.get(key) == name for key in _REFERS):
            requests |= {step["start"]} if step.get("start") is not None else set()
        elif step.get("request") not in requests:
            kept.append(step)
    return kept


def _alike(steps: Sequence[dict[str, Any]]) -> Iterator[tuple[int, int]]:
    """First and last of several requests that were sent one after another and are alike, one under way."""
    first = 0
    for place in range(1, len(steps) + 1):
        follows = place < len(steps) and _follows(steps[place - 1], steps[place])
        if follows and place - first < _MOST_THREADS:
            continue
        if place - first > 1 and any(step.get("start") is not None for step in steps[first:place]):
            yield first, place - 1
        first = place


def _follows(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if one["do"] != "handshake" or "threads" in one or "threads" in other:
        return False
    return all(
        one.get(key) == other.get(key)
        for key in one.keys() | other.keys()
        if key not in ("start", "argument1")
    )


def _as_threads(steps: Sequence[dict[str, Any]], first: int, last: int) -> list[dict[str, Any]]:
    """One step that starts them all; what waits for the first that was started waits for all.

    So does one that was waited for where it was sent, as the last of many that may be under way often is.
    """
    called, *others = [
        steps[at]["start"] for at in range(first, last + 1) if steps[at].get("start") is not None
    ]
    return [
        {**step, "threads": last - first + 1, "start": called} if place == first else step
        for place, step in enumerate(steps)
        if not first < place <= last and step.get("request") not in others
    ]


def _unsent(steps: Sequence[dict[str, Any]], place: int) -> list[dict[str, Any]]:
    """The request is not sent at all."""
    called = steps[place]["start"]
    return [step for number, step in enumerate(steps) if number != place and step.get("request") != called]


def _pairs(steps: Sequence[dict[str, Any]]) -> Iterator[tuple[int, int]]:
    """Places of two steps that open the same pin in the same way."""
    opens = [(place, _but(step, "name")) for place, step in enumerate(steps) if step["do"] == "open_pin"]
    for (first, one), (other, two) in itertools.combinations(opens, 2):
        if one == two:
            yield first, other


def _as_one(steps: Sequence[dict[str, Any]], first: int, other: int) -> list[dict[str, Any]]:
    """What the second of them opens is the first one's."""
    name, gone = steps[first]["name"], steps[other]["name"]
    return [
        {key: name if key in _REFERS and value == gone else value for key, value in step.items()}
        for place, step in enumerate(steps)
        if place != other
    ]


def _at_once(steps: Sequence[dict[str, Any]], place: int) -> list[dict[str, Any]]:
    """The request is no longer started, and nobody waits for it later."""
    called = steps[place]["start"]
    return [
        _but(step, "start") if number == place else step
        for number, step in enumerate(steps)
        if not (step["do"] == "wait" and step.get("request") == called)
    ]


def _but(step: dict[str, Any], without: str) -> dict[str, Any]:
    return {key: value for key, value in step.items() if key != without}


def valid(table: dict[str, Any]) -> Scenario | None:
    """A scenario of this, where it is one."""
    try:
        scenario = Scenario.model_validate(table)
    except ValidationError:
        return None
    return None if check(scenario) else scenario


def _steps(scenario: Scenario) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = scenario.model_dump(exclude_unset=True)["steps"]
    return steps
