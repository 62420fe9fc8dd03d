# SPDX-License-Identifier: Apache-2.0
"""Which runs a store has, as briefly as can be: a thousand nights are looked at in a moment."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from harness.store.interning import among
from harness.store.models import Run, Scenario


@dataclass(frozen=True, slots=True)
class RunMark:
    """One run: `digest` is of what is kept of it, `at` when it began or, that unknown, was imported."""

    id: int
    name: str
    digest: str
    at: datetime


def marks(connection: Connection) -> list[RunMark]:
    """All runs, the oldest first."""
    at = func.coalesce(Run.started, Run.imported)
    query = select(Run.id, Run.name, Run.digest, at).order_by(at, Run.id)
    return [
        RunMark(number, name, digest.hex(), when)
        for number, name, digest, when in connection.execute(query).all()
    ]


def durations(connection: Connection, run_ids: Collection[int]) -> dict[int, float]:
    """Seconds that runs took, where they say it."""
    query = select(Run.id, Run.seconds).where(Run.seconds.is_not(None))
    return dict(map(tuple, among(connection, query, Run.id, run_ids)))


def titles(connection: Connection, scenario_ids: Collection[int]) -> dict[int, tuple[str, str]]:
    """Of contents of scenarios what they say of themselves, and their rules."""
    query = select(Scenario.id, Scenario.title, Scenario.rules)
    rows = among(connection, query, Scenario.id, scenario_ids)
    return {number: (title or "", rules) for number, title, rules in rows}
