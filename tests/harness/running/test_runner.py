# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.agent.journal import Journal, story
from harness.agent.pending import Pending
from harness.errors import HarnessError
from harness.guests import Evidence
from harness.language.model import Scenario
from harness.results.record import ScenarioResult
from harness.running import attribution
from harness.running.runner import Runner
from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import ABI, OPS, C, FakeGuest, FakeProvider, Simulation

STEP = {"do": "handshake", "on": "source"}


def scenario(*steps: dict[str, Any], **more: Any) -> Scenario:
    data = {"id": "t.one", "title": "one scenario", "rule": "H4", "open": ["source"], "timeout_ms": 300}
    return Scenario.model_validate({**data, "steps": list(steps) or [STEP], **more})


Make = Callable[..., Runner]


IDLE, AT_WORK = Evidence(recording=False), Evidence(recording=True)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(attribution, "_RECORDER_TIME", 0.2)
    monkeypatch.setattr(attribution, "_RECORDER_POLL", 0.05)
    made: list[Runner] = []

    def make(provider: FakeProvider, **more: Any) -> Runner:
        journal = Journal(tmp_path / "journal.jsonl")
        runner = Runner(provider, ABI, journal, margin=0.3, **more)
        made.append(runner)
        return runner

    yield make
    for runner in made:
        runner.close()


def run(runner: Runner, one: Scenario) -> ScenarioResult:
    return runner.run(one, file="t.toml", line=1)


def on_request(answer: Callable[[Simulation, Any, bytes], Answer], number: int = 0) -> Any:
    """Bends the request of this number, from 0."""

    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if OPS[int(step.op)] == "REQUEST" and simulation.counts["REQUEST"] - 1 == number:
            return answer(simulation, step, data)
        return None

    return bend


def test_a_driver_that_keeps_the_contract_passes(make: Make) -> None:
    provider = FakeProvider()
    runner = make(provider)
    result = run(
        runner,
        scenario(
            {**STEP, "route": "irp", "argument1": 7},
            {**STEP, "in_length": "size-1"},
            {**STEP, "mode": "user"},
            {**STEP, "protocol": "unknown"},
        ),
    )
    assert result.verdict is Verdict.PASSED, result
    assert result.routes == ("irp", "call")
    requests = [step for step in result.steps if step.do == "handshake"]
    assert [step.rule for step in requests] == ["H9", "H4", "H5", "H9"]
    assert all(any(c.ok for c in step.comparisons) for step in requests)
    assert run(runner, scenario()).verdict is Verdict.PASSED
    assert len(provider.guests) == 1, "a clean lease is kept"


def test_a_wrong_answer_fails_with_rule_expected_and_got(make: Make) -> None:
    provider = FakeProvider(bend=on_request(lambda s, step, data: s.request(step, data, status=0)))
    runner = make(provider)
    result = run(runner, scenario({**STEP, "in_length": "size-1"}, STEP))
    assert result.verdict is Verdict.FAILED
    assert result.reason is not None
    for text in ("H4", "STATUS_SUCCESS", "STATUS_INVALID_BUFFER_SIZE (0xC0000206)"):
        assert text in result.reason
    assert [step.verdict for step in result.steps if step.do == "handshake"] == ["failed", "passed"]
    assert run(runner, scenario()).verdict is Verdict.PASSED
    assert len(provider.guests) == 1, "a wrong answer does not spoil the lease"


def test_a_crash_is_a_crash_with_the_recorders_record(make: Make) -> None:
    def crash(simulation: Simulation, step: Any, data: bytes) -> Answer:
        simulation.crashes.append({"code": 0xC0000005, "module": "avshs.sys", "offset": 0x1234})
        return Answer(record={"outcome": C["KSHS_OUTCOME_LOST"], "detail": 0xC0000005})

    provider = FakeProvider(bend=on_request(crash, 1))
    runner = make(provider)
    result = run(runner, scenario(STEP, STEP, STEP))
    assert result.verdict is Verdict.CRASHED
    assert result.evidence == ("exception 0xc0000005 at avshs.sys+0x1234",)
    assert result.reason is not None and "avshs.sys+0x1234" in result.reason
    assert [s.verdict for s in result.steps if s.do == "handshake"] == ["passed", "crashed", "skipped"]
    assert provider.guests[0].closed
    assert run(runner, scenario()).verdict is Verdict.PASSED
    assert len(provider.guests) == 2


