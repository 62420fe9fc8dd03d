# SPDX-License-Identifier: Apache-2.0
"""What is kept when a scenario ends in a crash, a hang or a lost guest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.agent.journal import story
from harness.evidence.incidents import FACTS, Incident, Incidents, Kept, incidents_of
from harness.guests import Evidence, EvidenceSink, Guest
from harness.incident_settings import IncidentsConfig
from harness.results.record import ScenarioResult
from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import OPS, C, FakeGuest, FakeProvider, Simulation
from tests.harness.running.conftest import MakeRunner
from tests.harness.running.test_runner import on_request, scenario

TIME = {"begin_ns": 98_000_000_000, "duration_ns": 1_500_000_000}
LOST = Answer(record={"outcome": C["KSHS_OUTCOME_LOST"], "detail": 0xC0000123, **TIME})
HUNG = Answer(record={"outcome": C["KSHS_OUTCOME_HUNG"], "detail": 0x102, **TIME})
STEPS = ({"do": "handshake", "on": "source"}, {"do": "handshake", "on": "source", "argument1": 9})
LOG = " 99.000:01dc:warn:debugstr:vDbgPrintExWithPrefix 00000000:00000001: [99000000000] sim: <b>last</b>\n"


class Telling(FakeGuest):
    """Leaves pieces; `after` is told what was closed by then."""

    asked: list[bool] = []  # noqa: RUF012 - of one test

    def leave_evidence(
        self, into: EvidenceSink, *, hung: bool = False, memory_dump: bool = True
    ) -> Mapping[str, Any]:
        assert not self.closed, "evidence is taken before the guest is thrown away"
        self.asked.append(hung)
        into.add("session.log", LOG.encode())
        into.lack("screenshot.png", "no display")
        return {"event": "the guest is running", "state": "running"}

    def session_log(self, limit: int) -> str:
        return LOG


class TellingProvider(FakeProvider):
    def acquire(self) -> FakeGuest:
        guest = Telling(self, len(self.guests))
        self.guests.append(guest)
        return guest


def keeper(out: Path, **settings: Any) -> Incidents:
    return Incidents(out, "run1", "main", IncidentsConfig(**settings), lambda: {"guest": "fake"})


def facts_of(out: Path, result: ScenarioResult) -> dict[str, Any]:
    assert result.incident is not None, result
    value = json.loads((out / result.incident / FACTS).read_bytes())
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize(("answer", "verdict"), [(LOST, Verdict.CRASHED), (HUNG, Verdict.HUNG)])
def test_a_crash_and_a_hang_leave_a_folder(
    tmp_path: Path, make_runner: MakeRunner, answer: Answer, verdict: Verdict
) -> None:
    Telling.asked = []
    provider = TellingProvider(bend=on_request(lambda *_: answer, 1))
    result = make_runner(provider, incidents=keeper(tmp_path)).run(scenario(*STEPS), file="t.toml")
    assert result.verdict is verdict
    facts = facts_of(tmp_path, result)
    assert Telling.asked == [verdict is Verdict.HUNG]
    assert facts["in_flight"]["what"].startswith("handshake source")
    assert facts["in_flight"]["request"]["argument1"] == "0x9"
    assert facts["verdict"] == verdict.value and facts["scenario"]["file"] == "t.toml"
    assert facts["environment"] == {"guest": "fake"} and facts["machine"]["state"] == "running"
    assert facts["missing"] == {"screenshot.png": "no display"}
    assert {"session.log", "records.jsonl"} <= set(facts["files"])
    assert any("sim: <b>last</b>" in line for line in result.said), result.said
    assert incidents_of(tmp_path) == [tmp_path / str(result.incident)]


def test_a_lost_agent_leaves_one_and_what_passed_leaves_none(tmp_path: Path, make_runner: MakeRunner) -> None:
    def die(*_: Any) -> Answer:
        return Answer(die=True)

    provider = TellingProvider(bend=on_request(die, 1), evidence=Evidence(gone=True))
    runner = make_runner(provider, incidents=keeper(tmp_path))
    assert runner.run(scenario(), file="t.toml").incident is None
    result = runner.run(scenario(id="t.two"), file="t.toml")
    assert result.verdict is Verdict.ERROR
    assert facts_of(tmp_path, result)["agent_failure"]
    assert len(incidents_of(tmp_path)) == 1


def test_what_the_driver_printed_is_told_of_a_failure(tmp_path: Path, make_runner: MakeRunner) -> None:
    def wrong(simulation: Simulation, step: Any, data: bytes) -> Answer:
        answer = simulation.request(step, data, status=0xC0000001)
        return Answer(record={**(answer.record or {}), **TIME}, data=answer.data)

    provider = TellingProvider(bend=on_request(wrong))
    result = make_runner(provider, incidents=keeper(tmp_path)).run(scenario(), file="t.toml")
    assert result.verdict is Verdict.FAILED and result.incident is None
    assert any("sim: <b>last</b>" in line for line in result.said)


def test_evidence_that_cannot_be_kept_costs_no_verdict(tmp_path: Path, make_runner: MakeRunner) -> None:
    (tmp_path / "incidents").write_text("in the way")
    provider = TellingProvider(bend=on_request(lambda *_: LOST))
    result = make_runner(provider, incidents=keeper(tmp_path)).run(scenario(), file="t.toml")
    assert result.verdict is Verdict.CRASHED and result.incident is None
    assert any(
        "evidence was not kept: the incident's folder cannot be made" in line for line in result.evidence
    )


def test_a_guest_that_raises_over_its_evidence_costs_no_verdict(
    tmp_path: Path, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Mapping[str, Any]:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Telling, "leave_evidence", broken)
    provider = TellingProvider(bend=on_request(lambda *_: LOST))
    result = make_runner(provider, incidents=keeper(tmp_path)).run(scenario(), file="t.toml")
    assert result.verdict is Verdict.CRASHED
    assert facts_of(tmp_path, result)["missing"]["guest"] == "RuntimeError: a bug"


@pytest.mark.parametrize(("answer", "word"), [(LOST, "crashed"), (HUNG, "hung")])
def test_a_kill_while_evidence_is_gathered_costs_no_fault(
    tmp_path: Path, make_runner: MakeRunner, answer: Answer, word: str
) -> None:
    """It takes a second or two, and what the journal has by then is what `--resume` knows."""
    known: list[Mapping[tuple[str, str], str]] = []

    class Looking:
        def keep(self, incident: Incident, guest: Guest) -> Kept:
            known.append(story(tmp_path / "journal.jsonl").ended)
            return Kept()

    provider = TellingProvider(bend=on_request(lambda *_: answer))
    make_runner(provider, incidents=Looking()).run(scenario(), file="t.toml")
    assert [list(ended.values()) for ended in known] == [[word]]


def test_a_failure_before_the_agent_was_lost_is_one_in_the_journal_too(
    tmp_path: Path, make_runner: MakeRunner
) -> None:
    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        requests = simulation.counts.get("REQUEST", 0)
        if requests == 1 and OPS[int(step.op)] == "REQUEST":
            return simulation.request(step, data, status=0xC0000001)
        return Answer(die=True) if requests > 1 else None

    provider = TellingProvider(bend=bend)
    result = make_runner(provider, incidents=keeper(tmp_path)).run(scenario(*STEPS), file="t.toml")
    assert result.verdict is Verdict.FAILED
    assert list(story(tmp_path / "journal.jsonl").ended.values()) == ["failed"]
