# SPDX-License-Identifier: Apache-2.0
"""Which runs a store has, as briefly as can be: a thousand nights are looked at in a moment."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from harness.store.interning import chunks
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
    query = select(Run.id, Run.name, Run.digest, Run.started, Run.imported).order_by(at, Run.id)
    return [
        RunMark(number, name, digest.hex(), started or imported)
        for number, name, digest, started, imported in connection.execute(query)
    ]


def durations(connection: Connection, run_ids: Collection[int]) -> dict[int, float]:
    """Seconds that runs took, where they say it."""
    found: dict[int, float] = {}
    for some in chunks(sorted(run_ids)):
        query = select(Run.id, Run.seconds).where(Run.id.in_(some), Run.seconds.is_not(None))
        found |= {number: seconds for number, seconds in connection.execute(query) if seconds is not None}
    return found


def titles(connection: Connection, scenario_ids: Collection[int]) -> dict[int, tuple[str, str]]:
    """Of contents of scenarios what they say of themselves, and their rules."""
    found: dict[int, tuple[str, str]] = {}
    for some in chunks(sorted(scenario_ids)):
        query = select(Scenario.id, Scenario.title, Scenario.rules).where(Scenario.id.in_(some))
        found |= {number: (title or "", rules) for number, title, rules in connection.execute(query)}
    return found