def test_a_bugcheck_takes_the_agent_along_and_is_still_a_crash(make: Make) -> None:
    provider = FakeProvider(
        bend=on_request(lambda s, step, data: Answer(die=1)),
        evidence=Evidence(driver=("err:ntoskrnl:KeBugCheckEx 000000DE",)),
    )
    result = run(make(provider), scenario(STEP, STEP))
    assert result.verdict is Verdict.CRASHED
    assert result.reason is not None and "KeBugCheckEx 000000DE" in result.reason


def test_a_killed_agent_is_an_error_and_never_a_failure(make: Make) -> None:
    provider = FakeProvider(bend=on_request(lambda s, step, data: Answer(die=137)))
    runner = make(provider)
    result = run(runner, scenario(STEP, STEP))
    assert result.verdict is Verdict.ERROR
    assert result.reason is not None and "the agent is gone" in result.reason
    assert provider.guests[0].closed
    assert run(make(FakeProvider()), scenario()).verdict is Verdict.PASSED


def test_a_dead_machine_is_an_error_even_when_a_step_was_in_flight(make: Make) -> None:
    provider = FakeProvider(
        bend=on_request(lambda s, step, data: Answer(silent=True)),
        evidence=Evidence(other=("the guest has stopped: qemu was killed",), gone=True),
    )
    assert run(make(provider), scenario()).verdict is Verdict.ERROR


@pytest.mark.parametrize("answer", [Answer(silent=True), Answer(record={"outcome": C["KSHS_OUTCOME_HUNG"]})])
def test_a_machine_that_stands_still_is_no_hang(make: Make, answer: Answer) -> None:
    why = "QEMU was stopped by a signal or a debugger (process 7)"
    provider = FakeProvider(bend=on_request(lambda s, step, data: answer), evidence=Evidence(standstill=why))
    runner = make(provider)
    result = run(runner, scenario())
    assert result.verdict is Verdict.ERROR
    assert result.reason is not None and result.reason.endswith(why)
    assert provider.guests[0].closed


@pytest.mark.parametrize(
    ("repeat", "seconds", "verdict"),
    [(1000, 600.0, Verdict.ERROR), (1000, 599.0, Verdict.HUNG), (60, 600.0, Verdict.HUNG)],
)
def test_requests_that_are_too_many_for_a_step_are_no_hang(
    make: Make, monkeypatch: pytest.MonkeyPatch, repeat: int, seconds: float, verdict: Verdict
) -> None:
    """Of more requests than fit into ten minutes none need have hung when these are over."""
    monkeypatch.setattr(Pending, "seconds", seconds)
    hung = Answer(record={"outcome": C["KSHS_OUTCOME_HUNG"]})
    # The first one goes alone, and has its answer.
    provider = FakeProvider(bend=on_request(lambda s, step, data: hung, 1))
    result = run(make(provider), scenario({**STEP, "repeat": repeat, "timeout_ms": 10_000}))
    assert result.verdict is verdict, result.reason
    assert result.reason is not None
    assert ("make several steps of it" in result.reason) is (verdict is Verdict.ERROR)


