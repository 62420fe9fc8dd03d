# SPDX-License-Identifier: Apache-2.0
"""How long scenarios took when they ran last."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from harness.store.models import Attempt, Run, Scenario


def seconds_of(connection: Connection, runs: int = 50) -> dict[str, float]:
    """Mean seconds of the attempts that stand in the last runs, by the scenario's key in the store."""
    last = select(Run.id).order_by(Run.imported.desc()).limit(runs).scalar_subquery()
    rows = connection.execute(
        select(Scenario.key, func.avg(Attempt.seconds))
        .join(Attempt, Attempt.scenario_id == Scenario.id)
        .where(Attempt.stands, Attempt.seconds.is_not(None), Attempt.run_id.in_(last))
        .group_by(Scenario.key)
    )
    return {key: float(seconds) for key, seconds in rows}
