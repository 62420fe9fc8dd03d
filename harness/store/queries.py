# SPDX-License-Identifier: Apache-2.0
"""What the store knows of runs, as plain values for those who compare them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from harness.errors import UsageError
from harness.store.interning import chunks
from harness.store.models import (
    Acceptance,
    Accepted,
    Attempt,
    Guest,
    Run,
    Scenario,
    Signature,
    Target,
    Varying,
)
from harness.store.values import Value
from harness.verdict import Verdict

#: Names of runs that are shown where several begin alike.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a run was made on and of; see `harness.store.models.Guest` and `Target`."""

    recipe: str
    family: str | None
    kernel: str | None
    kernel_build: str | None
    ks_digest: str | None
    ks_ours: bool | None
    verifier: str | None
    image: str | None
    accelerator: str | None
    target: str
    package: str | None
    version: str | None
    guest_id: int
    target_id: int


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One run; `build` is that of kshs's own drivers, `note` and `problem` say what was wrong with it."""

    id: int
    name: str
    started: datetime | None
    kshs: str | None
    build: str | None
    command: str | None
    problem: str | None
    note: str | None
    selection: str | None
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run says of a scenario; `tries` are the verdicts of all attempts, in their order.

    Of one that is `torn` not all that came back is on record: it has no `answers`.
    """

    run: int
    scenario: int
    key: str
    content: str | None
    kind: str
    verdict: str
    reason: str | None
    signature: str | None
    words: str | None
    answers: int | None
    tries: tuple[str, ...]
    torn: bool
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class AcceptedList:
    """The accepted answers of one scenario, and the acceptance they come from."""

    key: str
    scenario: int
    content: str | None
    answers: int
    acceptance: int


@dataclass(frozen=True, slots=True)
class AcceptanceInfo:
    """One acceptance: who, why, when, for which scenarios, on what; `scenarios` is how many it covers."""

    id: int
    run: str
    who: str
    why: str
    at: datetime
    pattern: str
    scenarios: int
    conditions: Conditions


_CONDITIONS = (
    Guest.recipe,
    Guest.family,
    Guest.kernel,
    Guest.kernel_build,
    Guest.ks_digest,
    Guest.ks_ours,
    Guest.verifier,
    Guest.image,
    Guest.accelerator,
    Target.name.label("target"),
    Target.package,
    Target.version,
    Guest.id.label("guest_id"),
    Target.id.label("target_id"),
)


def _conditions(row: Mapping[Any, Any]) -> Conditions:
    return Conditions(**{name: row[name] for name in Conditions.__slots__})


def _runs() -> Any:
    return (
        select(
            Run.id,
            Run.name.label("run"),
            Run.started,
            Run.version.label("kshs"),
            Run.build,
            Run.command,
            Run.problem,
            Run.note,
            Run.selection,
            *_CONDITIONS,
        )
        .join(Guest, Run.guest_id == Guest.id)
        .join(Target, Run.target_id == Target.id)
        .order_by(func.coalesce(Run.started, Run.imported), Run.id)
    )


def _run(row: Mapping[Any, Any]) -> RunInfo:
    return RunInfo(
        row["id"],
        row["run"],
        row["started"],
        row["kshs"],
        row["build"],
        row["command"],
        row["problem"],
        row["note"],
        row["selection"],
        _conditions(row),
    )


def runs(connection: Connection, run_ids: Collection[int] | None = None) -> list[RunInfo]:
    """All runs, or some, the oldest first."""
    if run_ids is None:
        return [_run(row) for row in connection.execute(_runs()).mappings()]
    parts = (_runs().where(Run.id.in_(some)) for some in chunks(sorted(run_ids)))
    found = [_run(row) for part in parts for row in connection.execute(part).mappings()]
    return sorted(found, key=lambda run: (run.started or datetime.min, run.id))


def find_run(connection: Connection, name: str) -> RunInfo:
    """The run of this name, or the only one whose name begins so.

    Raises:
        UsageError: there is none, or several.
    """
    found = [_run(row) for row in connection.execute(_runs().where(Run.name == name)).mappings()]
    if not found and name:
        pattern = _runs().where(Run.name.startswith(name, autoescape=True))
        found = [_run(row) for row in connection.execute(pattern).mappings()]
    if len(found) == 1:
        return found[0]
    if found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        names = ", ".join(run.name for run in found[:_NAMED]) + more
        raise UsageError(f"{name} begins several runs: {names}", hint="give more of it")
    raise UsageError(f"{name} is no run of the store", hint="kshs store list says which there are")


def verdict_counts(
    connection: Connection, run_ids: Collection[int] | None = None
) -> dict[int, dict[str, int]]:
    """Scenarios and tests of each run by verdict; of all runs, or of some."""
    query = select(Attempt.run_id, Attempt.verdict, func.count()).where(Attempt.stands)
    query = query.group_by(Attempt.run_id, Attempt.verdict)
    parts = (
        [query] if run_ids is None else [query.where(Attempt.run_id.in_(some)) for some in chunks([*run_ids])]
    )
    found: dict[int, dict[str, int]] = {}
    for part in parts:
        for run, verdict, count in connection.execute(part):
            found.setdefault(run, {})[verdict] = count
    return found


def outcomes(connection: Connection, run_ids: Collection[int], key: str | None = None) -> list[Outcome]:
    """What runs say of each scenario, in the order of the runs and of their collection.

    Args:
        connection: to read by.
        run_ids: of the runs.
        key: of the one scenario that is asked for; all by default.
    """
    found: list[Outcome] = []
    for some in chunks(sorted(run_ids)):
        query = (
            select(
                Attempt.run_id,
                Attempt.scenario_id,
                Scenario.key,
                Scenario.content,
                Scenario.kind,
                Attempt.verdict,
                Attempt.reason,
                Signature.text,
                Signature.words,
                Attempt.answers_id,
                Attempt.stands,
                Attempt.torn,
                Attempt.seconds,
            )
            .join(Scenario, Attempt.scenario_id == Scenario.id)
            .outerjoin(Signature, Attempt.signature_id == Signature.id)
            .where(Attempt.run_id.in_(some))
            .order_by(Attempt.run_id, Attempt.position, Attempt.number)
        )
        if key is not None:
            query = query.where(Scenario.key == key)
        found += _with_tries(connection.execute(query).all())
    return found


def _with_tries(rows: Iterable[Any]) -> list[Outcome]:
    """Attempts made into one outcome a scenario: the one that stands, with the verdicts of all."""
    tries: dict[tuple[int, int], list[str]] = {}
    stands = []
    for row in rows:
        run, scenario, *_rest = row
        tries.setdefault((run, scenario), []).append(row[5])
        if row[10]:
            stands.append(row)
    made = []
    for row in stands:
        said: list[Any] = [*row[:9], None if row[11] else row[9], tuple(tries[row[0], row[1]]), *row[11:]]
        made.append(Outcome(*said))
    return made


def varying(connection: Connection) -> dict[int, dict[tuple[int, str], list[Value]]]:
    """By scenario the fields that vary in fact, as position and name, each with the values seen so far."""
    found: dict[int, dict[tuple[int, str], list[Value]]] = {}
    query = select(Varying.scenario_id, Varying.position, Varying.field, Varying.seen)
    for scenario, position, field, seen in connection.execute(query):
        kept = found.setdefault(scenario, {}).setdefault((position, field), [])
        kept += [value for value in json.loads(seen) if value not in kept]
    return found


def first_seen_varying(connection: Connection, run_ids: Collection[int]) -> list[tuple[str, int, str, str]]:
    """Fields that were first seen to vary in these runs: key, position, field, values as JSON."""
    query = (
        select(Scenario.key, Varying.position, Varying.field, Varying.seen)
        .join(Scenario, Varying.scenario_id == Scenario.id)
        .where(Varying.run_id.in_(list(run_ids)))
        .order_by(Scenario.key, Varying.position, Varying.field)
    )
    return [(key, position, field, seen) for key, position, field, seen in connection.execute(query)]


def all_varying(connection: Connection) -> list[tuple[str, int, str, str]]:
    """Fields that vary in fact: key, position, field, values as JSON."""
    query = (
        select(Scenario.key, Varying.position, Varying.field, Varying.seen)
        .join(Scenario, Varying.scenario_id == Scenario.id)
        .order_by(Scenario.key, Varying.position, Varying.field)
    )
    return [(key, position, field, seen) for key, position, field, seen in connection.execute(query)]


def acceptances(connection: Connection) -> list[AcceptanceInfo]:
    """Everything that was ever accepted, the oldest first."""
    covered = select(Accepted.acceptance_id, func.count().label("scenarios")).group_by(Accepted.acceptance_id)
    counts: dict[int, int] = {row[0]: row[1] for row in connection.execute(covered)}
    query = (
        select(
            Acceptance.id,
            Run.name.label("run"),
            Acceptance.who,
            Acceptance.why,
            Acceptance.at,
            Acceptance.pattern,
            *_CONDITIONS,
        )
        .join(Run, Acceptance.run_id == Run.id)
        .join(Guest, Acceptance.guest_id == Guest.id)
        .join(Target, Run.target_id == Target.id)
        .order_by(Acceptance.id)
    )
    return [
        AcceptanceInfo(
            row["id"],
            row["run"],
            row["who"],
            row["why"],
            row["at"],
            row["pattern"],
            counts.get(row["id"], 0),
            _conditions(row),
        )
        for row in connection.execute(query).mappings()
    ]


def accepted(connection: Connection, acceptance_ids: Collection[int]) -> list[AcceptedList]:
    """What these acceptances stand for, the oldest first."""
    found: list[AcceptedList] = []
    for some in chunks(sorted(acceptance_ids)):
        query = (
            select(
                Scenario.key,
                Accepted.scenario_id,
                Scenario.content,
                Accepted.answers_id,
                Accepted.acceptance_id,
            )
            .join(Scenario, Accepted.scenario_id == Scenario.id)
            .where(Accepted.acceptance_id.in_(some))
            .order_by(Accepted.acceptance_id)
        )
        found += [AcceptedList(*row) for row in connection.execute(query)]
    return found


def passed_between(
    connection: Connection, key: str, like: Conditions, after: datetime, before: datetime | None
) -> Iterator[tuple[str, datetime, str | None]]:
    """Runs behind a time in which a scenario passed, on such a guest with such a target; their commands."""
    query = (
        select(Run.name, Run.started, Run.command)
        .join(Attempt, Attempt.run_id == Run.id)
        .join(Scenario, Attempt.scenario_id == Scenario.id)
        .join(Guest, Run.guest_id == Guest.id)
        .join(Target, Run.target_id == Target.id)
        .where(
            Scenario.key == key,
            Attempt.verdict == Verdict.PASSED.value,
            Attempt.stands,
            Guest.recipe == like.recipe,
            Guest.kernel == like.kernel,
            Target.name == like.target,
            Run.started > after,
        )
        .order_by(Run.started)
    )
    if before is not None:
        query = query.where(Run.started < before)
    for name, started, command in connection.execute(query):
        if started is not None:
            yield name, started, command


def rules(connection: Connection, numbers: Collection[int]) -> dict[int, tuple[str, ...]]:
    """By the id of a scenario the rules that it is about."""
    found: dict[int, tuple[str, ...]] = {}
    for some in chunks(sorted(numbers)):
        query = select(Scenario.id, Scenario.rules).where(Scenario.id.in_(some))
        found |= {number: tuple(said.split()) for number, said in connection.execute(query)}
    return found
