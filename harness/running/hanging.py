# SPDX-License-Identifier: Apache-2.0
"""Steps that hang again and again: said once, and what stands on them is skipped with that reason.

Each hang costs a step's whole time and a fresh guest.  A driver that always hangs would keep a run of the
whole catalogue busy for an hour and say nothing in it that its first minute has not said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.planning.planned import Answer, Plan, PlannedStep
from harness.results.record import StepResult
from harness.verdict import Verdict

#: Scenarios in a row after which the same step is not tried again for a while.
IN_A_ROW = 3
#: The same, for steps of one kind whatever their route and mode.
IN_A_ROW_BY_ANY_ROUTE = 6
#: Scenarios that are skipped before one is tried again; twice as many each time.
FIRST_TRY_AFTER = 20

_ANSWERED = frozenset({Verdict.PASSED, Verdict.FAILED})


@dataclass
class _Row:
    """One kind of step: the scenarios in a row in which it hung, and how often it was not tried since."""

    limit: int
    scenarios: list[str] = field(default_factory=list)
    skipped: int = 0
    next_try: int = FIRST_TRY_AFTER

    @property
    def closed(self) -> bool:
        return len(self.scenarios) >= self.limit


class Hangs:
    """What has hung in this process so far; one answer of such a step, right or wrong, ends its row."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}

    def told(self, planned: Plan) -> str | None:
        """Why a plan is not worth its time: one of its steps has hung in several scenarios in a row."""
        for name in self._names((*planned.steps, *planned.cleanup)):
            row = self._rows.get(name)
            if row is not None and row.closed:
                return (
                    f"{name} hung in {len(row.scenarios)} scenarios in a row, first in {row.scenarios[0]}:"
                    " what stands on it is not run"
                )
        return None

    def skips(self, planned: Plan) -> str | None:
        """The same for one that is about to be run; now and then one is let through, to look again."""
        why = self.told(planned)
        if why is None:
            return None
        for name in self._names((*planned.steps, *planned.cleanup)):
            row = self._rows.get(name)
            if row is None or not row.closed:
                continue
            row.skipped += 1
            if row.skipped < row.next_try:
                return why
            row.skipped, row.next_try = 0, row.next_try * 2
        return None

    def note(self, planned: Plan, results: Iterable[StepResult], hung: PlannedStep | None) -> None:
        """Puts down how a scenario's steps ended.

        Args:
            planned: the scenario.
            results: of its steps, in the order of the plan.
            hung: the step that hung, if one did.
        """
        for step, result in zip(planned.steps, results, strict=False):
            # That a request was started is no answer to it.
            answered = result.verdict in _ANSWERED and step.answer is not Answer.STARTED
            if answered and step is not hung:
                for name in self._names((step,)):
                    self._rows.pop(name, None)
        if hung is not None:
            for name in self._names((hung,)):
                limit = IN_A_ROW_BY_ANY_ROUTE if name.endswith(_ANY) else IN_A_ROW
                row = self._rows.setdefault(name, _Row(limit))
                if len(row.scenarios) < limit:
                    row.scenarios.append(planned.scenario.id)

    @staticmethod
    def _names(steps: Iterable[PlannedStep]) -> Iterator[str]:
        for step in steps:
            if step.request is None:
                yield f'"{step.what}"'
            else:
                request = step.request
                yield f"{step.kind} by {request.route.value} from {request.mode.value} mode"
                yield f"{step.kind}{_ANY}"


_ANY = " by any route"
