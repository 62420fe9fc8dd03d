# SPDX-License-Identifier: Apache-2.0
"""Where the contract is silent: the same sequence on another guest, or to another driver, and what differs.

Fields that are put on record and not judged are compared, one by one, where both have passed.  A difference
is no verdict: nobody says which of the two is right.  It is a find all the same when it comes each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.capsule.playing import Player
from harness.verdict import Verdict

if TYPE_CHECKING:
    from harness.capsule.seen import Seen
    from harness.language.model.scenario import Scenario

#: In the place of a rule.
RULE = "against"


class AgainstPlayer(Player):
    """Plays each scenario twice, here and there; it has failed where something differs that nobody judges.

    Args:
        here: plays it on the target under test.
        there: plays it on what that is held against.
        name: of the other, for people.
    """

    def __init__(self, here: Player, there: Player, name: str) -> None:
        self._here = here
        self._there = there
        self._name = name

    def play(self, scenario: Scenario, *, fresh: bool) -> Seen:
        """As it came here, with its verdict failed where it came otherwise there.

        Raises:
            NotPlayableError: one of the two cannot show it.
            HarnessError: our own infrastructure failed several times in a row.
        """
        here = self._here.play(scenario, fresh=fresh)
        there = self._there.play(scenario, fresh=fresh)
        if any(each.scenario["verdict"] != Verdict.PASSED for each in (here, there)):
            # What is judged is looked into elsewhere, and what follows a failure proves nothing.
            return replace(here, scenario={**here.scenario, "verdict": Verdict.PASSED.value})
        found = next(_differences(_own(here), _own(there)), None)
        return here if found is None else self._failed(here, *found)

    def _failed(self, here: Seen, step: Mapping[str, Any], ours: Mapping[str, Any], theirs: Any) -> Seen:
        expected = f"{theirs['got']}, as {self._name} has it"
        wrong = {**ours, "expected": expected, "ok": False, "characteristic": False, "rule": RULE}
        reason = f"{RULE}: {ours['field']} is {ours['got']}, expected {expected}"
        guilty = {**step, "verdict": Verdict.FAILED.value, "reason": reason, "comparisons": [wrong]}
        return replace(
            here,
            scenario={
                **here.scenario,
                "verdict": Verdict.FAILED.value,
                "reason": f'"{step["name"]}": {reason}',
            },
            steps=tuple(guilty if each is step else each for each in here.steps),
        )


def _own(seen: Seen) -> list[Mapping[str, Any]]:
    return [step for step in seen.steps if step["do"] != "setup"]


def _differences(
    here: Sequence[Mapping[str, Any]], there: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]]:
    """Of each step its fields that nobody judges and that came otherwise."""
    for ours, theirs in zip(here, there, strict=False):
        if ours["do"] != theirs["do"]:
            return
        others = {c["field"]: c for c in theirs["comparisons"] if c["characteristic"]}
        for comparison in ours["comparisons"]:
            name = comparison["field"]
            if not comparison["characteristic"] or name not in others:
                continue
            if comparison["got_value"] != others[name]["got_value"]:
                yield ours, comparison, others[name]
