# SPDX-License-Identifier: Apache-2.0
"""The driver's answers looked at: against the released package, the baseline, waivers and the policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from harness.errors import UsageError
from harness.gate.cells import Cell
from harness.gate.facts import Facts
from harness.gate.failures import Failure, of_attempts, of_characteristic
from harness.gate.waivers import Waived, apply
from harness.nights.baseline import Standing, hold
from harness.nights.comparison import VaryingFields, in_words
from harness.nights.field_words import values_in_words
from harness.nights.findings import Kind, Night
from harness.nights.night import compare_runs
from harness.store import queries
from harness.store.lists import Change, load_lists
from harness.store.queries import AcceptanceInfo, AcceptedList, RunInfo
from harness.store.varying_fields import VaryingField, values_of, varying_with


@dataclass(frozen=True)
class Looked:
    """What came of looking at the driver's answers: nights of cells, the baseline, failures and waivers.

    `changed` are values that are new and that nobody has accepted, `waived` what became of them and of the
    failures of every run of these bytes but for `excused`, which the policy lets through without a waiver.
    """

    nights: Mapping[int, Night]
    standings: Mapping[int, Standing]
    changed: Sequence[Failure]
    waived: Waived
    errors: Sequence[str]
    excused: Sequence[Failure]


def look(connection: Connection, facts: Facts) -> Looked:
    """Compares, and holds what was found against the baseline and against waivers."""
    nights: dict[int, Night] = {}
    standings: dict[int, Standing] = {}
    errors: list[str] = []
    # Else what an issue is about would be told as known, and be let through although the policy does not.
    known_files = facts.known if facts.loaded.policy.failures.known_issues else ()
    vary = _Vary.of(connection, facts)
    acceptances = queries.acceptances(connection)
    accepted = queries.accepted(connection, [one.id for one in acceptances])
    for number, cell in enumerate(facts.cells):
        if not cell.counted:
            continue
        standings[number] = _held(connection, cell.counted, acceptances, accepted, vary.held)
        if cell.before:
            try:
                nights[number] = compare_runs(
                    connection, cell.before, cell.counted, known_files, facts.now.date(), vary.released
                )
            except UsageError as error:
                errors.append(f"{cell.name}: {error}")
    failures = of_attempts(
        connection, [one for run in facts.mine for one in facts.attempts.get(run.id, ())], facts.runs
    )
    changed = list(_changed(facts, nights, standings, vary.news))
    excused = [one for one in failures if _is_excused(one, facts, nights)]
    needed = [one for one in failures if one not in excused]
    files = facts.waivers if facts.loaded.policy.waivers.allowed else ()
    return Looked(nights, standings, changed, apply(files, [*needed, *changed]), errors, excused)


@dataclass(frozen=True)
class _Vary:
    """Which fields vary in fact.

    Comparisons pass over what varies, so that a driver whose answers have become unsteady would excuse
    itself, and any build between the last release and this one would excuse both.  So only what was seen to
    vary with the `released` package is known; against what was `held` to be accepted somebody has looked at
    the candidate's values, too.  `news` varies with the candidate and did not before.
    """

    released: VaryingFields
    held: VaryingFields
    news: Sequence[VaryingField]

    @classmethod
    def of(cls, connection: Connection, facts: Facts) -> _Vary:
        """What the store knows; where nothing was released before, all of it is taken as known."""
        if facts.previous.first:
            known = queries.varying(connection)
            return cls(known, known, ())
        before = varying_with(connection, [facts.previous.digest] if facts.previous.digest else [])
        mine = varying_with(connection, [facts.candidate.digest])
        released = values_of(before)
        news = [one for one in mine if (one.position, one.field) not in released.get(one.scenario, {})]
        return cls(released, values_of([*before, *mine]), news)


def _held(
    connection: Connection,
    runs: Sequence[RunInfo],
    acceptances: Sequence[AcceptanceInfo],
    accepted: Sequence[AcceptedList],
    varying: VaryingFields,
) -> Standing:
    """All counted runs of a cell against what was accepted."""
    outcomes = queries.outcomes(connection, [run.id for run in runs])
    conditions = runs[-1].conditions
    return hold(outcomes, conditions, acceptances, accepted, lambda ids: load_lists(connection, ids), varying)


def _changed(
    facts: Facts,
    nights: Mapping[int, Night],
    standings: Mapping[int, Standing],
    unsteady: Sequence[VaryingField],
) -> Iterator[Failure]:
    """Values that are other than the released package's, or than what was accepted here."""
    told: set[tuple[str, str | None]] = set()
    restless = {(one.key, one.position, one.field) for one in unsteady}
    for number, cell in enumerate(facts.cells):
        if number not in standings:
            continue
        standing, last = standings[number], cell.counted[-1]
        accepted = {held.outcome.key for held in standing.same} - {h.outcome.key for h in standing.differs}
        found: list[tuple[str, Sequence[Change], str]] = []
        if number in nights:
            for finding in nights[number].findings:
                # What is told as unsteady is not told once more as changed.
                left = [c for c in finding.changes if (finding.key, c.position, c.field) not in restless]
                if finding.kind is Kind.CHANGED and finding.key not in accepted and left:
                    found.append((finding.key, left, in_words(left)))
        found += [
            (held.outcome.key, held.changes, "it is other than what was accepted here")
            for held in standing.differs
        ]
        for one in unsteady:
            if one.key not in accepted:
                row = {"step": one.position, "field": one.field, "now": one.seen}
                values = values_in_words(one.field, one.seen)
                said = f"step {one.position + 1}, {one.field}: {values} on identical inputs, and never before"
                failure = of_characteristic(last, one.key, [row], said)
                if (one.key, failure.identity) not in told:
                    told.add((one.key, failure.identity))
                    yield failure
        for key, changes, words in found:
            rows = [{name: getattr(one, name) for name in ("step", "field", "now")} for one in changes]
            failure = of_characteristic(last, key, rows, words)
            if (key, failure.identity) not in told:
                told.add((key, failure.identity))
                yield failure


def _is_excused(failure: Failure, facts: Facts, nights: Mapping[int, Night]) -> bool:
    """Whether the policy lets a failure through; of an attempt before the last nothing is known for sure."""
    policy = facts.loaded.policy.failures
    if failure.identity is None:
        return False
    for number, night in nights.items():
        cell = facts.cells[number]
        if failure.run not in {run.name for run in cell.counted}:
            continue
        kinds = {finding.kind for finding in night.findings if finding.key == failure.key}
        if policy.known_issues and kinds & {Kind.KNOWN, Kind.QUARANTINED}:
            return True
        if policy.as_released and Kind.STILL_FAILING in kinds and _failed_so(failure, facts, cell):
            return True
    return False


def _failed_so(failure: Failure, facts: Facts, cell: Cell) -> bool:
    """Whether the released package failed with the same signature."""
    return any(
        (one.key, one.verdict, one.signature) == (failure.key, failure.what, failure.signature)
        for run in cell.before
        for one in facts.attempts.get(run.id, ())
    )
