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

    @property
    def is_good(self) -> bool:
        """Whether a run with only such verdicts exits with 0."""
        return self in {Verdict.PASSED, Verdict.SKIPPED}


_WEIGHT = (Verdict.SKIPPED, Verdict.PASSED, Verdict.FAILED, Verdict.HUNG, Verdict.CRASHED, Verdict.ERROR)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of a whole from those of its parts; `PASSED` for no parts.

    `ERROR` outweighs all: once the harness has failed, what it says of the driver is not evidence.
    """
    return max(verdicts, key=_WEIGHT.index, default=Verdict.PASSED)