def test_a_hang_that_the_agent_reports(make: Make) -> None:
    hung = {"outcome": C["KSHS_OUTCOME_HUNG"], "detail": 0x102}
    provider = FakeProvider(bend=on_request(lambda s, step, data: Answer(record=hung)))
    runner = make(provider)
    result = run(runner, scenario(STEP, STEP))
    assert result.verdict is Verdict.HUNG
    assert result.reason is not None and "no answer within 0.3 s" in result.reason
    assert provider.guests[0].closed


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ([IDLE, IDLE], Verdict.HUNG),
        ([IDLE, AT_WORK, Evidence(driver=("it crashed",))], Verdict.CRASHED),
        ([AT_WORK, AT_WORK, IDLE, AT_WORK, IDLE, IDLE], Verdict.HUNG),
    ],
)
def test_a_recorder_at_work_is_waited_for(
    told: list[Evidence], verdict: Verdict, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribution, "_RECORDER_TIME", 3600.0)
    left = list(told)

    class Telling(FakeProvider):
        @property
        def evidence(self) -> Evidence:
            return left.pop(0)

        @evidence.setter
        def evidence(self, value: Evidence) -> None:
            pass

    hung = {"outcome": C["KSHS_OUTCOME_HUNG"], "detail": 0x102}
    provider = Telling(bend=on_request(lambda s, step, data: Answer(record=hung)))
    taken: list[int] = []

    def take(self: FakeGuest, ask: Callable[[], bytes]) -> None:
        taken.append(len(left))
        assert ask() == b'{"processes":[]}'

    monkeypatch.setattr(FakeGuest, "take_stacks", take, raising=False)
    assert run(make(provider), scenario(STEP)).verdict is verdict
    assert not left
    assert taken == [len(told) - 1 - told.index(IDLE)], "once, while nothing was being recorded"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(record={"outcome": C["KSHS_OUTCOME_REFUSED"]}),
        Answer(record={"outcome": C["KSHS_OUTCOME_UNSUPPORTED"]}),
        Answer(record={"outcome": C["KSHS_OUTCOME_HUNG"]}),
        Answer(die=1),
        Answer(silent=True),
    ],
    ids=["refuses", "cannot", "looks too long", "dies", "says nothing"],
)
def test_an_agent_that_knows_no_stacks_leaves_the_hang_as_it_is(
    answer: Answer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        hung = Answer(record={"outcome": C["KSHS_OUTCOME_HUNG"], "detail": 0x102})
        return {"REQUEST": hung, "THREADS": answer}.get(OPS[int(step.op)])

    told: list[bytes] = []
    monkeypatch.setattr(attribution, "_STACKS", 0.2)
    monkeypatch.setattr(FakeGuest, "take_stacks", lambda self, ask: told.append(ask()), raising=False)
    result = run(make(FakeProvider(bend=bend, evidence=IDLE)), scenario(STEP))
    assert result.verdict is Verdict.HUNG
    assert result.reason is not None and "no answer within 0.3 s" in result.reason
    assert told == [b""]


def test_a_crash_that_is_never_written_down_is_no_hang(make: Make) -> None:
    """By Wine's own word its recorder was started; the guest had no time to run it."""
    hung = {"outcome": C["KSHS_OUTCOME_HUNG"], "detail": 0x102}
    begun = Evidence(recording=True, unrecorded=("wine: Unhandled page fault, starting debugger...",))
    provider = FakeProvider(bend=on_request(lambda s, step, data: Answer(record=hung)), evidence=begun)
    result = run(make(provider), scenario(STEP))
    assert result.verdict is Verdict.CRASHED
    assert "Unhandled page fault" in str(result.reason)


def test_a_hang_that_only_the_host_sees(make: Make) -> None:
    provider = FakeProvider(bend=on_request(lambda s, step, data: Answer(silent=True)))
    result = run(make(provider), scenario(STEP, STEP))
    assert result.verdict is Verdict.HUNG
    assert [s.verdict for s in result.steps if s.do == "handshake"] == ["hung", "skipped"]


def test_a_step_that_the_agent_never_began_is_an_error(make: Make) -> None:
    provider = FakeProvider(bend=on_request(lambda s, step, data: Answer(begin=False, silent=True)))
    assert run(make(provider), scenario()).verdict is Verdict.ERROR


def test_a_protocol_violation_is_an_error(make: Make) -> None:
    provider = FakeProvider(bend=on_request(lambda s, step, data: Answer(raw=b"rubbish" * 10)))
    result = run(make(provider), scenario())
    assert result.verdict is Verdict.ERROR
    assert result.reason is not None and "broke the protocol" in result.reason


def test_a_failure_before_the_agent_died_still_counts(make: Make) -> None:
    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if OPS[int(step.op)] != "REQUEST":
            return None
        if simulation.counts["REQUEST"] == 1:
            return simulation.request(step, data, status=0xC0000001)
        return Answer(die=1)

    assert run(make(FakeProvider(bend=bend)), scenario(STEP, STEP)).verdict is Verdict.FAILED


def test_what_the_guest_cannot_do_is_skipped_with_its_reason(make: Make) -> None:
    record = {"outcome": C["KSHS_OUTCOME_UNSUPPORTED"], "detail": 0xC00000BB}
    provider = FakeProvider(bend=on_request(lambda s, step, data: Answer(record=record)))
    result = run(make(provider), scenario(STEP))
    assert result.verdict is Verdict.SKIPPED
    assert result.reason is not None and "STATUS_NOT_SUPPORTED" in result.reason


def test_capabilities_decide_before_anything_is_sent(make: Make) -> None:
    provider = FakeProvider()
    runner = make(provider, fits=lambda one, info: f"{one.id} needs more than {info['family']}")
    result = run(runner, scenario())
    assert (result.verdict, result.reason) == (Verdict.SKIPPED, "t.one needs more than wine")
    assert "REQUEST" not in provider.guests[0].simulation.counts


def test_a_pin_that_the_target_lacks_is_a_skip(make: Make) -> None:
    result = run(make(FakeProvider()), scenario({**STEP, "on": "sink9"}, open=["sink9"]))
    assert result.verdict is Verdict.SKIPPED
    assert result.reason is not None and "no pin sink9" in result.reason


def test_a_failed_preparation_fails_and_judges_nothing_after_it(make: Make) -> None:
    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        op = OPS[int(step.op)]
        if op == "OPEN_PIN":
            return Answer(record={"returned": 0xC0000034})
        if op == "REQUEST":
            return Answer(record={"outcome": C["KSHS_OUTCOME_REFUSED"], "detail": 0xC0000008})
        return None

    result = run(make(FakeProvider(bend=bend)), scenario(STEP))
    assert result.verdict is Verdict.FAILED
    assert result.reason is not None and "STATUS_OBJECT_NAME_NOT_FOUND" in result.reason
    assert result.steps[-1].verdict is Verdict.SKIPPED
    assert result.steps[-1].reason is not None and "not judged" in result.steps[-1].reason


def test_a_refused_step_is_the_harnesss_own_error(make: Make) -> None:
    record = {"outcome": C["KSHS_OUTCOME_REFUSED"], "detail": 0xC000000D}
    provider = FakeProvider(bend=on_request(lambda s, step, data: Answer(record=record)))
    assert run(make(provider), scenario()).verdict is Verdict.ERROR


@pytest.mark.parametrize(
    ("answer", "verdict", "leases"),
    [
        (Answer(record={"outcome": C["KSHS_OUTCOME_LOST"]}), Verdict.CRASHED, 2),
        (Answer(record={"outcome": C["KSHS_OUTCOME_HUNG"]}), Verdict.HUNG, 2),
        (Answer(record={"outcome": C["KSHS_OUTCOME_REFUSED"]}), Verdict.PASSED, 2),
        (Answer(record={}), Verdict.PASSED, 1),
    ],
)
def test_cleaning_up_shows_crashes_too_and_decides_on_the_lease(
    make: Make, answer: Answer, verdict: Verdict, leases: int
) -> None:
    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        return answer if OPS[int(step.op)] == "RELEASE_ALL" else None

    provider = FakeProvider(bend=bend)
    runner = make(provider)
    result = run(runner, scenario())
    assert result.verdict is verdict
    provider.bend = None
    assert run(runner, scenario()).verdict is Verdict.PASSED
    assert len(provider.guests) == leases


def test_a_guest_that_cannot_be_had_is_raised(make: Make) -> None:
    runner = make(FakeProvider(fail="no template"))
    with pytest.raises(HarnessError, match=r"no template \(kshs doctor\)"):
        run(runner, scenario())


def test_a_guest_that_is_not_as_it_was_asked_for_runs_nothing(make: Make) -> None:
    provider = FakeProvider(refuses="Driver Verifier is off on a guest")
    runner = make(provider)
    with pytest.raises(HarnessError, match="verifier: Driver Verifier is off on a guest of Windows 10"):
        runner.ready()
    assert runner.known_info is None
    assert provider.guests[0].closed


def test_the_journal_knows_what_was_in_flight(make: Make, tmp_path: Path) -> None:
    left: list[Any] = []

    def look(simulation: Simulation, step: Any, data: bytes) -> Answer:
        left.append(story(tmp_path / "journal.jsonl").in_flight)
        return simulation.request(step, data)

    result = run(make(FakeProvider(bend=on_request(look))), scenario())
    assert result.verdict is Verdict.PASSED
    assert left[0].scenario == "t.one" and left[0].lease == "fake-0"
    assert any("source" in intent.what for intent in left[0].sent)
    assert story(tmp_path / "journal.jsonl").in_flight is None
