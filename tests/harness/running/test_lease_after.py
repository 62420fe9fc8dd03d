# SPDX-License-Identifier: Apache-2.0
"""A lease is used again only after a scenario that ended in every respect as it should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.agent.journal import story
from harness.errors import HarnessError
from harness.guests import Evidence
from harness.running import answers, runner
from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import OPS, C, FakeProvider, Simulation
from tests.harness.running.conftest import MakeRunner
from tests.harness.running.scenarios import STEP, bend_op, scenario

REFUSED = Answer(record={"outcome": C["KSHS_OUTCOME_REFUSED"], "detail": 0xC000000D})
LOST = Answer(record={"outcome": C["KSHS_OUTCOME_LOST"], "detail": 0xC0000005})
HUNG = Answer(record={"outcome": C["KSHS_OUTCOME_HUNG"], "detail": 0x102})
WRONG = {"status": 0xC0000001}


def wrong_then(answer: Answer) -> Any:
    """The first request is answered wrongly, the second as said."""

    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if OPS[int(step.op)] != "REQUEST":
            return None
        first = simulation.counts["REQUEST"] == 1
        return simulation.request(step, data, **WRONG) if first else answer

    return bend


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (REFUSED, Verdict.FAILED),
        (Answer(die=1), Verdict.FAILED),
        (Answer(raw=b"rubbish" * 10), Verdict.FAILED),
        (Answer(error=(4, 8, "no memory")), Verdict.FAILED),
        (LOST, Verdict.CRASHED),
        (HUNG, Verdict.HUNG),
    ],
    ids=["refused", "gone", "rubbish", "reported", "lost", "hung"],
)
def test_a_failure_followed_by_something_odd_costs_the_lease(
    make_runner: MakeRunner, answer: Answer, verdict: Verdict
) -> None:
    provider = FakeProvider(bend=wrong_then(answer))
    made = make_runner(provider)
    assert made.run(scenario(STEP, STEP), file="t.toml").verdict is verdict
    assert provider.guests[0].closed, "nobody has read what its cleaning up said"
    provider.bend = None
    assert made.run(scenario(), file="t.toml").verdict is Verdict.PASSED
    assert len(provider.guests) == 2


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (REFUSED, Verdict.FAILED),
        (LOST, Verdict.CRASHED),
        (HUNG, Verdict.HUNG),
        (Answer(die=1), Verdict.FAILED),
    ],
    ids=["refused", "lost", "hung", "gone"],
)
def test_a_failure_whose_cleaning_up_is_odd_costs_the_lease(
    make_runner: MakeRunner, answer: Answer, verdict: Verdict
) -> None:
    """And the worse of the two is the verdict."""

    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        op = OPS[int(step.op)]
        if op == "REQUEST":
            return simulation.request(step, data, **WRONG)
        return answer if op == "RELEASE_ALL" else None

    provider = FakeProvider(bend=bend)
    result = make_runner(provider).run(scenario(), file="t.toml")
    assert result.verdict is verdict, result.reason
    assert provider.guests[0].closed


@pytest.mark.parametrize("place", ["judge_step", "tidy", "collect"])
@pytest.mark.parametrize("error", [RecursionError("deep"), KeyboardInterrupt(), HarnessError("no")])
def test_any_exception_costs_the_lease(
    make_runner: MakeRunner,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    place: str,
    error: BaseException,
) -> None:
    def broken(*args: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(answers if place == "judge_step" else runner, place, broken)
        provider = FakeProvider()
        made = make_runner(provider)
        with pytest.raises(type(error)):
            made.run(scenario(), file="t.toml", upcoming=scenario(name="t.two"))
    assert provider.guests[0].closed
    left = story(tmp_path / "journal.jsonl").in_flight
    assert (left.scenario if left else None) == ("t.one" if isinstance(error, KeyboardInterrupt) else None)
    assert made.run(scenario(name="t.two"), file="t.toml").verdict is Verdict.PASSED
    assert len(provider.guests) == 2


def test_an_exception_costs_a_python_test_its_lease_too(
    make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = FakeProvider()
    made = make_runner(provider)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "collect", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            made.answer(scenario())
    assert provider.guests[0].closed
    assert made.answer(scenario())[0][1].answer == 0


def test_evidence_that_cannot_be_read_costs_no_verdict(make_runner: MakeRunner) -> None:
    class Unreadable(FakeProvider):
        @property
        def evidence(self) -> Evidence:
            raise RecursionError("maximum recursion depth exceeded")

        @evidence.setter
        def evidence(self, value: Evidence) -> None:
            pass

    result = make_runner(Unreadable(bend=bend_op("REQUEST", {0: LOST}))).run(scenario(), file="t.toml")
    assert result.verdict is Verdict.CRASHED
    assert "cannot be read: RecursionError" in result.evidence[0]


@pytest.mark.parametrize(
    "told",
    [
        b"5",
        b'"text"',
        b"null",
        b"[" * 100_000,
        b'[{"code": {"x": [1]}, "module": 7}]',
        b"{",
        b"[1, [2]]",
        b"\xff",
    ],
    ids=["number", "text", "null", "deep", "odd values", "torn", "lists", "no text"],
)
def test_a_crash_record_that_is_not_as_expected_is_a_crash_all_the_same(
    make_runner: MakeRunner, told: bytes
) -> None:
    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        op = OPS[int(step.op)]
        if op == "CRASHES":
            return Answer(record={}, data=told)
        return LOST if op == "REQUEST" and simulation.counts["REQUEST"] == 1 else None

    provider = FakeProvider(bend=bend)
    made = make_runner(provider)
    result = made.run(scenario(), file="t.toml", upcoming=scenario(name="t.two"))
    assert result.verdict is Verdict.CRASHED
    assert all(text.isprintable() for text in result.evidence)
    assert provider.guests[0].closed
    provider.bend = None
    assert made.run(scenario(name="t.two"), file="t.toml").verdict is Verdict.PASSED
    assert len(provider.guests) == 2, "on a fresh lease"
