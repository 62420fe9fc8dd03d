# SPDX-License-Identifier: Apache-2.0
"""A crash speaks against the driver where it is one of drivers: not of our agent, not of the machine."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from harness.guests import Evidence
from harness.guests.crash_record import LACKING_CALL, crashes_in
from harness.guests.provider import VmGuest
from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import OPS, C, FakeProvider, Simulation
from tests.harness.running.conftest import MakeRunner
from tests.harness.running.scenarios import bend_op, scenario
from vm.events import GuestEvents

AGENTS: dict[str, Any] = {
    "kind": "exception",
    "process": "kshsctl.exe",
    "code": "0xc0000005",
    "fault": {"address": "0x140001000", "module": "kshsctl.exe", "offset": "0x1000"},
}
DRIVERS = {**AGENTS, "process": "WineDevice.exe", "fault": {"module": "x.sys", "offset": "0x10"}}
SAID_OF_THE_AGENT = "exception 0xc0000005 at kshsctl.exe+0x1000 in kshsctl.exe"
SAID_OF_THE_DRIVER = "exception 0xc0000005 at x.sys+0x10 in WineDevice.exe"
ENDED = {"kind": "ended", "process": "winedevice.exe", "code": "0x1"}
SAID_OF_AN_END = "winedevice.exe ended with exit code 0x1"
NO_MEMORY = "the guest ran out of memory, and its Linux ended winedevice.exe"
LOST = Answer(record={"outcome": C["KSHS_OUTCOME_LOST"], "detail": 0xC000014B})
HUNG = Answer(record={"outcome": C["KSHS_OUTCOME_HUNG"], "detail": 0x102})


def test_crashes_are_sorted_by_the_process() -> None:
    text = "\n".join([json.dumps(AGENTS), json.dumps(DRIVERS), "torn", json.dumps({"code": 1})])
    found = crashes_in(text)
    assert found.driver == (SAID_OF_THE_DRIVER, "torn", "exception 0x1")
    assert found.other == (SAID_OF_THE_AGENT,)


def lease_that_prints(said: Mapping[str, str]) -> Any:
    """A guest that answers commands by what is in them."""
    lease: Any = nullcontext()
    lease.family, lease.events, lease.standstill = "wine", GuestEvents(), lambda: None
    lease.ended = lambda patience: False

    def run(command: str, timeout: float) -> Any:
        parts = re.findall(r"\{ (.*?); \}; echo (\w+);", command)
        answers = ("".join(text for name, text in said.items() if name in part) for part, _ in parts)
        printed = "".join(f"{answer}{mark}\n" for answer, (_, mark) in zip(answers, parts, strict=True))
        return SimpleNamespace(stdout=printed.encode())

    lease.shell = SimpleNamespace(alive=True, run=run)
    return lease


def test_the_agents_own_crash_is_no_evidence_against_a_driver() -> None:
    said = {"crashes.jsonl": json.dumps(AGENTS) + "\n"}
    lease = lease_that_prints(said)
    assert VmGuest(lease).evidence() == Evidence(other=(SAID_OF_THE_AGENT,), recording=False)
    said["crashes.jsonl"] += json.dumps(DRIVERS)
    assert VmGuest(lease).evidence().driver == (SAID_OF_THE_DRIVER,)


@pytest.mark.parametrize(
    ("running", "at_work"),
    [
        (r"/usr/lib/wine/wine64 C:\kshs\kshsrec.exe crash 32 100 ", True),
        (r'"C:\kshs\kshsrec.exe" crash 32 100', True),
        (r"/usr/lib/wine/wine64 C:\kshs\kshsrec.exe threads ", False),
        (r"/usr/lib/wine/wine64 C:\kshs\kshsctl.exe crash 32 100 ", True),
        (r'C:\windows\explorer.exe "C:\kshs\kshsctl.exe"  crash 32 100', True),
        (r"C:\kshs\kshsctl.exe serve  sh -c grep kshsctl.exe crash ", False),
    ],
)
def test_a_recorder_at_work_is_seen_from_outside(running: str, at_work: bool) -> None:
    assert VmGuest(lease_that_prints({"cmdline": running})).evidence() == Evidence(recording=at_work)


FAULT = "wine: Unhandled page fault on write access to 0 at address 1 (thread 0150), starting debugger..."
OVERFLOW = (
    "0150:err:virtual:virtual_setup_exception stack overflow 1568 bytes addr 0x7b0150da stack 0x32609e0"
)
STUB = "wine: Unimplemented function ks.sys.X called at address 1 (thread 0150), starting debugger..."


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"starting debugger": FAULT + "\n"}, [FAULT]),
        # It has been written down: of drivers it counts as that, of others it is none.
        ({"starting debugger": FAULT + "\n", "crashes.jsonl": json.dumps(DRIVERS)}, []),
        ({"starting debugger": FAULT + "\n", "crashes.jsonl": json.dumps(AGENTS)}, []),
        ({"starting debugger": f"{STUB}\n"}, [f"{LACKING_CALL}: {STUB}"]),
        # It has no recorder for a thread that it ends.
        ({"starting debugger": f"{OVERFLOW}\n"}, [f"a stack overflow: {OVERFLOW} (Wine ends such a thread"]),
        ({}, []),
    ],
)
def test_what_wine_began_to_record_is_told(said: dict[str, str], told: list[str]) -> None:
    found = VmGuest(lease_that_prints(said)).evidence()
    assert [re.split(r" \(?and (the|starts)", sentence)[0] for sentence in found.unrecorded] == told
    assert found.recording is (None if found.driver else bool(told))


def test_what_linux_ends_for_want_of_memory_is_no_crash(make_runner: MakeRunner) -> None:
    said = {"Out of memory": "tail\nwinedevice.exe\nwinedevice.exe\n"}
    evidence = VmGuest(lease_that_prints(said)).evidence()
    assert evidence.standstill == "the guest ran out of memory, and its Linux ended winedevice.exe"
    result = make_runner(FakeProvider(bend=telling(LOST), evidence=evidence)).run(scenario(), file="t.toml")
    assert result.verdict is Verdict.ERROR and "ran out of memory" in str(result.reason)
    # What it ends beside Wine is nothing to us, and a crash that is on record stays one.
    assert VmGuest(lease_that_prints({"Out of memory": "tail\n"})).evidence() == Evidence(recording=False)
    both = {**said, "crashes.jsonl": json.dumps(DRIVERS)}
    assert VmGuest(lease_that_prints(both)).evidence().driver == (SAID_OF_THE_DRIVER,)


def test_an_agent_that_crashed_is_an_error(make_runner: MakeRunner) -> None:
    provider = FakeProvider(
        bend=bend_op("REQUEST", {0: Answer(die=5)}), evidence=Evidence(other=(SAID_OF_THE_AGENT,))
    )
    result = make_runner(provider).run(scenario(), file="t.toml")
    assert result.verdict is Verdict.ERROR
    assert SAID_OF_THE_AGENT in result.evidence


def telling(answer: Answer, *records: dict[str, Any]) -> Any:
    """The first request is answered so, and the agent tells of these crashes."""

    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        op = OPS[int(step.op)]
        if op == "CRASHES":
            return Answer(record={}, data=json.dumps(records).encode())
        return answer if op == "REQUEST" and simulation.counts["REQUEST"] == 1 else None

    return bend


@pytest.mark.parametrize(
    ("answer", "records", "verdict", "says"),
    [
        (HUNG, [AGENTS], Verdict.HUNG, "no answer within"),
        (HUNG, [AGENTS, DRIVERS], Verdict.CRASHED, SAID_OF_THE_DRIVER),
        (LOST, [AGENTS], Verdict.CRASHED, "the kernel side vanished"),
        (LOST, [AGENTS, DRIVERS], Verdict.CRASHED, SAID_OF_THE_DRIVER),
    ],
)
def test_of_what_the_recorder_says_the_drivers_part_counts(
    make_runner: MakeRunner, answer: Answer, records: list[dict[str, Any]], verdict: Verdict, says: str
) -> None:
    result = make_runner(FakeProvider(bend=telling(answer, *records))).run(scenario(), file="t.toml")
    assert result.verdict is verdict
    assert result.reason is not None and says in result.reason


@pytest.mark.parametrize(
    ("evidence", "says"),
    [
        (Evidence(other=("the guest has stopped",), gone=True), "but the machine is gone"),
        (Evidence(standstill="its disk cannot be written"), "but its disk cannot be written"),
    ],
)
def test_what_went_down_with_the_machine_is_no_crash_of_a_driver(
    make_runner: MakeRunner, evidence: Evidence, says: str
) -> None:
    provider = FakeProvider(bend=telling(LOST), evidence=evidence)
    result = make_runner(provider).run(scenario(), file="t.toml")
    assert result.verdict is Verdict.ERROR
    assert result.reason is not None and result.reason.endswith(says)
    provider.evidence = Evidence(driver=("bugcheck 0xde",), standstill="it is paused")
    assert make_runner(provider).run(scenario(), file="t.toml").verdict is Verdict.CRASHED


@pytest.mark.parametrize(
    ("evidence", "verdict", "says"),
    [
        (Evidence(standstill=NO_MEMORY), Verdict.ERROR, f"but {NO_MEMORY}"),
        (Evidence(driver=("bugcheck 0x1",)), Verdict.CRASHED, "bugcheck 0x1"),
        (Evidence(), Verdict.CRASHED, "vanished"),
    ],
)
def test_a_process_that_only_ended_may_have_been_killed(
    make_runner: MakeRunner, evidence: Evidence, verdict: Verdict, says: str
) -> None:
    provider = FakeProvider(bend=telling(LOST, ENDED), evidence=evidence)
    result = make_runner(provider).run(scenario(), file="t.toml")
    assert result.verdict is verdict
    assert result.reason is not None and says in result.reason, result.reason


SPOILS = {"do": "device", "action": "remove"}


@pytest.mark.parametrize(
    ("answer", "evidence", "said"),
    [
        (Answer(record={}, data=json.dumps([DRIVERS]).encode()), Evidence(), SAID_OF_THE_DRIVER),
        (Answer(record={}, data=json.dumps([AGENTS]).encode()), Evidence(), None),
        (Answer(die=1), Evidence(driver=(SAID_OF_THE_DRIVER,)), SAID_OF_THE_DRIVER),
        (Answer(die=1), Evidence(gone=True), None),
        (Answer(record={}, data=b"[]"), Evidence(), None),
        (Answer(record={}, data=json.dumps([ENDED]).encode()), Evidence(), SAID_OF_AN_END),
        (Answer(record={}, data=json.dumps([ENDED]).encode()), Evidence(standstill=NO_MEMORY), None),
    ],
)
def test_a_crash_behind_the_last_answer_counts_where_the_lease_goes(
    make_runner: MakeRunner, answer: Answer, evidence: Evidence, said: str | None
) -> None:
    provider = FakeProvider(bend=bend_op("CRASHES", {1: answer}), evidence=evidence)
    made = make_runner(provider)
    result = made.run(scenario(SPOILS), file="t.toml")
    assert result.verdict is (Verdict.PASSED if said is None else Verdict.CRASHED), result.reason
    assert provider.guests[0].closed
    if said is not None:
        assert result.reason == f"after the last step: {said}"
        assert result.evidence == (said,)


def test_what_was_on_record_before_is_not_the_scenarios(make_runner: MakeRunner) -> None:
    before = Answer(record={}, data=json.dumps([DRIVERS]).encode())
    provider = FakeProvider(bend=bend_op("CRASHES", {0: before}))
    assert make_runner(provider).run(scenario(SPOILS), file="t.toml").verdict is Verdict.PASSED
    assert provider.guests[0].simulation.counts["CRASHES"] == 2
