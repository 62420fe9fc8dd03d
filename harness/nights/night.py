# SPDX-License-Identifier: Apache-2.0
"""Runs of a store chosen by words, and compared: what `kshs compare` does, as functions."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from functools import lru_cache, partial
from itertools import pairwise

from sqlalchemy import Connection

from harness.errors import UsageError
from harness.nights.comparison import Told, VaryingFields, compare
from harness.nights.conditions import common, differences
from harness.nights.findings import Night, Side
from harness.nights.known import Knowledge, apply
from harness.nights.known_file import KnownFile
from harness.store import queries
from harness.store.lists import Listed, load_lists
from harness.store.queries import RunInfo
from harness.verdict import Verdict

#: Words for runs that need not be named.
LAST, LAST_GOOD = "last", "last-good"

#: Outcomes of runs, by their ids.
Read = Callable[[Collection[int]], list[queries.Outcome]]


def choose(connection: Connection, words: str, beside: Sequence[RunInfo] = ()) -> list[RunInfo]:
    """The runs that are meant, the oldest first.

    Args:
        connection: of the store.
        words: ids of runs or their beginnings, with commas between; `LAST`, or `LAST_GOOD`.
        beside: the other side, for `LAST_GOOD`: the run before it, on the same inputs but for the package,
            in which nothing failed and no error was.

    Raises:
        UsageError: there is no such run.
    """
    if words == LAST:
        every = queries.runs(connection)
        if not every:
            raise UsageError("the store holds no run", hint="kshs store import DIR")
        return every[-1:]
    if words == LAST_GOOD:
        return [_last_good(connection, beside)]
    found = {run.id: run for word in words.split(",") for run in [queries.find_run(connection, word.strip())]}
    return sorted(found.values(), key=_when)


def _when(run: RunInfo) -> tuple[datetime, int]:
    return run.started or datetime.min, run.id


def _last_good(connection: Connection, beside: Sequence[RunInfo]) -> RunInfo:
    if not beside:
        raise UsageError(f"{LAST_GOOD} is the run before another one", hint=f"kshs compare {LAST_GOOD} RUN")
    found = last_good(connection, beside[0])
    if found is None:
        raise UsageError(
            f"before run {beside[0].name} there is no good one on the same guest",
            hint="name the run to compare with",
        )
    return found


def last_good(
    connection: Connection, first: RunInfo, *, same: bool = False, among: Sequence[RunInfo] | None = None
) -> RunInfo | None:
    """The last run before one, on the same inputs but for the package, in which nothing failed.

    Args:
        connection: of the store.
        first: the run.
        same: whether it must have been asked for the same; else such a one comes before one that was asked
            for more, or by other paths.
        among: the runs that are looked at, the oldest first; by default all of the store.
    """
    every = queries.runs(connection) if among is None else among
    before = [run for run in every if _when(run) < _when(first) and not run.problem]
    before = [run for run in reversed(before) if is_alike(run, first)]
    asked_alike = [run for run in before if asked(run.command) == asked(first.command)]
    for run in asked_alike if same else [*asked_alike, *before]:
        if is_good(run, queries.verdict_counts(connection, [run.id]).get(run.id, {})):
            return run
    return None


def is_good(run: RunInfo, verdicts: Collection[str]) -> bool:
    """Whether nothing failed in a run: what others may be compared with."""
    return not run.problem and bool(verdicts) and set(verdicts) <= {Verdict.PASSED, Verdict.SKIPPED}


def is_alike(run: RunInfo, first: RunInfo) -> bool:
    """Whether it is of the same inputs but for the package, and no narrower."""
    one, other = run.conditions, first.conditions
    same = one.guest_id == other.guest_id and one.target == other.target
    alike = same or not any(d.matters for d in differences(one, other))
    return alike and (run.selection is None or run.selection == first.selection)


@lru_cache(maxsize=4096)
def asked(command: str | None, *, workers: bool = False) -> tuple[str, ...]:
    """What a run was asked for, by its command line: without where its results went.

    Args:
        command: the line.
        workers: whether it counts how many guests were used at the same time.
    """
    try:
        words = shlex.split(command or "")
    except ValueError:
        return (command or "",)
    left_out = ("--out",) if workers else ("--out", "-n")
    kept, skip = [], False
    for word in words:
        if not skip and word not in left_out:
            kept.append(word)
        skip = not skip and word in left_out
    return tuple(kept)


def option_of(command: str | None, option: str) -> str | None:
    """The value of an option in a command line, the last one that is given."""
    try:
        words = shlex.split(command or "")
    except ValueError:
        return None
    return next((after for word, after in reversed([*pairwise(words)]) if word == option), None)


def compare_runs(
    connection: Connection,
    before: Sequence[RunInfo],
    now: Sequence[RunInfo],
    known: Iterable[KnownFile] = (),
    today: date | None = None,
    varying: VaryingFields | None = None,
) -> Night:
    """Compares two sides, and tells what is known as such.

    Args:
        connection: of the store.
        before: runs of one side, the oldest first; none where nothing is there to compare with.
        now: those of the other.
        known: known issues and quarantines.
        today: on which day expiries are looked at; by default that of the last run.
        varying: fields that are known to vary; by default all that the store knows.

    Raises:
        UsageError: the runs of a side cannot stand together.
    """
    later = Side(tuple(now), common(now))
    sides = Side(tuple(before), common(before) if before else later.conditions), later
    outcomes = tuple(
        in_order(side.runs, queries.outcomes(connection, [run.id for run in side.runs])) for side in sides
    )

    def load(numbers: Collection[int]) -> Mapping[int, Listed]:
        return load_lists(connection, numbers)

    known_to_vary = queries.varying(connection) if varying is None else varying
    told = Told(load, known_to_vary, queries.first_seen_varying(connection, [run.id for run in now]))
    night = compare(*sides, (outcomes[0], outcomes[1]), told)
    night = replace(night, notes=_notes(sides[0], sides[1], outcomes[0], outcomes[1]))
    return with_known(connection, night, outcomes[1], known, today)


def outcomes_of(
    connection: Connection, runs: Sequence[RunInfo], read: Read | None = None
) -> list[queries.Outcome]:
    """What runs say of scenarios, the first run first; `read` may stand for the store."""
    return in_order(runs, (read or partial(queries.outcomes, connection))([run.id for run in runs]))


def told(connection: Connection, now: Sequence[RunInfo]) -> Told:
    """What the store knows beforehand of fields that vary."""
    first = queries.first_seen_varying(connection, [run.id for run in now])
    return Told(lambda numbers: load_lists(connection, numbers), queries.varying(connection), first)


def with_notes(night: Night, before: Iterable[queries.Outcome], now: Iterable[queries.Outcome]) -> Night:
    """With what makes the comparison weaker than it looks."""
    return replace(night, notes=_notes(night.before, night.now, before, now))


def with_known(
    connection: Connection,
    night: Night,
    outcomes: Sequence[queries.Outcome],
    known: Iterable[KnownFile],
    today: date | None = None,
) -> Night:
    """What was found, with what is known told as such.

    Args:
        connection: of the store.
        night: what was found.
        outcomes: of the runs that are asked about.
        known: known issues and quarantines.
        today: on which day expiries are looked at; by default that of the last run.
    """
    files = list(known)
    issues = [issue for file in files for issue in file.issue]
    quarantines = [quarantine for file in files for quarantine in file.quarantine]
    if not issues and not quarantines:
        return night
    last = night.now.runs[-1]

    def load(numbers: Collection[int]) -> Mapping[int, Listed]:
        return load_lists(connection, numbers)

    def passed_since(key: str, day: date) -> str | None:
        after = datetime.combine(day, time.max)
        # The last release passes in the same night under the same name: it is another driver.
        target = option_of(last.command, "--target")
        for name, started, command in queries.passed_between(
            connection, key, night.now.conditions, after, last.started
        ):
            if option_of(command, "--target") in (target, None) or target is None:
                return f"it passed in run {name} of {started:%Y-%m-%d}"
        return None

    day = today or (last.started.date() if last.started else datetime.now(UTC).date())
    return apply(night, Knowledge(issues, quarantines, day, outcomes, load, passed_since))


def in_order(runs: Sequence[RunInfo], outcomes: Iterable[queries.Outcome]) -> list[queries.Outcome]:
    """Outcomes in the order of their runs."""
    place = {run.id: number for number, run in enumerate(runs)}
    return sorted(outcomes, key=lambda outcome: place[outcome.run])


def _notes(
    before: Side, now: Side, earlier: Iterable[queries.Outcome], later: Iterable[queries.Outcome]
) -> list[str]:
    """What makes a comparison weaker than it looks."""
    notes = []
    for name, side, outcomes in (("before", before, earlier), ("now", now, later)):
        if any(one.content is None and one.kind == "scenario" for one in outcomes):
            notes.append(f"{name}: the content of scenarios is not on record; they are taken as the same")
        notes += [f"{name}: run {run.name}: {run.note}" for run in side.runs if run.note]
    if not before.runs:
        return notes
    last = before.runs[-1], now.runs[-1]
    if last[0].kshs != last[1].kshs:
        notes.append(f"kshs changed: {last[0].kshs} -> {last[1].kshs}")
    elif last[0].build != last[1].build and before.conditions.ks_digest == now.conditions.ks_digest:
        notes.append("the drivers of kshs itself were built anew: client, agent, or the sample target")
    return notes
