# SPDX-License-Identifier: Apache-2.0
"""Fields that vary in fact, learned from runs of the same scenarios on the same guest with the same package.

Only what passed both times teaches anything: what failed once is told as a failure.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from harness.store.interning import table_of
from harness.store.lists import Listed, differences, load_lists
from harness.store.models import Attempt, Run, Varying
from harness.verdict import Verdict

#: Values of one field that are kept; a field that had more is one that may hold anything.
MAX_SEEN = 16
#: Earlier runs on the same inputs that a run is held against.
_BACK = 3


def learn(connection: Connection, run_id: int) -> None:
    """Notes what a run got differently from runs before it on identical inputs."""
    inputs = select(Run.guest_id, Run.target_id, Run.build, Run.version).where(Run.id == run_id)
    guest, target, build, kshs = connection.execute(inputs).one()
    earlier = connection.scalars(
        select(Run.id)
        .where(
            Run.guest_id == guest,
            Run.target_id == target,
            # Our own agent and client, and who judges: None is told by IS.
            Run.build.is_(None) if build is None else Run.build == build,
            Run.version.is_(None) if kshs is None else Run.version == kshs,
            Run.id != run_id,
        )
        .order_by(func.coalesce(Run.started, Run.imported).desc(), Run.id.desc())
        .limit(_BACK)
    ).all()
    if not earlier:
        return
    here = _passed(connection, run_id)
    pairs: dict[int, tuple[int, int]] = {}
    for run in reversed(earlier):  # the latest one last: it counts where several have a scenario
        there = _passed(connection, run)
        for scenario, answers in here.items():
            if scenario in there:
                pairs[scenario] = (there[scenario], answers)
    pairs = {scenario: pair for scenario, pair in pairs.items() if pair[0] != pair[1]}
    if not pairs:
        return
    lists = load_lists(connection, {number for pair in pairs.values() for number in pair})
    for scenario, (before, now) in pairs.items():
        _note(connection, (scenario, guest, target), run_id, lists[before], lists[now])


def _passed(connection: Connection, run_id: int) -> dict[int, int]:
    """The lists of answers of what passed in a run, by scenario."""
    rows = connection.execute(
        select(Attempt.scenario_id, Attempt.answers_id).where(
            Attempt.run_id == run_id,
            Attempt.verdict == Verdict.PASSED.value,
            Attempt.torn.is_(False),
            Attempt.answers_id.is_not(None),
        )
    )
    return {scenario: answers for scenario, answers in rows if answers is not None}


def _note(
    connection: Connection, inputs: tuple[int, int, int], run_id: int, before: Listed, now: Listed
) -> None:
    scenario, guest, target = inputs
    place = (Varying.scenario_id == scenario, Varying.guest_id == guest, Varying.target_id == target)
    for change in differences(before, now):
        which = (*place, Varying.position == change.position, Varying.field == change.field)
        known = connection.execute(select(Varying.id, Varying.seen).where(*which)).one_or_none()
        values = [] if known is None else list(json.loads(known.seen))
        values += [value for value in (change.before, change.now) if value not in values]
        seen = json.dumps(values[:MAX_SEEN])
        if known is not None:
            connection.execute(update(Varying).where(Varying.id == known.id).values(seen=seen))
            continue
        row: dict[str, Any] = {
            "scenario_id": scenario,
            "guest_id": guest,
            "target_id": target,
            "run_id": run_id,
        }
        row |= {"position": change.position, "field": change.field, "seen": seen}
        connection.execute(insert(table_of(Varying)).values(row))
