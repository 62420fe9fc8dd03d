# SPDX-License-Identifier: Apache-2.0
"""Scenarios sent while the one before is cleaned up after: nothing is attributed to the wrong one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.agent.journal import Journal, Story, story
from harness.errors import HarnessError
from harness.evidence.incidents import Incident, Kept
from harness.guests import Evidence
from harness.language.model import Scenario
from harness.running import attribution
from harness.running.runner import Runner
from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import ABI, OPS, C, FakeProvider, Simulation

Make = Callable[..., Runner]


def scenario(name: str, **more: Any) -> Scenario:
    return Scenario.model_validate(
        {
            "id": name,
            "title": name,
            "rule": "H9",
            "open": ["source"],
            "timeout_ms": 300,
            "steps": [{"do": "handshake", "on": "source"}],
            **more,
        }
    )


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(attribution, "_RECORDER_TIME", 0.2)
    monkeypatch.setattr(attribution, "_RECORDER_POLL", 0.05)
    made: list[Runner] = []

    def make(provider: FakeProvider, **more: Any) -> Runner:
        runner = Runner(provider, ABI, Journal(tmp_path / "journal.jsonl"), margin=0.3, **more)
        made.append(runner)
        return runner

    yield make
    for runner in made:
        runner.close()


def run_both(runner: Runner) -> list[Verdict]:
    first, second = scenario("t.first"), scenario("t.second")
    verdicts = [runner.run(first, file="t.toml", upcoming=second).verdict]
    return [*verdicts, runner.run(second, file="t.toml").verdict]


def bend_op(op: str, number: int, answer: Callable[[Simulation], Answer]) -> Any:
    """Bends the operation of this number, counted from 0 on each guest."""

    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if OPS[int(step.op)] == op and simulation.counts[op] - 1 == number:
            return answer(simulation)
        return None

    return bend


def test_the_next_one_is_sent_before_this_one_is_cleaned_up_after(make: Make) -> None:
    sent = threading.Event()

    def wait(simulation: Simulation) -> Answer:
        # The first scenario's cleaning up ends only when the second one has been sent.
        assert sent.wait(5)
        return Answer(record={})

    runner = make(FakeProvider(bend=bend_op("RELEASE_ALL", 0, wait)))
    begin = runner.journal.begin

    def begun(name: str, lease: str, file: str = "") -> None:
        begin(name, lease, file)
        if name == "t.second":
            sent.set()

    runner.journal.begin = begun  # type: ignore[method-assign]
    assert run_both(runner) == [Verdict.PASSED, Verdict.PASSED]
    provider = runner.provider
    assert isinstance(provider, FakeProvider)
    assert len(provider.guests) == 1
    assert provider.guests[0].simulation.counts["REQUEST"] == 2, "each was sent once"


def test_nothing_is_sent_behind_a_crash(make: Make) -> None:
    def crash(simulation: Simulation) -> Answer:
        if simulation.provider_number == 0:  # type: ignore[attr-defined]
            return Answer(record={"outcome": C["KSHS_OUTCOME_LOST"], "detail": 0xC0000005})
        return Answer(record={})

    provider = FakeProvider(bend=bend_op("OPEN_PIN", 0, crash))
    first_guest = provider.acquire

    def acquire() -> Any:
        guest = first_guest()
        guest.simulation.provider_number = len(provider.guests) - 1  # type: ignore[attr-defined]
        return guest

    provider.acquire = acquire  # type: ignore[method-assign]
    assert run_both(make(provider)) == [Verdict.CRASHED, Verdict.PASSED]
    assert [guest.simulation.counts["OPEN_PIN"] for guest in provider.guests] == [1, 1]


def test_where_cleaning_up_fails_the_next_one_starts_again_on_a_clean_guest(
    make: Make, tmp_path: Path
) -> None:
    refused = {"outcome": C["KSHS_OUTCOME_REFUSED"], "detail": 0xC000000D}
    provider = FakeProvider(bend=bend_op("RELEASE_ALL", 0, lambda simulation: Answer(record=refused)))
    runner = make(provider)
    first, second = scenario("t.first"), scenario("t.second")
    assert runner.run(first, file="t.toml", upcoming=second).verdict is Verdict.PASSED
    assert story(tmp_path / "journal.jsonl").in_flight is None, "what was sent ahead is recalled"
    assert runner.run(second, file="t.toml").verdict is Verdict.PASSED
    assert provider.guests[0].closed
    assert len(provider.guests) == 2


def test_a_crash_in_what_was_sent_ahead_is_its_own(make: Make) -> None:
    provider = FakeProvider(
        bend=bend_op("REQUEST", 1, lambda simulation: Answer(die=1)),
        evidence=Evidence(driver=("err:ntoskrnl:KeBugCheckEx 000000DE",)),
    )
    runner = make(provider)
    first, second = scenario("t.first"), scenario("t.second")
    assert runner.run(first, file="t.toml", upcoming=second).verdict is Verdict.PASSED
    runner.ready()  # as pytest's set-up does: must not replace the guest that has the evidence
    result = runner.run(second, file="t.toml")
    assert result.verdict is Verdict.CRASHED
    assert result.reason is not None and "KeBugCheckEx" in result.reason
    assert len(provider.guests) == 1


def test_another_scenario_than_was_said_gets_a_clean_guest(make: Make, tmp_path: Path) -> None:
    provider = FakeProvider()
    runner = make(provider)
    runner.run(scenario("t.first"), file="t.toml", upcoming=scenario("t.second"))
    assert runner.run(scenario("t.third"), file="t.toml").verdict is Verdict.PASSED
    assert len(provider.guests) == 2
    assert story(tmp_path / "journal.jsonl").in_flight is None


def test_time_inside_the_guest_is_by_its_own_clock(make: Make) -> None:
    times = iter(range(1_000_000_000, 9_000_000_000, 500_000_000))

    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        answer = simulation.honest(step, data)
        record = {**(answer.record or {}), "begin_ns": next(times), "duration_ns": 250_000_000}
        return Answer(record=record, data=answer.data)

    runner = make(FakeProvider(bend=bend))
    runner.ready()  # one step: info
    result = runner.run(scenario("t.first"), file="t.toml")
    # Reset, open filter for it, ..., release: each half a second after the one before.
    sent = sum(count for op, count in runner.provider.guests[0].simulation.counts.items()) - 1  # type: ignore[attr-defined]
    assert result.guest_seconds == pytest.approx((sent - 1) * 0.5 + 0.25)


@dataclass
class AheadProvider(FakeProvider):
    """The guest that takes over is there at once, and leaves evidence."""

    there: bool = True

    def acquire_ahead(self) -> None:
        pass

    def is_there(self) -> bool:
        return self.there


class Keeping:
    """Notes what the next scenario had sent by the time that the evidence of one was kept."""

    def __init__(self, provider: FakeProvider) -> None:
        self.provider = provider
        self.guests: list[tuple[str, bool, list[int]]] = []

    def keep(self, incident: Incident, guest: Any) -> Kept:
        deadline = time.monotonic() + 2
        while not self._requests()[1:] and time.monotonic() < deadline and len(self.provider.guests) > 1:
            time.sleep(0.01)
        self.guests.append((guest.id, guest.closed, self._requests()))
        return Kept(f"incidents/{incident.scenario}", evidence=("its stack",), said=("its words",))

    def _requests(self) -> list[int]:
        counts = [guest.simulation.counts.get("REQUEST", 0) for guest in self.provider.guests]
        return [count for count in counts if count]


def crashing(there: bool = True) -> AheadProvider:
    """The first request on the first guest is lost."""

    def lost(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if OPS[int(step.op)] != "REQUEST" or simulation is not provider.guests[0].simulation:
            return None
        return Answer(record={"outcome": C["KSHS_OUTCOME_LOST"], "detail": 0xC0000005})

    provider = AheadProvider(bend=lost, evidence=Evidence(driver=("it crashed",)))
    provider.there = there
    return provider


@pytest.mark.parametrize("there", [True, False], ids=["there", "still to come"])
def test_evidence_is_kept_while_the_next_one_runs_on_the_fresh_guest(
    make: Make, tmp_path: Path, there: bool
) -> None:
    provider = crashing(there)
    keeper = Keeping(provider)
    runner = make(provider, incidents=keeper)
    first, second = scenario("t.first"), scenario("t.second")
    result = runner.run(first, file="t.toml", upcoming=second)
    assert result.verdict is Verdict.CRASHED
    assert result.incident == "incidents/t.first" and result.said == ("its words",)
    assert result.evidence == ("it crashed", "its stack") and result.lease == "fake-0"
    assert keeper.guests == [("fake-0", False, [1, 1] if there else [1])]
    assert provider.guests[0].closed
    left = story(tmp_path / "journal.jsonl").in_flight
    assert (left is not None and (left.scenario, left.lease) == ("t.second", "fake-1")) is there
    after = runner.run(second, file="t.toml")
    assert (after.verdict, after.lease, after.incident) == (Verdict.PASSED, "fake-1", None)
    assert len(provider.guests) == 2 and provider.guests[1].simulation.counts["REQUEST"] == 1
    assert story(tmp_path / "journal.jsonl").in_flight is None


def test_what_runs_beside_evidence_is_recalled_where_nobody_wants_it(make: Make, tmp_path: Path) -> None:
    provider = crashing()
    runner = make(provider, incidents=Keeping(provider))
    runner.run(scenario("t.first"), file="t.toml", upcoming=scenario("t.second"))
    runner.close()
    assert [guest.closed for guest in provider.guests] == [True, True]
    assert story(tmp_path / "journal.jsonl").ended == {
        ("t.toml", "t.first"): "crashed", ("t.toml", "t.second"): "recalled",
    }  # fmt: skip


def test_a_run_that_is_killed_over_evidence_knows_the_fault_and_has_the_next_in_flight(
    make: Make, tmp_path: Path
) -> None:
    class Killed(Keeping):
        def keep(self, incident: Incident, guest: Any) -> Kept:
            super().keep(incident, guest)
            states.append(story(tmp_path / "journal.jsonl"))
            raise KeyboardInterrupt

    states: list[Story] = []
    provider = crashing()
    runner = make(provider, incidents=Killed(provider))
    with pytest.raises(KeyboardInterrupt):
        runner.run(scenario("t.first"), file="t.toml", upcoming=scenario("t.second"))
    assert [(one.scenario, one.lease) for one in states[0].unfinished] == [("t.second", "fake-1")]
    assert states[0].ended == {("t.toml", "t.first"): "crashed"}
    assert [guest.closed for guest in provider.guests] == [True, True]


def test_a_fresh_guest_that_cannot_be_had_costs_no_evidence(make: Make) -> None:
    provider = crashing()
    keeper = Keeping(provider)
    provider.fail, provider.fail_from = "no guest", 1
    runner = make(provider, incidents=keeper)
    first, second = scenario("t.first"), scenario("t.second")
    result = runner.run(first, file="t.toml", upcoming=second)
    assert result.verdict is Verdict.CRASHED and result.incident is not None
    with pytest.raises(HarnessError, match="no guest"):
        runner.run(second, file="t.toml")


def test_no_third_guest_is_made_while_evidence_is_kept(make: Make) -> None:
    provider = crashing()
    keeper = Keeping(provider)
    runner = make(provider, incidents=keeper)
    loses = scenario(
        "t.second",
        steps=[
            {"do": "behaviour", "pin": "source", "kind": "fault"},
            {"do": "handshake", "on": "source"},
        ],
    )
    assert runner.run(scenario("t.first"), file="t.toml", upcoming=loses).verdict is Verdict.CRASHED
    assert keeper.guests == [("fake-0", False, [1])]
