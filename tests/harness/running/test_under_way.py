# SPDX-License-Identifier: Apache-2.0
"""A crash that is noticed by a step beside it belongs to the request that was under way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import OPS, FakeProvider, Simulation
from tests.harness.running.conftest import MakeRunner
from tests.harness.running.scenarios import scenario
from tests.harness.running.test_crash_signature import LOST, WRITE
from tests.harness.running.test_incident import TellingProvider, facts_of, keeper

STARTED: tuple[dict[str, Any], ...] = (
    {"do": "behaviour", "pin": "source", "kind": "block", "delay_ms": 5000},
    {"do": "handshake", "on": "source", "route": "irp", "start": "first"},
)
WAIT = {"do": "wait", "request": "first"}
ASIDE: dict[str, tuple[str, tuple[dict[str, Any], ...]]] = {
    "unblock": ("PROPERTY", ({"do": "unblock", "pin": "source"}, WAIT)),
    "sleep": ("SLEEP", ({"do": "sleep", "ms": 1}, WAIT)),
    "wait": ("WAIT", (WAIT,)),
}


def lost_under(op: str, behind: str = "REQUEST") -> Any:
    """The first step of this operation behind the first request is lost, and the driver has crashed."""

    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if OPS[int(step.op)] != op or not simulation.counts.get(behind):
            return None
        simulation.crashes = [WRITE]
        return LOST

    return bend


@pytest.mark.parametrize("kind", ASIDE)
def test_the_request_under_way_has_crashed(tmp_path: Path, make_runner: MakeRunner, kind: str) -> None:
    op, steps = ASIDE[kind]
    runner = make_runner(TellingProvider(bend=lost_under(op)), incidents=keeper(tmp_path))
    result = runner.run(scenario(*STARTED, *steps), file="t.toml")
    assert result.verdict is Verdict.CRASHED and result.signature is not None
    assert result.signature["text"] == "exception 0xc0000005|write|x.sys+0x0~|in handshake"
    assert "(under way: start handshake source by irp" in str(result.reason)
    flying = facts_of(tmp_path, result)["in_flight"]
    assert flying["do"] == kind
    assert [(one["do"], one["route"]) for one in flying["under_way"]] == [("handshake", "irp")]


def test_a_request_that_crashes_beside_another_is_the_one_that_did_not_come_back(
    make_runner: MakeRunner,
) -> None:
    def second(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if OPS[int(step.op)] != "REQUEST" or simulation.counts["REQUEST"] < 2:
            return None
        simulation.crashes = [WRITE]
        return LOST

    beside = {"do": "handshake", "on": "source", "route": "irp"}
    result = make_runner(FakeProvider(bend=second)).run(scenario(*STARTED, beside, WAIT), file="t.toml")
    assert result.verdict is Verdict.CRASHED
    assert "under way" not in str(result.reason) and str(result.reason).startswith("handshake source by irp")
