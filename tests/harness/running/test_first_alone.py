# SPDX-License-Identifier: Apache-2.0
"""A request that is repeated goes alone the first time: where it is wrong, the others are not sent."""

from __future__ import annotations

from typing import Any

import pytest

from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import OPS, C, FakeProvider, Simulation
from tests.harness.running.conftest import MakeRunner
from tests.harness.running.scenarios import STEP, scenario

HUNG = {"outcome": C["KSHS_OUTCOME_HUNG"], "detail": 0x102}


class Repeats:
    """Answers with one record for all repeats of a step, and remembers how many were asked for."""

    def __init__(self, first: int | None = None, later: int | None = None, alike: int | None = None) -> None:
        self.asked: list[int] = []
        self._statuses = {0: first, 1: later}
        self._alike = alike

    def __call__(self, simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if OPS[int(step.op)] != "REQUEST":
            return None
        status = self._statuses.get(len(self.asked))
        self.asked.append(int(step.repeat))
        answer = simulation.request(step, data, status=status)
        repeats = int(step.repeat) if self._alike is None or len(self.asked) == 1 else self._alike
        return Answer(record={**(answer.record or {}), "repeats": repeats}, data=answer.data)


def test_a_wrong_first_answer_ends_it(make_runner: MakeRunner) -> None:
    bend = Repeats(first=0xC0000001)
    result = make_runner(FakeProvider(bend=bend)).run(scenario({**STEP, "repeat": 1000}, STEP), file="t.toml")
    assert bend.asked == [1]
    assert result.verdict is Verdict.FAILED
    failed, after = (step for step in result.steps if step.do == "handshake")
    assert "its first answer was wrong: the other 999 requests were not sent" in failed.notes
    assert after.verdict is Verdict.SKIPPED
    assert after.reason is not None and after.reason.endswith("was wrong the first time")


def test_its_lease_is_cleaned_up_and_used_again(make_runner: MakeRunner) -> None:
    provider = FakeProvider(bend=Repeats(first=0xC0000001))
    made = make_runner(provider)
    made.run(scenario({**STEP, "repeat": 1000}), file="t.toml")
    assert made.run(scenario(), file="t.toml").verdict is Verdict.PASSED
    assert len(provider.guests) == 1


def test_a_right_one_is_followed_by_all_others_and_counts_with_them(make_runner: MakeRunner) -> None:
    bend = Repeats()
    result = make_runner(FakeProvider(bend=bend)).run(
        scenario({**STEP, "repeat": 1000, "argument1": 5}), file="t.toml"
    )
    assert bend.asked == [1, 999]
    assert result.verdict is Verdict.PASSED, result.reason
    (step,) = (step for step in result.steps if step.do == "handshake")
    assert ("repeats", "1000 alike", "1000 alike") in [(c.field, c.expected, c.got) for c in step.comparisons]
    assert step.status_block is not None and step.status_block["repeats"] == 1000


def test_a_later_one_that_differs_is_named_by_its_place_among_all(make_runner: MakeRunner) -> None:
    bend = Repeats(alike=41)
    result = make_runner(FakeProvider(bend=bend)).run(
        scenario({**STEP, "repeat": 1000, "argument1": 5}), file="t.toml"
    )
    assert result.verdict is Verdict.FAILED
    assert result.reason is not None and "answer 42 differs from the first" in result.reason


def test_a_later_one_that_is_wrong_fails(make_runner: MakeRunner) -> None:
    bend = Repeats(later=0xC0000001)
    result = make_runner(FakeProvider(bend=bend)).run(scenario({**STEP, "repeat": 10}), file="t.toml")
    assert (bend.asked, result.verdict) == ([1, 9], Verdict.FAILED)


@pytest.mark.parametrize("number", [0, 1], ids=["first", "other"])
def test_a_hang_is_a_hang(make_runner: MakeRunner, number: int) -> None:
    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if OPS[int(step.op)] == "REQUEST" and simulation.counts["REQUEST"] - 1 == number:
            return Answer(record=HUNG)
        return None

    provider = FakeProvider(bend=bend)
    result = make_runner(provider).run(scenario({**STEP, "repeat": 10}), file="t.toml")
    assert result.verdict is Verdict.HUNG
    assert provider.guests[0].closed


def test_what_is_only_recorded_goes_as_a_whole(make_runner: MakeRunner) -> None:
    bend = Repeats()
    made = make_runner(FakeProvider(bend=bend))
    made.run(scenario({**STEP, "repeat": 10, "expect": "record"}), file="t.toml")
    assert bend.asked == [10]
