# SPDX-License-Identifier: Apache-2.0
"""What ended the answers of a scenario before its last step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.verdict import Verdict

if TYPE_CHECKING:
    from harness.planning.planned import PlannedStep


@dataclass
class Ended:
    """What ended the answers of a scenario before its last step, and at which step.

    `crash` is what the guest says of a crash, `wedged` that the step hung and that this is not held against
    the driver, `incident` where its evidence is kept, from the directory of the results on, and `said`
    what the drivers printed.
    """

    verdict: Verdict
    reason: str
    evidence: tuple[str, ...] = ()
    step: PlannedStep | None = None
    crash: str = ""
    wedged: bool = False
    incident: str | None = None
    said: tuple[str, ...] = ()
