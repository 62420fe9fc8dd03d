# SPDX-License-Identifier: Apache-2.0
"""A trace as a scenario that asks for leaks: what was recorded, over and over between counts.

Nobody counts three times who is traced.  So what was done once is done many times between each two of three
counts (docs/scenarios.md, "What is kept"), in two series: each handshake 2,000 times on objects that stay
open, and everything, opens and closes too, twelve times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness.capsule.traced.compacting import MOST_STEPS, Row, all_rows
from harness.capsule.traced.events import Event, Trace
from harness.capsule.traced.folding import folded, given, renamed
from harness.capsule.traced.judging import judge
from harness.capsule.traced.requests_alone import VARIED, Asked, asked
from harness.capsule.traced.steps import Step
from harness.capsule.traced.translating import is_refused, translate
from harness.errors import UsageError
from harness.language.model import Route, Scenario, Target
from harness.language.model.check import check
from harness.planning.plan import plan
from harness.planning.planned import NotApplicable
from harness.verdict import Verdict

#: Handshakes of each kind between two counts: with fewer, what a whole system shares is not measured.
_REQUESTS = 2000
_REQUESTS_BEFORE = 200
#: Rounds between two counts; growth by less than eight is none.
_ROUNDS, _LEAST_ROUNDS = 12, 8
_ROUNDS_BEFORE = 2
#: The filter that is counted on while pins come and go.
_COUNTED = "filter"
_MOST_NAME = 40
#: Objects and requests under way of one scenario, of which the agent takes 128 each.
_MOST_NAMED = 120


@dataclass(frozen=True)
class Leaks:
    """The scenario's `open` and `steps`, and remarks about what they ask and what they do not."""

    open: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    remarks: tuple[str, ...] = ()


def leaks_of(trace: Trace, target: Target, route: Route = Route.IRP) -> Leaks:
    """What asks whether the traffic of a trace leaves anything behind.

    Args:
        trace: of any machine.
        target: whose pins and protocols are meant.
        route: by which requests of drivers are sent.

    Raises:
        UsageError: there is nothing in it that could be done over and over.
    """
    translated = translate(trace, target, route, shared=True)
    judged = judge(translated, target).results
    wrong = {number for number, result in judged.items() if result.verdict is Verdict.FAILED}
    steps, remarks = _playable(all_rows(translated, target), wrong)
    if any(step["do"] == "share" for step in steps):
        remarks.append(
            "what user mode had open is opened by the client and shared with it, so that its references are"
            " counted"
        )
    whole = folded(_ended(steps))
    first = _series_of_requests(asked(whole, _REQUESTS))
    found = Leaks(remarks=(*translated.remarks, *remarks))
    for series in (first, _series_of_rounds(whole, MOST_STEPS - len(first.steps))):
        why = _why_not(series, target) if series.steps else None
        if why is not None:
            series = Leaks(remarks=(f"a series of counts is left out: {why}",))
        found = Leaks(
            (*found.open, *series.open), (*found.steps, *series.steps), (*found.remarks, *series.remarks)
        )
    found = replace(found, remarks=tuple(dict.fromkeys(found.remarks)))
    if not found.steps:
        raise UsageError(f"nothing in the trace can be done over and over: {'; '.join(found.remarks)}")
    return found


# ---- what is done ----------------------------------------------------------------------------------


def _lost(event: Event) -> bool:
    return not event.came_back and not event.unwatched


def _playable(rows: Sequence[Row], wrong: set[int]) -> tuple[list[Step], list[str]]:
    """The steps that can be done again, with those recorded only whose answers are wrong; and remarks."""
    events = [[event for event in row.events if event is not None] for row in rows]
    lost = [place for place, seen in enumerate(events) if any(map(_lost, seen))]
    guilty = [place for place, seen in enumerate(events) if any(event.n in wrong for event in seen)]
    gone = {rows[place].step.get("request") for place in lost} - {None}
    odd = {rows[place].step.get("request") for place in guilty} - {None}
    kept: list[Step] = []
    for place, row in enumerate(rows):
        step = row.step
        if step["do"] == "seen" or place in lost or gone & {step.get("request"), step.get("start")}:
            continue
        answered = place in guilty and "request" not in step
        kept.append({**step, "expect": "record"} if answered or step.get("start") in odd else step)
    remarks = []
    if lost:
        remarks.append("requests that never came back are left out, with what waits for them")
    if any(rows[place].step["do"] != "seen" for place in guilty):
        remarks.append("answers that the contract forbids are put on record only: import it without --leaks")
    return kept, remarks


