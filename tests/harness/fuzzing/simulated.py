# SPDX-License-Identifier: Apache-2.0
"""A simulated guest that keeps what is begun until it is waited for, and counts repeats and what is held."""

from __future__ import annotations

from typing import Any

from harness.language.model import Target
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import ABI, OPS, TARGET, Bend, C, FakeProvider, Simulation

#: The simulated target without what only a real one could count.
PLAIN = TARGET.model_copy(update={"behaviour": False})


class Fuzzed(FakeProvider):
    """Gives guests whose target keeps the contract but where `wrong` bends an answer."""

    def __init__(self, wrong: Bend | None = None) -> None:
        super().__init__(bend=self._answer)
        self._wrong = wrong
        self._begun: dict[int, Answer] = {}

    def target(self) -> Target:
        return PLAIN

    def _answer(self, simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        op = OPS[int(step.op)]
        if op == "REQUEST":
            answer = self._request(simulation, step, data)
            if int(step.flags) & C["KSHS_STEP_ASYNC"]:
                self._begun[int(step.token)] = answer
                return Answer(record={"outcome": C["KSHS_OUTCOME_STARTED"]})
            return answer
        if op == "WAIT" and int(step.token) in self._begun:
            return self._begun.pop(int(step.token))
        if op == "PROPERTY" and int(step.flags) & C["KSHS_STEP_ASYNC"]:
            self._begun[int(step.token)] = Answer(record={})
            return Answer(record={"outcome": C["KSHS_OUTCOME_STARTED"]})
        if op == "COUNTERS":
            return Answer(record={}, data=bytes(len(ABI.cs.kshs_counters)))
        return None

    def _request(self, simulation: Simulation, step: Any, data: bytes) -> Answer:
        bent = self._wrong(simulation, step, data) if self._wrong is not None else None
        if bent is not None:
            return bent
        answer = simulation.row(step, data)
        record = dict(answer.record or {})
        if "repeats" not in record:
            record["repeats"] = int(step.repeat)
        if not int(step.flags) & C["KSHS_STEP_FLIP"] and not (int(step.value) or int(step.value2)):
            record["repeats"] = int(step.repeat)
        return Answer(record=record, data=answer.data)
