# SPDX-License-Identifier: Apache-2.0
"""What a test in Python gets of a scenario of its own: its answers, or the driver's fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.agent.status_block import StatusBlock
from harness.errors import HarnessError
from harness.planning.planned import NotApplicable, Plan, PlannedStep
from harness.verdict import Verdict

if TYPE_CHECKING:
    from harness.running.answers import Answers
    from harness.running.ended import Ended


class DriverFaultError(AssertionError):
    """A step of a test in Python met a driver that crashed, hung or refused the preparation.

    An assertion on purpose: it speaks against the driver, so the test has failed.
    """

    def __init__(self, verdict: Verdict, reason: str, evidence: Sequence[str]) -> None:
        super().__init__("\n".join([f"{verdict.value}: {reason}", *evidence]))
        self.verdict = verdict
        self.reason = reason

    @classmethod
    def of(cls, ended: Ended) -> DriverFaultError:
        """The one that ended a scenario."""
        return cls(ended.verdict, ended.reason, ended.evidence)


def answered(planned: Plan, answers: Answers, ended: Ended | None) -> list[tuple[PlannedStep, StatusBlock]]:
    """What came back of the steps that the scenario itself names.

    Raises:
        DriverFaultError: the driver crashed or hung under it.
        NotApplicable: this guest cannot do it.
        HarnessError: the harness failed.
    """
    if ended is not None:
        if ended.verdict.is_driver_fault:
            raise DriverFaultError.of(ended)
        raise HarnessError(ended.reason)
    broken = next((s for s in answers.steps if s.verdict is Verdict.FAILED and s.do == "setup"), None)
    if broken is not None:
        raise DriverFaultError(Verdict.FAILED, f"{broken.name}: {broken.reason}", ())
    verdict, reason = answers.verdict
    if verdict is Verdict.SKIPPED:
        raise NotApplicable(reason or "this guest cannot do it")
    return [
        (step, block)
        for step, block in zip(planned.steps, answers.blocks, strict=True)
        if step.index is not None and block is not None
    ]
