# SPDX-License-Identifier: Apache-2.0
"""Steps that travel together are answered, and crash and hang attributed, as if each went alone."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import drivers.build
from harness.agent.frames import Record, info_of
from harness.agent.pending import Pending
from harness.agent.session import AgentSession
from harness.errors import AgentLostError, StepNotReachedError
from tests.component import standins
from tests.component.agent import ABI, KERNEL_ROUTES, STATUS_SUCCESS, USER, Agent, C, agent_of, describe, step
from tests.component.conftest import start
from tests.component.test_target import until_inside
from tests.component.wine import WineGuest

pytestmark = pytest.mark.component

DONE, STARTED, REFUSED, HUNG, LOST = (
    C[f"KSHS_OUTCOME_{name}"] for name in ("DONE", "STARTED", "REFUSED", "HUNG", "LOST")
)
ASYNC = C["KSHS_STEP_ASYNC"]
IRP = KERNEL_ROUTES["irp"]
STATUS_INVALID_HANDLE = 0xC0000008
#: The slots of four pins that answer; `BAD` is the fifth, whose pin does not.
GOOD = (1, 2, 3, 1, 2)
BAD = 4


def together(agent: Agent, steps: Sequence[bytes]) -> list[Pending]:
    """Steps that are all in the agent's queue before it begins with the first of them."""
    agent.session.submit(step("SLEEP", side=USER, timeout_ms=300), what="gather", timeout=5)
    return [agent.session.submit(one, what=f"step {number}", timeout=10) for number, one in enumerate(steps)]


def around(position: int, agent: Agent, timeout_ms: int = 10000) -> list[bytes]:
    """Requests of which that at `position` goes to the pin that does not answer."""
    slots = [*GOOD[:position], BAD, *GOOD[position:]]
    return [agent.request_step(slot, timeout_ms=timeout_ms) for slot in slots]


def open_pins(agent: Agent) -> None:
    for slot, pin in ((1, 0), (2, 1), (3, 2), (BAD, 3)):
        agent.open_pin(slot, pin)


def answered(record: Record) -> bool:
    return record.outcome == DONE and record.returned == STATUS_SUCCESS


def seen_step(agent: Agent, pin_id: int) -> bytes:
    size = len(ABI.cs.kshs_seen)
    return step(
        "PROPERTY",
        struct.pack("<I", pin_id),
        slot=0,
        guid=ABI.guids["KSPROPSETID_Kshs"],
        value=C["KSHS_PROP_SEEN"],
        value2=1,
        in_length=4,
        out_length=size,
    )


def test_a_wine_guest_takes_batches(wine_guest: WineGuest) -> None:
    assert wine_guest.must("ping")["batches"] is True


@pytest.mark.parametrize("position", [0, 2, 5])
def test_a_crash_is_lost_at_its_own_step(
    broken_guest: WineGuest, build: drivers.build.Build, position: int
) -> None:
    with agent_of(broken_guest) as agent:
        agent.open_filter()
        open_pins(agent)
        agent.behave(3, "FAULT")
        found = [one.result() for one in together(agent, around(position, agent))]
        assert [answered(one) for one in found[:position]] == [True] * position
        assert found[position].outcome == LOST, describe(found[position])
        # A fresh handle, or none: whatever comes is no answer of a driver.
        assert all(one.outcome in (REFUSED, LOST) for one in found[position + 1 :]), found
    broken_guest.stop()
    start(broken_guest, build)
    with agent_of(broken_guest) as agent:
        agent.open_filter()


@pytest.mark.parametrize("position", [0, 3, 5])
def test_a_hang_is_hung_at_its_own_step_and_the_others_are_answered(
    broken_guest: WineGuest, position: int
) -> None:
    with agent_of(broken_guest) as agent:
        agent.open_filter()
        open_pins(agent)
        agent.behave(3, "HANG")
        found = [one.result() for one in together(agent, around(position, agent, timeout_ms=1500))]
        assert found[position].outcome == HUNG, describe(found[position])
        assert found[position].repeats == 1  # its request was sent, and is known
        assert [answered(one) for at, one in enumerate(found) if at != position] == [True] * len(GOOD)


@pytest.mark.parametrize("position", [0, 3, 5])
def test_whoever_is_killed_during_a_step_has_said_that_it_began(
    wine_guest: WineGuest, agent: Agent, position: int
) -> None:
    with agent_of(wine_guest) as victim:
        victim.open_filter()
        open_pins(victim)
        agent.open_filter(20)
        agent.behave(3, "BLOCK")
        sent = together(victim, around(position, victim))
        until_inside(agent, 3, 1)
        deadline = time.monotonic() + 5
        while not (sent[position].begun_at and victim.session.in_flight is sent[position]):
            assert time.monotonic() < deadline, victim.session.in_flight
            time.sleep(0.01)
        victim.channel.kill()
        assert [answered(one.result()) for one in sent[:position]] == [True] * position
        with pytest.raises(AgentLostError):
            sent[position].result()
        for one in sent[position + 1 :]:
            with pytest.raises(StepNotReachedError):
                one.result()
    agent.unblock(3)


