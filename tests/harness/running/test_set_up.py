# SPDX-License-Identifier: Apache-2.0
"""What a scenario must find is proved, and where it does not hold the driver is not blamed."""

from __future__ import annotations

from typing import Any

import pytest

from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import ABI, OPS, C, FakeProvider, Simulation
from tests.harness.running.conftest import MakeRunner
from tests.harness.running.scenarios import scenario


def seen(**fields: int) -> Any:
    """Bends what the target says that its callback saw."""

    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if OPS[int(step.op)] != "PROPERTY" or int(step.value2) != 1:
            return None
        report = bytes(ABI.cs.kshs_seen(**fields).dumps())
        record = {"information": len(report), "flags": C["KSHS_REC_INFO_WRITTEN"]}
        return Answer(record=record, data=report)

    return bend


@pytest.mark.parametrize("field", ["count", "finished", "overlapped", "after_close"])
def test_a_pin_that_is_not_as_after_a_reset_is_our_error(make_runner: MakeRunner, field: str) -> None:
    provider = FakeProvider(bend=seen(**{field: 3}))
    result = make_runner(provider).run(scenario(), file="t.toml")
    assert result.verdict is Verdict.ERROR
    assert result.reason == (
        f"see that source is as after a reset: {field} is 3, expected 0: this guest was not made ready,"
        " and nothing is known about the driver"
    )
    assert provider.guests[0].closed
    assert [step.verdict for step in result.steps if step.do == "handshake"] == [Verdict.SKIPPED]


def test_what_other_instances_left_does_not_matter(make_runner: MakeRunner) -> None:
    """Pins may be closed late: of them nothing is said by what the callback saw."""
    provider = FakeProvider(bend=seen(closed=1, pin_id=0))
    assert make_runner(provider).run(scenario(), file="t.toml").verdict is Verdict.PASSED
