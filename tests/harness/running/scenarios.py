# SPDX-License-Identifier: Apache-2.0
"""Scenarios, and bent answers by the number of an operation, for tests of the runner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.language.model import Scenario
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import OPS, Simulation

STEP = {"do": "handshake", "on": "source"}


def scenario(*steps: dict[str, Any], name: str = "t.one", **more: Any) -> Scenario:
    """One of handshakes on the pin source."""
    data = {"id": name, "title": name, "rule": "H4", "open": ["source"], "timeout_ms": 300}
    return Scenario.model_validate({**data, "steps": list(steps) or [STEP], **more})


def bend_op(op: str, answers: dict[int, Answer] | Callable[[int], Answer | None]) -> Any:
    """Bends the operations of these numbers, counted from 0 on each guest."""

    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if OPS[int(step.op)] != op:
            return None
        number = simulation.counts[op] - 1
        return answers.get(number) if isinstance(answers, dict) else answers(number)

    return bend