def _ended(steps: Sequence[Step]) -> list[Step]:
    """The same, with each object closed: a handle that is shared before the one that it was made of."""
    shared: dict[str, list[str]] = {}
    still: dict[str, None] = {}
    ended: list[Step] = []
    for step in steps:
        if step["do"] == "share":
            shared.setdefault(step["on"], []).append(step["name"])
        if step["do"] == "close" and not step.get("keep"):
            ended += [{"do": "close", "on": name} for name in shared.pop(step["on"], ())]
            still.pop(step["on"], None)
        elif step["do"].startswith("open_") and not is_refused(step):
            still[step["name"]] = None
        ended.append(step)
    for name in reversed(still):
        ended += [{"do": "close", "on": each} for each in (*shared.pop(name, ()), name)]
    return ended


def _why_not(leaks: Leaks, target: Target) -> str | None:
    """Why it cannot be played with the target; None where it can."""
    table = {"id": "leaks", "title": "leaks", "rule": "characteristic"}
    scenario = Scenario.model_validate({**table, "open": list(leaks.open), "steps": list(leaks.steps)})
    problems = check(scenario)
    if problems:
        return problems[0].message
    try:
        plan(scenario, target)
    except (UsageError, NotApplicable) as error:
        return str(error)
    return None


# ---- the two series --------------------------------------------------------------------------------


def _series_of_requests(alone: Asked | None) -> Leaks:
    """Handshakes alone, on objects that stay open."""
    if alone is None:
        return Leaks(remarks=("it has no handshake that can be sent thousands of times",))
    before = [{**step, "repeat": _REQUESTS_BEFORE} if "repeat" in step else step for step in alone.steps]
    count: Step = {"do": "counters", "on": alone.counted}
    steps = [*alone.setup, *before, count]
    for _ in range(2):
        steps += [*alone.steps, {**count, "events": _REQUESTS}]
    steps += [{"do": "close", "on": name} for name in alone.closes]
    if len(steps) > MOST_STEPS:
        why = f"{len(alone.steps)} steps are too many to be done between three counts"
        return Leaks(remarks=(f"{why}: what each request leaves behind is not asked",))
    return Leaks(alone.open, tuple(steps), alone.remarks)


def _series_of_rounds(whole: Sequence[Step], room: int) -> Leaks:
    """Everything, opens and closes too; no steps where they have no room."""
    if not any(step["do"] == "open_pin" for step in whole):
        return Leaks()
    if any(step["do"] == "device" for step in whole):
        return Leaks(remarks=("the device was changed: opens and closes are not done over and over",))
    for once, often in ([], list(whole)), _without_filters(whole):
        named = sum(len(given(step)) for step in often)
        rounds = min((room - 3 - len(once)) // len(often), _MOST_NAMED // max(1, named))
        count = (rounds - _ROUNDS_BEFORE) // 2
        if count >= _LEAST_ROUNDS:
            break
    else:
        why = f"{len(whole)} steps are too many to be done {_LEAST_ROUNDS} times between each two counts"
        return Leaks(remarks=(f"{why}: what opens and closes leave behind is not asked",))
    count = min(_ROUNDS, count)
    steps = list(once)
    for number in range(1, _ROUNDS_BEFORE + 2 * count + 1):
        steps += _round(often, number)
        if number == _ROUNDS_BEFORE:
            steps.append({"do": "counters", "on": _COUNTED})
        elif number in (_ROUNDS_BEFORE + count, _ROUNDS_BEFORE + 2 * count):
            steps.append({"do": "counters", "on": _COUNTED, "events": count})
    said = f"everything is done {count} times between each two of three counts, opens and closes too"
    return Leaks((_COUNTED,), tuple(steps), (said,))


def _without_filters(whole: Sequence[Step]) -> tuple[list[Step], list[Step]]:
    """Filters apart: what opens them once, and the rest."""
    once = [step for step in whole if step["do"] == "open_filter"]
    names = {step["name"] for step in once}
    often = [
        step
        for step in whole
        if step["do"] != "open_filter" and not (step["do"] == "close" and step["on"] in names)
    ]
    return once, often


def _round(steps: Sequence[Step], number: int) -> Iterator[Step]:
    """All of it once, with names of its own; a request that was repeated is sent once."""
    end = f"_r{number}"
    names = {name: f"{name[: _MOST_NAME - len(end)]}{end}" for step in steps for name in given(step)}
    for step in steps:
        once = step if VARIED & step.keys() else {key: step[key] for key in step if key != "repeat"}
        yield renamed(once, names)