def test_waiting_and_cancelling_keep_their_time(agent: Agent) -> None:
    agent.open_pin(1, 0)
    agent.behave(0, "BLOCK")
    request = agent.request_step(1, route=IRP, flags=ASYNC, token=5)
    wait = step("WAIT", token=5, timeout_ms=400)
    unblock = step(
        "PROPERTY",
        struct.pack("<I", 0),
        slot=0,
        guid=ABI.guids["KSPROPSETID_Kshs"],
        value=C["KSHS_PROP_UNBLOCK"],
        value2=2,
        out_length=4,
    )
    found = [one.result() for one in together(agent, [request, wait, wait, unblock, wait, wait])]
    assert [one.outcome for one in found] == [STARTED, HUNG, HUNG, DONE, DONE, REFUSED], found
    assert all(300_000_000 < one.duration_ns < 5_000_000_000 for one in found[1:3]), found
    assert answered(found[4])


def test_a_malformed_step_is_refused_and_the_others_are_done(agent: Agent) -> None:
    agent.open_pin(1, 0)
    good = agent.request_step(1)
    steps = [good, step("CLOSE", slot=99), step("OPEN_DEVICE", b"x", slot=3), good]
    outcomes = [one.result().outcome for one in together(agent, steps)]
    assert outcomes == [DONE, REFUSED, REFUSED, DONE]


def test_a_close_is_over_before_the_next_step(agent: Agent) -> None:
    agent.open_pin(1, 0)
    agent.open_pin(2, 0)
    steps = [step("CLOSE", slot=1), seen_step(agent, 0), step("CLOSE", slot=2), seen_step(agent, 0)]
    found = [one.result() for one in together(agent, steps)]
    assert [ABI.cs.kshs_seen(found[at].data).closed for at in (1, 3)] == [1, 2]


def test_a_close_of_user_mode_is_over_before_the_next_step(agent: Agent) -> None:
    agent.open_filter(50, side=USER)
    agent.open_pin(1, 0, side=USER, filter_slot=50)
    found = together(agent, [step("CLOSE", side=USER, slot=1), seen_step(agent, 0)])
    assert ABI.cs.kshs_seen(found[1].result().data).closed == 1


def test_more_steps_than_a_batch_holds_are_answered_in_order(agent: Agent) -> None:
    agent.open_pin(1, 0)
    count = 2 * C["KSHS_BATCH_STEPS"] + 5
    found = [one.result() for one in together(agent, [agent.request_step(1)] * count)]
    assert all(answered(one) for one in found)
    begins = [one.begin_ns for one in found]
    assert begins == sorted(begins)
    assert agent.seen(0).count == count


def test_batches_that_no_agent_sends_change_nothing(
    wine_guest: WineGuest, agent: Agent, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    program = wine_guest.put(standins.build_program(work, "batches", ("-lntdll",)))
    done = wine_guest.run(program)
    assert done.exit_code == 0, done
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    statuses = {name: text for name, text in lines.items() if not name.startswith(("bad-", "good", "sense"))}
    assert statuses == {
        "batch-without-block": "c0000010",
        "block-no-name": "c0000033",
        "block-odd-name": "c0000033",
        "block-long-name": "c0000033",
        "block-nobody": "c0000034",
        "block-small": "c000001f",
        "block-no-events": "c0000034",
        "block": "00000000",
        "block-twice": "c0000035",
        "batch-short-answer": "c0000023",
        "serve": "00000103",
        "serve-twice": "80000011",
        "end": "00000000",
        "serve-again": "00000103",
    }
    untouched = "begun 0 ended 0 first 0 00000000 second 0 00000000"
    bad = {name: text for name, text in lines.items() if name.startswith("bad-")}
    assert len(bad) == 28
    for name, text in bad.items():
        assert text.startswith("refused c0000"), name
        assert text.endswith(untouched), (name, text)
    good = "refused 00000000 begun 2 ended 2 first 0 00000000 second 0 00000000"
    assert lines["good"] == lines["good-again"] == good
    assert lines["senseless"].endswith("ended 2 first 2 c0000059 second 2 c000000d")
    assert lines["senseless-too"].endswith("ended 2 first 2 c0000206 second 2 c0000010")
    agent.open_pin(1, 0)
    assert answered(agent.request(1))


def test_an_agent_that_waited_answers_with_what_it_gathered_until_something_is_done(
    wine_guest: WineGuest,
) -> None:
    channel = wine_guest.channel("serve", "warm")
    with AgentSession(channel, ABI) as session:
        info = step("INFO", side=USER)
        first, second = (info_of(session.run(info, what="info")) for _ in range(2))
        assert first == second
    channel.close()
    channel = wine_guest.channel("serve", "warm")
    with AgentSession(channel, ABI) as session:
        session.run(step("RELEASE_ALL"), what="something")
        assert info_of(session.run(info, what="info")) == first
    channel.close()
