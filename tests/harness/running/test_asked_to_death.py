# SPDX-License-Identifier: Apache-2.0
"""A driver that does not survive being asked what its pins accept has crashed or hung; nobody else erred."""

from __future__ import annotations

from typing import Any

import pytest

from harness.guests import Evidence
from harness.language.model import Target
from harness.running.driver_fault import DriverFaultError
from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import OPS, TARGET, C, FakeProvider, Simulation
from tests.harness.running.conftest import MakeRunner
from tests.harness.running.scenarios import scenario

LOST = Answer(record={"outcome": C["KSHS_OUTCOME_LOST"], "detail": 0xC000014B})
HUNG = Answer(record={"outcome": C["KSHS_OUTCOME_HUNG"], "detail": 0x102})
CRASHED = "exception 0xc0000005 at theirs.sys+0x10"


class Foreign(FakeProvider):
    """A target whose file leaves the formats to the pins."""

    def target(self) -> Target:
        return TARGET.model_copy(update={"format": None, "behaviour": False})


def bend_question(op: str, answer: Answer) -> Any:
    """Bends the first question of this kind on the first guest."""
    bent: list[int] = []

    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if OPS[int(step.op)] == op and not bent:
            bent.append(1)
            return answer
        return None

    return bend


@pytest.mark.parametrize("op", ["OPEN_FILTER", "PROPERTY"])
@pytest.mark.parametrize(
    ("answer", "evidence", "verdict", "says"),
    [
        (LOST, Evidence(), Verdict.CRASHED, "the kernel side vanished under it"),
        (LOST, Evidence(driver=(CRASHED,)), Verdict.CRASHED, CRASHED),
        (Answer(die=1), Evidence(driver=(CRASHED,)), Verdict.CRASHED, CRASHED),
        (HUNG, Evidence(), Verdict.HUNG, "no answer in its time"),
        (HUNG, Evidence(driver=(CRASHED,)), Verdict.CRASHED, CRASHED),
        (Answer(die=1), Evidence(), Verdict.ERROR, "the agent is gone"),
        (LOST, Evidence(gone=True), Verdict.ERROR, "but the machine is gone"),
    ],
)
def test_every_scenario_with_such_a_pin_says_what_the_driver_did(
    make_runner: MakeRunner, op: str, answer: Answer, evidence: Evidence, verdict: Verdict, says: str
) -> None:
    provider = Foreign(bend=bend_question(op, answer), evidence=evidence)
    made = make_runner(provider)
    for name in ("t.one", "t.two"):
        result = made.run(scenario(name=name), file="t.toml")
        assert result.verdict is verdict, result.reason
        assert result.reason is not None and says in result.reason
        assert result.evidence[: len(evidence.driver)] == evidence.driver
    assert provider.guests[0].closed, "it is no guest to go on with"
    if verdict.is_driver_fault:
        with pytest.raises(DriverFaultError) as caught:
            made.answer(scenario())
        assert caught.value.verdict is verdict


def test_a_pin_that_says_no_is_no_fault(make_runner: MakeRunner) -> None:
    """The target file, or the driver: nobody knows which of them is wrong."""
    result = make_runner(Foreign()).run(scenario(), file="t.toml")
    assert result.verdict is Verdict.ERROR
    assert result.reason is not None and "pin source does not open" in result.reason
