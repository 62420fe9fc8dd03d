# SPDX-License-Identifier: Apache-2.0
"""Which runs show an open issue."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from sqlalchemy import Connection

from harness.nights.known_file import Issue
from harness.store import queries
from harness.store.lists import load_lists
from harness.verdict import Verdict


def runs_that_show(
    connection: Connection, issues: Iterable[Issue], day: date, before: datetime | None = None
) -> set[int]:
    """Runs in which a scenario failed as an issue says, or a field holds what one is about.

    An issue that is past its date is open all the same: somebody has to look at it.

    Args:
        connection: of the store.
        issues: of the user's file.
        day: the present one; an issue that is opened later is of no past run.
        before: later ones are not looked at; all are by default.
    """
    opened = [issue for issue in issues if issue.opened <= day]
    found: set[int] = set()
    if not opened:
        return found
    for run in queries.runs(connection):
        if before is not None and run.started is not None and run.started >= before:
            continue
        of_run = [issue for issue in opened if issue.applies(run.conditions)]
        if of_run and _shows(connection, run.id, of_run):
            found.add(run.id)
    return found


def _shows(connection: Connection, run_id: int, issues: list[Issue]) -> bool:
    outcomes = queries.outcomes(connection, [run_id])
    covered = [(issue, one) for one in outcomes for issue in issues if issue.covers(one.key)]
    for issue, one in covered:
        failed = Verdict(one.verdict).is_driver_fault
        if failed and issue.is_signature(one.signature, one.words, one.reason):
            return True
    wanted = {one.answers: issue for issue, one in covered if issue.field and one.answers is not None}
    lists = load_lists(connection, {number for number in wanted if number is not None})
    return any(
        issue.is_in(lists[one.answers])
        for issue, one in covered
        if issue.field is not None and one.answers is not None
    )
