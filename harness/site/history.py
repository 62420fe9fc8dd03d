# SPDX-License-Identifier: Apache-2.0
"""A night put into the histories of its scenarios and crashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from harness import guest_text
from harness.nights.field_words import value_words
from harness.nights.findings import Finding, Kind
from harness.nights.statistics import all_tries
from harness.site.judging import Cell
from harness.site.memory import Crash, Event, Memory, Row, Scenario
from harness.site.strips import LETTERS, MIXED, NOT_RUN, worst
from harness.store.lists import Change
from harness.store.queries import Outcome
from harness.verdict import Verdict

#: Of one scenario the latest events that are kept, and of one event the fields that are.
_EVENTS, _FIELDS = 40, 30
_LONG, _SHORT = 1000, 200


def digest(text: str) -> str:
    """What a page is called whose subject is this text."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:20]


def row_key(cell: Cell) -> str:
    """Of the row that a cell's outcomes stand in."""
    return digest(f"{cell.guest}\n{cell.target}")


@dataclass
class _Place:
    """What a night had of one scenario in one row."""

    guest: str
    target: str
    outcomes: list[tuple[Cell, Outcome]] = field(default_factory=list)

    def letter(self) -> str:
        """The worst of it; `MIXED` where both came on identical inputs."""
        if len(self.outcomes) == 1 and len(self.outcomes[0][1].tries) == 1:
            return LETTERS[Verdict(self.outcomes[0][1].verdict)]
        alike: dict[tuple[int, int, int], list[tuple[str, ...]]] = {}
        for cell, outcome in self.outcomes:
            on = cell.run.conditions
            alike.setdefault((outcome.scenario, on.guest_id, on.target_id), []).append(outcome.tries)
        if any(all_tries(tries).mixed for tries in alike.values()):
            return MIXED
        return worst(LETTERS[Verdict(outcome.verdict)] for _, outcome in self.outcomes)

    def tries(self) -> list[int]:
        """Attempts that failed, and all that tell of the driver."""
        found = all_tries([outcome.tries for _, outcome in self.outcomes])
        return [found.failed, found.n]

    def ms(self) -> int:
        """How long one took."""
        seconds = [outcome.seconds for _, outcome in self.outcomes if outcome.seconds is not None]
        return round(1000 * min(max(median(seconds), 0.0), 1e6)) if seconds else -1


def add(
    memory: Memory, night: str, cells: Sequence[Cell], titles: Mapping[int, tuple[str, str]], limit: int
) -> None:
    """Puts a night behind the last one of the window, which has at most so many nights.

    Args:
        memory: it is put there.
        night: later than all that are there.
        cells: of that night.
        titles: of contents of scenarios what they say of themselves, and their rules.
        limit: nights of the window.
    """
    memory.window.append(night)
    gone = len(memory.window) - limit
    del memory.window[: max(0, gone)]
    found = _places(cells)
    for key, places in found.items():
        latest = next(iter(places.values())).outcomes[-1][1]
        title, rules = titles.get(latest.scenario, ("", ""))
        scenario = memory.scenarios.setdefault(key, Scenario("", ""))
        scenario.title, scenario.rules = guest_text.one_line(title, _LONG), guest_text.one_line(rules, _SHORT)
        for name, place in places.items():
            if name not in scenario.rows:
                before = len(memory.window) - 1
                scenario.rows[name] = Row(place.guest, place.target, NOT_RUN * before, [-1] * before)
    nothing: dict[str, _Place] = {}
    for key, scenario in memory.scenarios.items():
        places = found.get(key, nothing)
        for name, row in scenario.rows.items():
            here = places.get(name)
            row.verdicts = (row.verdicts + (here.letter() if here else NOT_RUN))[-limit:]
            row.ms = [*row.ms, here.ms() if here else -1][-limit:]
            tries = here.tries() if here else None
            if tries is not None and (tries[1] > 1 or row.verdicts[-1] == MIXED):
                row.tries[night] = tries
    for cell in cells:
        _say(memory, night, cell)
        _crashes(memory, night, cell)
    memory.tidy()


