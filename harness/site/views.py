# SPDX-License-Identifier: Apache-2.0
"""What pages show of histories, as plain values for the templates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from markupsafe import Markup

from harness.results.report import seconds
from harness.site import plots, strips
from harness.site.history import digest
from harness.site.memory import Event, Memory, Row, Scenario
from harness.site.strips import NOT_RUN

_DIGITS = re.compile(r"([0-9]+)")
#: Nights over which a rate is taken in a plot of rates.
_SLIDING = 10


@dataclass(frozen=True)
class RowView:
    """A row of a scenario's history."""

    guest: str
    target: str
    last: str
    strip: Markup
    failed: int
    n: int
    interval: str
    took: str
    first: str
    until: str


@dataclass(frozen=True)
class EventView:
    """An event of a scenario, with the nights of which it was said and where."""

    event: Event
    first: str
    last: str
    count: int
    rows: list[str]


@dataclass(frozen=True)
class ScenarioView:
    """A scenario in the list of all; `states` are what was said of it last night, and its verdict then."""

    key: str
    name: str
    file: str
    title: str
    rules: str
    page: str
    verdict: str
    states: list[str]
    alarm: bool
    strip: Markup
    failed: int
    n: int
    interval: str
    last: str

    @property
    def rank(self) -> tuple[bool, int, float, list[tuple[int, str]]]:
        """What is new comes first, then what failed last, then what fails most often."""
        loud = "fhcme".find(next((k for k, v in strips.WORDS.items() if v == self.verdict), ""))
        return not self.alarm, 0 if loud >= 0 else 1, -self.failed / max(1, self.n), natural(self.key)


def natural(text: str) -> list[tuple[int, str]]:
    """Orders 9 before 10."""
    return [
        (int(part[:18]) if part.isdecimal() and part.isascii() else -1, part) for part in _DIGITS.split(text)
    ]


def rows(memory: Memory, scenario: Scenario) -> list[RowView]:
    """Those that ran last come first."""
    made = []
    for row in scenario.rows.values():
        failed, n = _tries(memory.window, row)
        known = sorted(ms for ms in row.ms if ms >= 0)
        took = seconds(median(known) / 1000) if known else "–"
        began = len(row.verdicts) - len(row.verdicts.lstrip(NOT_RUN))
        until = len(row.verdicts.rstrip(NOT_RUN)) - 1
        made.append(
            (
                -until,
                began,
                RowView(
                    row.guest,
                    row.target,
                    strips.WORDS[row.verdicts[-1]],
                    strips.drawn(row.verdicts),
                    failed,
                    n,
                    strips.interval(failed, n) if failed else "",
                    took,
                    memory.window[began],
                    memory.window[until],
                ),
            )
        )
    made.sort(key=lambda one: (one[0], one[1], one[2].guest, one[2].target))
    return [view for *_, view in made]


def _tries(window: Sequence[str], row: Row) -> tuple[int, int]:
    if not row.tries:
        return strips.counts(row.verdicts, ())
    plain = [
        NOT_RUN if night in row.tries else letter for night, letter in zip(window, row.verdicts, strict=True)
    ]
    return strips.counts("".join(plain), [(failed, n) for failed, n in row.tries.values()])


def events(scenario: Scenario) -> list[EventView]:
    """The latest first."""
    made = []
    for event in scenario.events:
        nights = sorted(event.nights)
        names = dict.fromkeys(name for night in nights for name in event.nights[night])
        shown = [
            f"{row.guest}, {row.target}" for name in names if (row := scenario.rows.get(name)) is not None
        ]
        made.append(EventView(event, nights[0], nights[-1], len(nights), shown))
    return sorted(made, key=lambda one: (one.last, one.first), reverse=True)


def listed(memory: Memory) -> list[ScenarioView]:
    """All scenarios, what is new first."""
    last = memory.window[-1] if memory.window else ""
    views = [_listed(memory, last, key, scenario) for key, scenario in memory.scenarios.items()]
    return sorted(views, key=lambda view: view.rank)


def _listed(memory: Memory, last: str, key: str, scenario: Scenario) -> ScenarioView:
    strip = strips.together([row.verdicts for row in scenario.rows.values()])
    each = [_tries(memory.window, row) for row in scenario.rows.values()]
    failed, n = sum(one[0] for one in each), sum(one[1] for one in each)
    said = [event for event in scenario.events if last in event.nights]
    latest = max((night for event in scenario.events for night in event.nights), default="")
    file, _, name = key.rpartition("::")
    return ScenarioView(
        key,
        name,
        file,
        scenario.title,
        scenario.rules,
        f"scenario/{digest(key)}.html",
        strips.WORDS[strip[-1]],
        list(dict.fromkeys(event.kind for event in said)),
        any(event.alarm for event in said),
        strips.drawn(strip),
        failed,
        n,
        strips.interval(failed, n) if failed else "",
        latest,
    )


def plotted(memory: Memory, scenario: Scenario) -> list[plots.Plot]:
    """The plots of a scenario: how long it took, and how often it failed, over the nights."""
    chosen = sorted(
        scenario.rows.values(), key=lambda row: (-_tries(memory.window, row)[0], row.verdicts[-1] == NOT_RUN)
    )
    chosen = chosen[: plots.LINES]
    took = {f"{row.guest}, {row.target}": [ms / 1000 if ms >= 0 else None for ms in row.ms] for row in chosen}
    made = [plots.lines("How long it took", memory.window, took, "seconds")]
    failing = {
        f"{row.guest}, {row.target}": _sliding(memory.window, row)
        for row in chosen
        if _tries(memory.window, row)[0]
    }
    if failing:
        title = f"How often it failed, over {_SLIDING} nights each"
        made.append(plots.lines(title, memory.window, failing, "%"))
    return made


def _sliding(window: Sequence[str], row: Row) -> list[float | None]:
    found: list[float | None] = []
    each = [
        tuple(row.tries[night]) if night in row.tries else strips.counts(letter, ())
        for night, letter in zip(window, row.verdicts, strict=True)
    ]
    for end in range(1, len(each) + 1):
        part = each[max(0, end - _SLIDING) : end]
        n = sum(one[1] for one in part)
        found.append(100 * sum(one[0] for one in part) / n if n else None)
    return found


def flaky(views: Iterable[ScenarioView], most: int = 12) -> Mapping[str, tuple[int, int]]:
    """Those with both outcomes over the nights, by name, that which fails most often first."""
    mixed = [view for view in views if 0 < view.failed < view.n]
    mixed.sort(key=lambda view: -view.failed / view.n)
    return {view.key: (view.failed, view.n) for view in mixed[:most]}
