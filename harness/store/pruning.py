# SPDX-License-Identifier: Apache-2.0
"""Old runs taken out of the store; what is a baseline stays, and what the caller wants kept."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select, update

from harness.store.importing import forget_attempts
from harness.store.interning import chunks
from harness.store.models import (
    Acceptance,
    Accepted,
    Answer,
    Answers,
    Attempt,
    Guest,
    PackageFile,
    Run,
    Scenario,
    SelfTest,
    Signature,
    StatusBlock,
    Step,
    Target,
    Varying,
)


@dataclass(frozen=True)
class Pruned:
    """What became of old runs: names of those that went, and how many stayed and why."""

    gone: tuple[str, ...]
    baselines: int
    evidence: int


def prune(connection: Connection, before: datetime, keep: Collection[int] = ()) -> Pruned:
    """Removes runs that were started before a time, and what only they needed.

    Args:
        connection: that may write.
        before: UTC; a run that does not say when it was started goes by when it was imported.
        keep: runs that stay, as evidence of an open issue.
    """
    when = func.coalesce(Run.started, Run.imported)
    old = connection.execute(select(Run.id, Run.name).where(when < before)).all()
    accepted = set(connection.scalars(select(Acceptance.run_id)))
    baselines = [number for number, _ in old if number in accepted]
    evidence = [number for number, _ in old if number in set(keep) - accepted]
    going = [(number, name) for number, name in old if number not in {*baselines, *evidence}]
    for some in chunks([number for number, _ in going]):
        forget_attempts(connection, list(some))
        connection.execute(update(Varying).where(Varying.run_id.in_(some)).values(run_id=None))
        connection.execute(delete(Run).where(Run.id.in_(some)))
    connection.execute(delete(SelfTest).where(func.coalesce(SelfTest.started, SelfTest.imported) < before))
    if going:
        sweep(connection)
    return Pruned(tuple(name for _, name in going), len(baselines), len(evidence))


def sweep(connection: Connection) -> None:
    """Removes what nothing refers to any more."""
    lists = _unused(Answers.id, Attempt.answers_id, Accepted.answers_id)
    connection.execute(delete(Answer).where(Answer.answers_id.in_(select(Answers.id).where(lists))))
    connection.execute(delete(Answers).where(lists))
    connection.execute(delete(StatusBlock).where(_unused(StatusBlock.id, Answer.status_block_id)))
    connection.execute(delete(Step).where(_unused(Step.id, Answer.step_id)))
    connection.execute(delete(Signature).where(_unused(Signature.id, Attempt.signature_id)))
    used = (Attempt.scenario_id, Accepted.scenario_id)
    gone = select(Scenario.id).where(_unused(Scenario.id, *used))
    connection.execute(delete(Varying).where(Varying.scenario_id.in_(gone)))
    connection.execute(delete(Scenario).where(_unused(Scenario.id, *used)))
    connection.execute(
        delete(Guest).where(_unused(Guest.id, Run.guest_id, Acceptance.guest_id, Varying.guest_id))
    )
    connection.execute(delete(Target).where(_unused(Target.id, Run.target_id, Varying.target_id)))
    connection.execute(delete(PackageFile).where(_unused(PackageFile.package, Target.package)))


def _unused(column: Any, *users: Any) -> Any:
    """That no row of these columns has this id."""
    taken = [column.in_(select(user).where(user.is_not(None))) for user in users]
    return ~or_(*taken)