def _places(cells: Iterable[Cell]) -> dict[str, dict[str, _Place]]:
    found: dict[str, dict[str, _Place]] = {}
    for cell in cells:
        name = row_key(cell)
        for outcome in cell.outcomes:
            places = found.setdefault(outcome.key, {})
            if name not in places:
                places[name] = _Place(cell.guest, cell.target)
            places[name].outcomes.append((cell, outcome))
    return found


def _say(memory: Memory, night: str, cell: Cell) -> None:
    """What the comparison says of scenarios; that all is new where nothing was before says nothing."""
    row = row_key(cell)
    reasons = {outcome.key: outcome for outcome in cell.outcomes}
    for finding in cell.night.findings:
        scenario = memory.scenarios.get(finding.key)
        if scenario is None or not cell.tells(finding):
            continue
        fresh = event_of(finding, reasons.get(finding.key))
        event = next((one for one in scenario.events if _same(one, fresh)), None)
        if event is None:
            scenario.events.append(event := fresh)
        event.nights.setdefault(night, [])
        if row not in event.nights[night]:
            event.nights[night].append(row)
        scenario.events = scenario.events[-_EVENTS:]


def event_of(finding: Finding, outcome: Outcome | None) -> Event:
    """What a finding says, without when and where."""
    words = guest_text.one_line(why(finding, outcome), _LONG)
    issue = guest_text.one_line(finding.issue, _LONG) if finding.issue else None
    return Event(finding.kind.value, words, issue, finding.alarm, changes_of(finding.changes), {})


def since(memory: Memory, key: str, said: Event) -> str:
    """The first of the nights, up to the last one and without a pause, in which the same was said of it."""
    scenario = memory.scenarios.get(key)
    nights = {
        night for one in (scenario.events if scenario else ()) if _goes_on(one, said) for night in one.nights
    }
    first = memory.window[-1]
    for night in reversed(memory.window):
        if night not in nights:
            break
        first = night
    return first


def why(finding: Finding, outcome: Outcome | None) -> str:
    """Why it is said, the same for all of one cause."""
    failed = outcome is not None and outcome.verdict not in (Verdict.PASSED, Verdict.SKIPPED)
    if failed and outcome is not None and not finding.changes and outcome.words:
        return outcome.words
    return finding.words


def _goes_on(one: Event, other: Event) -> bool:
    """Whether it is the same thing: what is still failing was new once, or differed with the guest."""
    failing = {Kind.NEW_FAILURE.value, Kind.ELSEWHERE.value, Kind.STILL_FAILING.value}
    still = {one.kind, other.kind} <= failing and one.words == other.words
    return still or _same(one, other)


def _same(one: Event, other: Event) -> bool:
    return (one.kind, one.issue, one.alarm, one.changes) == (
        other.kind,
        other.issue,
        other.alarm,
        other.changes,
    ) and (bool(one.changes) or one.words == other.words)


def changes_of(changes: Sequence[Change]) -> list[list[str]]:
    """Step, field, before and now of what came otherwise, for people."""
    return [
        [
            guest_text.one_line(text, _SHORT)
            for text in (
                f"step {change.position + 1}: {change.step}",
                change.field,
                value_words(change.field, change.before),
                value_words(change.field, change.now),
            )
        ]
        for change in changes[:_FIELDS]
    ]


def _crashes(memory: Memory, night: str, cell: Cell) -> None:
    """Crashes and hangs by their signature."""
    for outcome in cell.outcomes:
        if outcome.verdict not in (Verdict.CRASHED, Verdict.HUNG):
            continue
        text = outcome.signature or outcome.reason or outcome.verdict
        key = digest(json.dumps([outcome.verdict, text]))
        words = guest_text.one_line(outcome.words or outcome.reason or "no reason given", _LONG)
        crash = memory.crashes.setdefault(key, Crash(outcome.verdict, words, {}, {}, {}))
        crash.nights[night] = crash.nights.get(night, 0) + 1
        crash.scenarios[outcome.key] = night
        crash.rows[row_key(cell)] = f"{cell.guest}, {cell.target}"
