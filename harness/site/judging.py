# SPDX-License-Identifier: Apache-2.0
"""The cells of a night, each held against the last good run that was asked for the same."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import PurePath

from sqlalchemy import Connection

from harness import guest_text
from harness.errors import UsageError
from harness.nights.comparison import VaryingFields
from harness.nights.findings import Finding, Kind, Night
from harness.nights.known_file import KnownFile
from harness.nights.night import asked, base_of, compare_runs, is_good, option_of
from harness.site.memory import Memory
from harness.store import queries
from harness.store.marks import durations, first_to_vary
from harness.store.queries import Outcome, RunInfo
from harness.verdict import Verdict

_LONG = 120


@dataclass(frozen=True)
class Cell:
    """One run of a night, and what is said of it against `base`; None where there is none to compare with."""

    number: int
    run: RunInfo
    base: RunInfo | None
    night: Night
    outcomes: Sequence[Outcome]
    seconds: float | None

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
        return self.night.unknowns + len(added & self._errors) + bool(self.run.problem or not self.outcomes)

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
    """Says of runs what is new in them, and remembers which were good.

    Args:
        connection: of the store.
        known: known issues and quarantines.
        memory: of good runs.
    """

    def __init__(self, connection: Connection, known: Sequence[KnownFile], memory: Memory) -> None:
        self._connection = connection
        self._known = known
        self._memory = memory
        self._read: dict[int, list[Outcome]] = {}
        self._first: dict[int, list[tuple[str, int, str, str]]] = {}

    @cached_property
    def _varying(self) -> VaryingFields:
        return queries.varying(self._connection)

    @cached_property
    def _every(self) -> list[RunInfo]:
        return queries.runs(self._connection)

    def cells(self, night: str, run_ids: Collection[int]) -> list[Cell]:
        """The cells of a night, in the order of time."""
        took = durations(self._connection, run_ids)
        self._read = {}
        self._first = first_to_vary(self._connection, run_ids)
        cells = []
        for number, run in enumerate(queries.runs(self._connection, run_ids), start=1):
            base = self._base(run)
            try:
                told = self._compared(base, run)
            except UsageError:  # what it was compared with is gone meanwhile
                base, told = None, self._compared(None, run)
            cell = Cell(number, run, base, told, self._outcomes([run.id]), took.get(run.id))
            if is_good(run, cell.verdicts):
                for key in _keys(run):
                    self._memory.keep_good(key, _entry(night, run))
            cells.append(cell)
        return cells

    def _compared(self, base: RunInfo | None, run: RunInfo) -> Night:
        return compare_runs(
            self._connection,
            [base] if base else [],
            [run],
            self._known,
            read=self._outcomes,
            varying=self._varying,
            first=self._first.get(run.id, ()),
        )

    def _outcomes(self, run_ids: Collection[int]) -> list[Outcome]:
        """Those of runs; several cells of a night may have one base."""
        missing = [number for number in run_ids if number not in self._read]
        for number in missing:
            self._read[number] = queries.outcomes(self._connection, [number])
        return [outcome for number in run_ids for outcome in self._read[number]]

    def _base(self, run: RunInfo) -> RunInfo | None:
        """What it is held against, as `kshs nightly` takes it (`harness.nights.night.base_of`)."""
        for key in _keys(run):
            if key not in self._memory.good:
                # Nothing of the kind is in memory: the store knows of what was before.
                found = base_of(self._connection, run, self._every)
                for one in _keys(run):
                    runs = self._memory.good.setdefault(one, [])
                    if found is not None and not runs and one in _keys(found):
                        runs.append(_entry("", found))
                return found
            at = _time(run)
            fitting = [
                (time, name)
                for _, time, name, selection in self._memory.good[key]
                if time < at and selection in ("", run.selection or "")
            ]
            if fitting:
                try:
                    return queries.find_run(self._connection, max(fitting)[1])
                except UsageError:  # pruned
                    return base_of(self._connection, run, self._every)
        return None


def _time(run: RunInfo) -> str:
    """What orders runs, as text."""
    return f"{(run.started or datetime.min).isoformat()} {run.id:012d}"


def _entry(night: str, run: RunInfo) -> list[str]:
    return [night, _time(run), run.name, run.selection or ""]


def _keys(run: RunInfo) -> tuple[str, str]:
    """Equal for runs of which one may be held against the other: on the same inputs, and on such a guest."""
    on = run.conditions
    guest = [on.recipe, on.family, on.target, *asked(run.command)]
    inputs = [on.kernel, "reference" if on.ks_ours else on.ks_digest, on.verifier]
    exact, wide = (json.dumps(said).encode() for said in ([inputs, guest], guest))
    return hashlib.sha256(exact).hexdigest()[:24], hashlib.sha256(wide).hexdigest()[:24]


def alarms(cells: Iterable[Cell]) -> int:
    """Findings of a night that somebody has to look at."""
    return sum(cell.night.alarms for cell in cells)


def kinds(cells: Iterable[Cell]) -> Counter[str]:
    """What is said of a night, by kind; nothing is new where there was nothing before."""
    found: Counter[str] = Counter()
    for cell in cells:
        for finding in cell.night.findings:
            if cell.tells(finding):
                found[finding.kind.value] += 1
    return found
