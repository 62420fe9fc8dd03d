# SPDX-License-Identifier: Apache-2.0
"""What a scenario says of each of its rules: its verdict, or no more than that answers were recorded.

A scenario names the rules that it is about.  Where nothing that was compared speaks of one of them, a
scenario that passed has not shown that the rule holds, and no count says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from harness.verdict import Verdict

if TYPE_CHECKING:
    from harness.results.record import StepResult

#: In the place of a verdict: it ran, and nothing was judged by this rule.
RECORDED = "recorded"
#: How it is said to people.
RECORDED_WORDS = "recorded, not judged"

_CALLED = frozenset({"H6", "H7", "H9"})
#: What a request has to be like (H1 to H3, H10) and that the callback is called (H8) show in what such a
#: request gets: comparisons name the rule of the answer.
_SHOWN_BY: Mapping[str, frozenset[str]] = dict.fromkeys(("H1", "H2", "H3", "H8", "H10"), _CALLED)
#: The pseudo-rule of scenarios about which the contract is silent.
_SILENT = "characteristic"


def judged_rules(rules: Iterable[str], steps: Iterable[StepResult]) -> list[str]:
    """Those of a scenario's rules by which one of its answers was judged."""
    named = list(rules)
    cited = {
        comparison.rule
        for step in steps
        for comparison in step.comparisons
        if comparison.rule is not None and not comparison.characteristic
    }
    shown = cited if _SILENT in named else cited | {r for r, by in _SHOWN_BY.items() if by & cited}
    return [rule for rule in named if rule in shown]


def rule_outcome(scenario: Mapping[str, Any], rule: str) -> str:
    """The verdict of a scenario's record with regard to one of its rules, or `RECORDED`.

    A record of an earlier kshs does not say what was judged: its verdict counts for all of its rules.
    """
    verdict = str(scenario["verdict"])
    judged = scenario.get("judged")
    return RECORDED if verdict == Verdict.PASSED and judged is not None and rule not in judged else verdict
