# SPDX-License-Identifier: Apache-2.0
"""What ended the answers of a scenario before its last step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.verdict import Verdict

if TYPE_CHECKING:
    from harness.evidence.wine_crash import NamedCrash
    from harness.planning.planned import PlannedStep
    from harness.running.verdict_rules import Rule


@dataclass
class Ended:
    """What ended the answers of a scenario before its last step, and at which step.

    `crash` is what the guest says of a crash, `named` the same with symbols and its signature, where the
    crash recorder has it; `wedged` that the step hung and that this is not held against the driver.  `rule`
    names the row of `harness.running.verdict_rules` that decided, `again` says that another try on a fresh
    lease may tell more.  `incident` is where its evidence is kept, from the directory of the results on, and
    `said` what the drivers printed.
    """

    verdict: Verdict
    reason: str
    evidence: tuple[str, ...] = ()
    step: PlannedStep | None = None
    crash: str = ""
    named: NamedCrash | None = None
    wedged: bool = False
    rule: str = ""
    again: bool = False
    incident: str | None = None
    said: tuple[str, ...] = ()

    @property
    def crash_fields(self) -> dict[str, Any]:
        """What a scenario's record has of a crash that is a driver's: its evidence, and its signature."""
        if self.named is None or self.verdict is not Verdict.CRASHED:
            return {}
        return {"crash": self.named.crash.as_dict(), "signature": self.named.signature.as_dict()}


def ended_by(rule: Rule, reason: str, evidence: tuple[str, ...], *, crash: str = "") -> Ended:
    """What a rule has decided, with its reason.

    Raises:
        ValueError: by the rule nothing has ended.
    """
    if rule.verdict is None:
        raise ValueError(rule.name)
    return Ended(rule.verdict, reason, evidence, crash=crash, rule=rule.name, again=rule.again)
