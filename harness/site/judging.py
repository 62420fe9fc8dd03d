# SPDX-License-Identifier: Apache-2.0
"""The cells of a night, each held against the last good run that was asked for the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

from sqlalchemy import Connection

from harness import guest_text
from harness.nights.findings import Finding, Kind, Night
from harness.nights.history import BACK, compare_night, has_enough
from harness.nights.known_file import KnownFile
from harness.nights.night import asked, option_of
from harness.store import queries
from harness.store.marks import durations
from harness.store.queries import Outcome, RunInfo
from harness.verdict import Verdict

_LONG = 120
#: Runs that are looked at first; of a store with more of them most nights need no others.
_LATEST = 2000


@dataclass(frozen=True)
class Cell:
    """A run of a night with its repeats, and what is said of them against earlier ones."""

    number: int
    runs: tuple[RunInfo, ...]
    night: Night
    outcomes: Sequence[Outcome]
    seconds: float | None

    @property
    def run(self) -> RunInfo:
        """The last of its runs: what it was on is the same for all."""
        return self.runs[-1]

    @property
    def base(self) -> RunInfo | None:
        """The last run that it is held against."""
        return self.night.before.runs[-1] if self.night.before.runs else None

    @cached_property
    def alarms(self) -> int:
        """What somebody has to look at."""
        return alarms(self)

    @cached_property
    def verdicts(self) -> Counter[str]:
        """How many scenarios ended how."""
        return Counter(one.verdict for one in self.outcomes)

    def tells(self, finding: Finding) -> bool:
        """Whether a finding says anything: that all is new, and passes, where nothing was before does not."""
        if self.base is not None or finding.alarm or finding.kind is not Kind.NEW_SCENARIO:
            return True
        return finding.key in self._errors

    @cached_property
    def _errors(self) -> set[str]:
        return {one.key for one in self.outcomes if one.verdict == Verdict.ERROR}

    @cached_property
    def unknowns(self) -> int:
        """Of how much less is known than before, or nothing where something was asked."""
        added = {f.key for f in self.night.findings if f.kind is Kind.NEW_SCENARIO and not f.alarm}
        return (
            self.night.unknowns
            + len(added & self._errors)
            + bool(any(run.problem for run in self.runs) or not self.outcomes)
        )

    @cached_property
    def guest(self) -> str:
        """The guest by its recipe and its kernel."""
        conditions = self.run.conditions
        kernel = guest_text.one_line(conditions.kernel or "no guest was had", _LONG)
        return f"{guest_text.one_line(conditions.recipe, _LONG)}: {kernel}"

    @cached_property
    def target(self) -> str:
        """The target by its name, and by that under which it was asked for where that is another."""
        name = guest_text.one_line(self.run.conditions.target, _LONG)
        word = PurePath(option_of(self.run.command, "--target") or name).stem
        shown = guest_text.one_line(word, _LONG)
        return name if shown in (name, "") else f"{name} ({shown})"

    @cached_property
    def asked(self) -> str:
        """Which scenarios were asked for, as the command line says it; empty for all."""
        skip, words = False, []
        for word in asked(self.run.command)[2:]:
            if not skip and word not in ("--guest", "--target", "--config"):
                words.append(word if word.startswith("-") else PurePath(word).name or word)
            skip = not skip and word in ("--guest", "--target", "--config")
        return guest_text.one_line(" ".join(words), _LONG)


class Judge:
    """Says of runs what is new in them, as `kshs nightly` does (`harness.nights.history`).

    Args:
        connection: of the store.
        known: known issues and quarantines.
    """

    def __init__(self, connection: Connection, known: Sequence[KnownFile]) -> None:
        self._connection = connection
        self._known = known
        self._read: dict[int, list[Outcome]] = {}
        self._take(queries.last_runs(connection, _LATEST))
        self._whole = len(self._every) < _LATEST

    def _take(self, runs: list[RunInfo]) -> None:
        self._every = runs
        self._places = {run.id: place for place, run in enumerate(runs)}
        self._alike: dict[tuple[str, ...], list[RunInfo]] = {}
        for run in runs:
            self._alike.setdefault(_call(run), []).append(run)

    def _take_all(self) -> None:
        if not self._whole:
            self._take(queries.runs(self._connection))
            self._whole = True

    def cells(self, run_ids: Collection[int]) -> list[Cell]:
        """The cells of a night, in the order of time; repeats on the same inputs are one."""
        took = durations(self._connection, run_ids)
        if not all(number in self._places for number in run_ids):
            self._take_all()
        groups: dict[tuple[object, ...], list[RunInfo]] = {}
        cells: list[Cell] = []
        for run in sorted((self._every[self._places[number]] for number in run_ids), key=self._place):
            inputs = run.conditions.guest_id, run.conditions.target_id
            groups.setdefault((*_call(run), *inputs), []).append(run)
        used: set[int] = set()
        for runs in groups.values():
            found = self._night(runs)
            ids = [run.id for run in runs]
            seconds = [took[number] for number in ids if number in took]
            outcomes = tuple(self._outcomes(ids))
            took_all = sum(seconds) if seconds else None
            cells.append(Cell(len(cells) + 1, tuple(runs), found, outcomes, took_all))
            used.update(run.id for run in self._among(runs[0])[-BACK:])
            used.update(ids)
        # Nights beside each other stand on nearly the same ones.
        self._read = {number: read for number, read in self._read.items() if number in used}
        return cells

    def _night(self, now: Sequence[RunInfo]) -> Night:
        among = self._among(now[0])
        if not has_enough(among, now):
            self._take_all()
            among = self._among(now[0])
        return compare_night(self._connection, now, among, self._known, read=self._outcomes)

    def _among(self, run: RunInfo) -> list[RunInfo]:
        """Earlier runs that were asked for the same."""
        place = self._place(run)
        return [other for other in self._alike[_call(run)] if self._place(other) < place]

    def _outcomes(self, run_ids: Collection[int]) -> list[Outcome]:
        missing = [number for number in run_ids if number not in self._read]
        for outcome in queries.outcomes(self._connection, missing):
            self._read.setdefault(outcome.run, []).append(outcome)
        for number in missing:
            self._read.setdefault(number, [])
        return [outcome for number in run_ids for outcome in self._read[number]]

    def _place(self, run: RunInfo) -> int:
        return self._places[run.id]


def _call(run: RunInfo) -> tuple[str, ...]:
    """What a run was asked for, with which target: such runs are held against each other."""
    return run.conditions.recipe, run.conditions.target, *asked(run.command)


def alarms(cell: Cell) -> int:
    """What somebody has to look at, as the summary counts it (`harness.nights.findings.Night.way`)."""
    ways = [cell.night.way(finding) for finding in cell.night.findings if finding.alarm]
    return ways.count(None) + len({way for way in ways if way is not None})


def kinds(cells: Iterable[Cell]) -> Counter[str]:
    """What is said of a night, by kind; nothing is new where there was nothing before."""
    found: Counter[str] = Counter()
    for cell in cells:
        for finding in cell.night.findings:
            if cell.tells(finding):
                found[finding.kind.value] += 1
    return found
