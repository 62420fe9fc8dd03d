# SPDX-License-Identifier: Apache-2.0
"""What the store knows of runs, as plain values for those who compare them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, func, select

from harness.errors import UsageError
from harness.store.interning import among
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


def _runs() -> Any:
    return (
        select(
            Run.id,
            Run.name,
            Run.started,
            Run.version,
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


def _run(row: Sequence[Any]) -> RunInfo:
    own = len(RunInfo.__slots__) - 1
    said: list[Any] = [*row[:own], Conditions(*row[own:])]
    return RunInfo(*said)


def runs(connection: Connection, run_ids: Collection[int] | None = None) -> list[RunInfo]:
    """All runs, or some, the oldest first."""
    if run_ids is None:
        return [_run(row) for row in connection.execute(_runs()).all()]
    found = [_run(row) for row in among(connection, _runs(), Run.id, run_ids)]
    return sorted(found, key=lambda run: (run.started or datetime.min, run.id))


def last_runs(connection: Connection, count: int) -> list[RunInfo]:
    """The last runs, the oldest of them first."""
    when = func.coalesce(Run.started, Run.imported)
    query = _runs().order_by(None).order_by(when.desc(), Run.id.desc()).limit(count)
    return [_run(row) for row in connection.execute(query).all()][::-1]


def find_run(connection: Connection, name: str) -> RunInfo:
    """The run of this name, or the only one whose name begins so.

    Raises:
        UsageError: there is none, or several.
    """
    found = [_run(row) for row in connection.execute(_runs().where(Run.name == name))]
    if not found and name:
        pattern = _runs().where(Run.name.startswith(name, autoescape=True))
        found = [_run(row) for row in connection.execute(pattern)]
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
    rows: Any = connection.execute(query) if run_ids is None else None
    if run_ids is not None:
        rows = among(connection, query, Attempt.run_id, run_ids)
    found: dict[int, dict[str, int]] = {}
    for run, verdict, count in rows:
        found.setdefault(run, {})[verdict] = count
    return found


def outcomes(
    connection: Connection, run_ids: Collection[int], keys: Collection[str] | None = None
) -> list[Outcome]:
    """What runs say of each scenario, in the order of the runs and of their collection.

    Args:
        connection: to read by.
        run_ids: of the runs.
        keys: of the scenarios that are asked for, as many as fit into a statement; all by default.
    """
    query = select(
        Attempt.run_id,
        Attempt.scenario_id,
        Attempt.verdict,
        Attempt.reason,
        Attempt.signature_id,
        Attempt.answers_id,
        Attempt.stands,
        Attempt.torn,
        Attempt.seconds,
    ).order_by(Attempt.run_id, Attempt.position, Attempt.number)
    if keys is not None:
        query = query.where(
            Attempt.scenario_id.in_(select(Scenario.id).where(Scenario.key.in_(sorted(keys))))
        )
    rows = list(among(connection, query, Attempt.run_id, run_ids))
    # A month of nights has thousands of attempts at each scenario, and a few signatures.
    of_scenarios = select(Scenario.id, Scenario.key, Scenario.content, Scenario.kind)
    scenarios = among(connection, of_scenarios, Scenario.id, {row[1] for row in rows})
    of_signatures = select(Signature.id, Signature.text, Signature.words)
    signatures = among(connection, of_signatures, Signature.id, {row[4] for row in rows} - {None})
    return [*_with_tries(rows, _by_id(scenarios), _by_id(signatures) | {None: (None, None)})]


def _by_id(rows: Iterable[Any]) -> dict[int | None, tuple[Any, ...]]:
    return {row[0]: tuple(row[1:]) for row in rows}


def _with_tries(
    rows: Iterable[Any],
    scenarios: Mapping[int | None, tuple[Any, ...]],
    signatures: Mapping[int | None, tuple[Any, ...]],
) -> Iterator[Outcome]:
    """Attempts made into one outcome a scenario: the one that stands, with the verdicts of all."""
    for (run, scenario), attempts in groupby(rows, key=itemgetter(0, 1)):
        tries = tuple(attempts)
        verdicts = tuple(row[2] for row in tries)
        for _, _, verdict, reason, signature, answers, stands, torn, seconds in tries:
            if stands:
                text, words = signatures[signature]
                came = [verdict, reason, text, words, None if torn else answers, verdicts, torn, seconds]
                said: list[Any] = [run, scenario, *scenarios[scenario], *came]
                yield Outcome(*said)


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
            Run.name,
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
    found = []
    for row in connection.execute(query):
        on: list[Any] = [*row[6:]]
        said: list[Any] = [*row[:6], counts.get(row[0], 0), Conditions(*on)]
        found.append(AcceptanceInfo(*said))
    return found


def accepted(connection: Connection, acceptance_ids: Collection[int]) -> list[AcceptedList]:
    """What these acceptances stand for, the oldest first."""
    query = (
        select(
            Scenario.key,
            Accepted.scenario_id,
            Scenario.content,
            Accepted.answers_id,
            Accepted.acceptance_id,
        )
        .join(Scenario, Accepted.scenario_id == Scenario.id)
        .order_by(Accepted.acceptance_id)
    )
    rows = among(connection, query, Accepted.acceptance_id, acceptance_ids)
    return [AcceptedList(*row) for row in rows]


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
    rows = among(connection, select(Scenario.id, Scenario.rules), Scenario.id, numbers)
    return {number: tuple(said.split()) for number, said in rows}
