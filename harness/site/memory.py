# SPDX-License-Identifier: Apache-2.0
"""What a build leaves for the next one: histories as far as pages show them, so that a night adds a night.

It is all from the store, and made anew from there where it is missing, damaged, of another kshs, or where an
earlier night is no longer what it was.  Everything stands under the night that it is of, so that the last one
can be taken out again when more of it has come.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vm.files import write_whole

FILE = "memory.json"
_SCHEMA = 1


@dataclass
class Row:
    """A scenario on one kind of guest with one target, over the nights of the window.

    `verdicts` has one letter a night (`harness.site.strips.LETTERS`), `ms` how long it took, -1 where nobody
    knows.  `tries` has, for nights with other than one attempt that tells of the driver, how many failed, and
    how many there were.
    """

    guest: str
    target: str
    verdicts: str
    ms: list[int]
    tries: dict[str, list[int]] = field(default_factory=dict)


@dataclass
class Event:
    """Something that was said of a scenario: by night, in which rows.

    `changes` are step, field, before and now of what came otherwise, in words.
    """

    kind: str
    words: str
    issue: str | None
    alarm: bool
    changes: list[list[str]]
    nights: dict[str, list[str]]


@dataclass
class Scenario:
    """What a scenario's page shows."""

    title: str
    rules: str
    rows: dict[str, Row] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


@dataclass
class NightMark:
    """One night in the list of all; what was judged is None where it lies before the window.

    `runs` are names and digests; `broken` cells that left no run, what they said, and which folder said so.
    """

    runs: list[list[str]]
    verdicts: dict[str, int]
    seconds: float
    kinds: dict[str, int] | None = None
    alarms: int | None = None
    unknowns: int | None = None
    cells: int = 0
    broken: list[list[str]] = field(default_factory=list)


@dataclass
class Crash:
    """A group of crashes or hangs: by night how many; scenarios by name, rows by key."""

    verdict: str
    words: str
    nights: dict[str, int]
    scenarios: dict[str, str]
    rows: dict[str, str]


@dataclass
class Gate:
    """A page of a gate's verdict, by its file's name in the site."""

    title: str
    name: str


@dataclass
class Memory:
    """All of it.

    `look` says by which programs it was made, `known` by which known issues the last night was told.
    """

    look: str
    known: str = ""
    window: list[str] = field(default_factory=list)
    nights: dict[str, NightMark] = field(default_factory=dict)
    scenarios: dict[str, Scenario] = field(default_factory=dict)
    crashes: dict[str, Crash] = field(default_factory=dict)
    gates: dict[str, Gate] = field(default_factory=dict)

    def drop(self, night: str) -> None:
        """Takes the last night of the window out again."""
        if self.window and self.window[-1] == night:
            self.window.pop()
            for scenario in self.scenarios.values():
                for row in scenario.rows.values():
                    row.verdicts, row.ms = row.verdicts[:-1], row.ms[:-1]
        self.nights.pop(night, None)
        for scenario in self.scenarios.values():
            for row in scenario.rows.values():
                row.tries.pop(night, None)
            for event in scenario.events:
                event.nights.pop(night, None)
        for crash in self.crashes.values():
            crash.nights.pop(night, None)
        self.tidy()

    def tidy(self) -> None:
        """Leaves out what no night of the window speaks of any more."""
        kept = set(self.window)
        for key, scenario in list(self.scenarios.items()):
            scenario.rows = {name: row for name, row in scenario.rows.items() if row.verdicts.strip(".")}
            for event in scenario.events:
                if not event.nights.keys() <= kept:
                    event.nights = {night: rows for night, rows in event.nights.items() if night in kept}
            scenario.events = [event for event in scenario.events if event.nights]
            for row in scenario.rows.values():
                if not row.tries.keys() <= kept:
                    row.tries = {night: tries for night, tries in row.tries.items() if night in kept}
            if not scenario.rows:
                del self.scenarios[key]
        for key, crash in list(self.crashes.items()):
            crash.nights = {night: count for night, count in crash.nights.items() if night in kept}
            if not crash.nights:
                del self.crashes[key]

    def save(self, folder: Path) -> None:
        """Into the site's folder."""
        body = json.dumps({"schema": _SCHEMA, **vars(self)}, default=vars, separators=(",", ":"))
        digest = hashlib.sha256(body.encode()).hexdigest()
        write_whole(folder / FILE, f"{digest}\n{body}\n", mode=0o644)


def load(folder: Path) -> Memory | None:
    """What the last build left; None where there is nothing, or nothing that can be relied on."""
    try:
        digest, _, body = (folder / FILE).read_bytes().partition(b"\n")
        body = body.removesuffix(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != digest:
            return None
        said: dict[str, Any] = json.loads(body)
        if said.pop("schema") != _SCHEMA:
            return None
        return _memory(said)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _memory(said: dict[str, Any]) -> Memory:
    return Memory(
        **{
            **said,
            "nights": {key: NightMark(**one) for key, one in said["nights"].items()},
            "scenarios": {
                key: Scenario(
                    one["title"],
                    one["rules"],
                    {name: Row(**row) for name, row in one["rows"].items()},
                    [Event(**event) for event in one["events"]],
                )
                for key, one in said["scenarios"].items()
            },
            "crashes": {key: Crash(**one) for key, one in said["crashes"].items()},
            "gates": {key: Gate(**one) for key, one in said["gates"].items()},
        }
    )


def totals(marks: list[NightMark]) -> Counter[str]:
    """Verdicts of several nights."""
    found: Counter[str] = Counter()
    for mark in marks:
        found.update(mark.verdicts)
    return found
