# SPDX-License-Identifier: Apache-2.0
"""Verdicts: the six things that can be said of a scenario, and how several become one."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """What became of a scenario, or of one of its steps.

    A verdict about the driver (`FAILED`, `CRASHED`, `HUNG`) and one about the harness (`ERROR`)
    are never mixed up: evidence of one kind never turns into the other.
    """

    PASSED = "passed"
    """Everything that could be judged came as predicted."""
    FAILED = "failed"
    """The driver, or the class driver under it, answered otherwise."""
    CRASHED = "crashed"
    """The kernel, or the process that hosts drivers, died under the scenario."""
    HUNG = "hung"
    """A request did not come back in its time."""
    SKIPPED = "skipped"
    """This guest cannot show it; the reason is part of the result."""
    ERROR = "error"
    """The harness itself failed; nothing is known about the driver."""

    @property
    def is_driver_fault(self) -> bool:
        """Whether the verdict speaks against the driver or its class driver."""
        return self in {Verdict.FAILED, Verdict.CRASHED, Verdict.HUNG}


#: From what says least to what outranks all else.  What is known of a driver stays known whatever else went
#: wrong, so its faults stand above ours; a whole of which one part passed has passed, whatever was skipped.
SEVERITY = (
    Verdict.SKIPPED,
    Verdict.PASSED,
    Verdict.ERROR,
    Verdict.FAILED,
    Verdict.HUNG,
    Verdict.CRASHED,
)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of a whole from those of its parts; `SKIPPED` for no parts, which show nothing."""
    return max(verdicts, key=SEVERITY.index, default=Verdict.SKIPPED)


def after_retry(first: Verdict, again: Verdict) -> Verdict:
    """What stands once the same thing was tried again.

    What spoke against the driver still does, whatever came after it; a fault of ours may have been mended.
    """
    return worst((first, again)) if first.is_driver_fault else again
