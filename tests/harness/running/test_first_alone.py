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


class Threads:
    """A target whose started requests are answered when they are waited for."""

    def __init__(self, first: int | None = None, later: int | None = None, alike: int | None = None) -> None:
        self.sent: list[tuple[str, int, int]] = []
        self._first, self._later, self._alike = first, later, alike
        self._flying: dict[int, tuple[Any, bytes]] = {}

    def __call__(self, simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        op = OPS[int(step.op)]
        if op == "REQUEST" and int(step.flags) & C["KSHS_STEP_ASYNC"]:
            assert int(step.token) not in self._flying
            self._flying[int(step.token)] = step, data
            self.sent.append(("started", int(step.repeat), int(step.timeout_ms)))
            return Answer(record={"outcome": C["KSHS_OUTCOME_STARTED"]})
        if op == "REQUEST":
            assert int(step.token) == C["KSHS_NO_TOKEN"]
            self.sent.append(("alone", int(step.repeat), int(step.timeout_ms)))
            return simulation.request(step, data, status=self._first)
        if op == "WAIT":
            started, content = self._flying.pop(int(step.token))
            answer = simulation.request(started, content, status=self._later)
            repeats = int(started.repeat) if self._alike is None else self._alike
            return Answer(record={**(answer.record or {}), "repeats": repeats}, data=answer.data)
        return None


CROWD = {**STEP, "route": "irp", "threads": 3, "repeat": 100, "argument1": 5}


def test_of_threads_that_repeat_one_request_goes_alone_and_counts_with_its_thread(
    make_runner: MakeRunner,
) -> None:
    bend = Threads()
    result = make_runner(FakeProvider(bend=bend)).run(scenario(CROWD), file="t.toml")
    assert result.verdict is Verdict.PASSED, result.reason
    assert bend.sent == [
        ("alone", 1, 300),
        ("started", 99, 300),
        ("started", 100, 300),
        ("started", 100, 300),
    ]
    waits = [step for step in result.steps if step.name.startswith("wait for ")]
    assert [(step.status_block or {})["repeats"] for step in waits] == [100, 100, 100]


def test_where_it_is_wrong_no_thread_is_started(make_runner: MakeRunner) -> None:
    bend = Threads(first=0xC0000001)
    made = make_runner(provider := FakeProvider(bend=bend))
    result = made.run(scenario(CROWD, STEP), file="t.toml")
    assert [what for what, *_ in bend.sent] == ["alone"]
    assert result.verdict is Verdict.FAILED
    failed, *others = (step for step in result.steps if step.do == "handshake")
    assert failed.name == "handshake source by irp from kernel mode, before its threads"
    assert failed.route == "irp" and failed.rule == "H9"
    assert "its first answer was wrong: the other 299 requests were not sent" in failed.notes
    assert {step.verdict for step in others} == {Verdict.SKIPPED}
    bend._first = None
    assert made.run(scenario(), file="t.toml").verdict is Verdict.PASSED
    assert len(provider.guests) == 1, "it was cleaned up after"


def test_a_later_one_of_its_thread_is_named_by_its_place_among_all(make_runner: MakeRunner) -> None:
    result = make_runner(FakeProvider(bend=Threads(alike=40))).run(scenario(CROWD), file="t.toml")
    assert result.verdict is Verdict.FAILED
    assert result.reason is not None and "answer 41 differs from the first" in result.reason


def test_threads_that_are_wrong_later_fail(make_runner: MakeRunner) -> None:
    bend = Threads(later=0xC0000001)
    result = make_runner(FakeProvider(bend=bend)).run(scenario(CROWD), file="t.toml")
    assert (len(bend.sent), result.verdict) == (4, Verdict.FAILED)


@pytest.mark.parametrize(
    "more",
    [{"expect": "record"}, {"repeat": 1}, {"start": "all"}],
    ids=["only recorded", "once each", "waited for by the scenario"],
)
def test_other_threads_start_at_once(make_runner: MakeRunner, more: dict[str, Any]) -> None:
    bend = Threads()
    steps = [{**CROWD, **more}, *([{"do": "wait", "request": "all"}] if "start" in more else [])]
    result = make_runner(FakeProvider(bend=bend)).run(scenario(*steps), file="t.toml")
    assert result.verdict is Verdict.PASSED, result.reason
    assert [what for what, *_ in bend.sent] == ["started"] * 3
