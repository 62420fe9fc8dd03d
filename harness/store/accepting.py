# SPDX-License-Identifier: Apache-2.0
"""What somebody accepts becomes the baseline; nothing ever does by itself, and nothing is overwritten."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select

from harness.store.interning import table_of, tidy
from harness.store.models import Acceptance, Accepted, Run, Target


def accept(
    connection: Connection, run_id: int, answers: Mapping[int, int], *, who: str, why: str, pattern: str
) -> int:
    """Puts on record that the answers of a run are the accepted ones.

    Args:
        connection: that may write.
        run_id: of the run.
        answers: lists of answers by scenario.
        who: accepts them.
        why: they are right, or at least what is to be expected.
        pattern: what was said of which scenarios are meant.

    Returns:
        The id of the acceptance.
    """
    of_run = select(Run.guest_id, Target.name).join(Target, Run.target_id == Target.id)
    guest_id, target_name = connection.execute(of_run.where(Run.id == run_id)).one()
    row = {
        "run_id": run_id,
        "who": who[:400],
        "why": why,
        "at": datetime.now(UTC).replace(tzinfo=None, microsecond=0),
        "pattern": pattern[:1000],
        "guest_id": guest_id,
        "target_name": target_name,
    }
    made = connection.execute(insert(table_of(Acceptance)).values(tidy(row)))
    number = int(made.inserted_primary_key[0])  # type: ignore[index]
    connection.execute(
        insert(table_of(Accepted)),
        [
            {"acceptance_id": number, "scenario_id": scenario, "answers_id": listed}
            for scenario, listed in answers.items()
        ],
    )
    return number
