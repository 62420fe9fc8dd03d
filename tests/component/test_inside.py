# SPDX-License-Identifier: Apache-2.0
"""WAIT_INSIDE: a scenario goes on when its request is inside the driver, and not after some time."""

from __future__ import annotations

import struct
import uuid
from typing import Any

import pytest

from harness.agent.frames import Record
from tests.component.agent import ABI, KERNEL, STATUS_INVALID_PARAMETER, USER, Agent, C, describe, step

pytestmark = pytest.mark.component

DONE, REFUSED, STARTED = (C[f"KSHS_OUTCOME_{name}"] for name in ("DONE", "REFUSED", "STARTED"))
ASYNC = C["KSHS_STEP_ASYNC"]
CALLBACK, STATE = C["KSHS_INSIDE_CALLBACK"], C["KSHS_INSIDE_STATE"]
STATUS_INVALID_HANDLE = 0xC0000008
SOURCE = 0
PIN = 1

#: KSPROPSETID_Connection and KSPROPERTY_CONNECTION_STATE of ks.h, and KSSTATE_ACQUIRE.
CONNECTION = "1D58C920-AC9B-11CF-A5D6-28DB04C10000"
ACQUIRE = 1


def inside(
    agent: Agent, count: int = 1, *, what: int = CALLBACK, within: int = 5000, **fields: Any
) -> Record:
    given: dict[str, Any] = {
        "guid": ABI.guids["KSPROPSETID_Kshs"],
        "slot": 0,
        "value": SOURCE,
        "value2": count,
        "mode": what,
        "repeat": within,
        "timeout_ms": 20000,
    }
    return agent.run("WAIT_INSIDE", side=KERNEL, timeout=25.0, **given | fields)


def seen_in(record: Record) -> Any:
    assert (record.outcome, record.returned) == (DONE, 0), describe(record)
    return ABI.cs.kshs_seen(record.data)


def change_state(agent: Agent, slot: int, state: int, side: int = KERNEL, **fields: Any) -> Record:
    return agent.run(
        "PROPERTY",
        struct.pack("<I", state),
        side=side,
        slot=slot,
        guid=uuid.UUID(CONNECTION),
        value=0,
        value2=2,
        out_length=4,
        timeout_ms=10000,
        **fields,
    )


def test_it_answers_when_as_many_as_wanted_are_inside_and_tells_what_was_seen(agent: Agent) -> None:
    agent.open_pin(PIN, SOURCE)
    agent.behave(SOURCE, "BLOCK", delay_ms=15000)
    for token in range(3):
        record = agent.submit(PIN, route=C["KSHS_ROUTE_IRP"], flags=ASYNC, token=token).result()
        assert record.outcome == STARTED
        seen = seen_in(inside(agent, token + 1))
        assert (seen.count, seen.finished) == (token + 1, 0)
    for _ in range(3):
        agent.unblock(SOURCE)
    for token in range(3):
        assert agent.run("WAIT", side=KERNEL, token=token, timeout_ms=10000).outcome == DONE
    assert seen_in(inside(agent, within=1)).finished == 3


def test_what_does_not_come_in_time_is_an_answer_with_what_was_seen_last(agent: Agent) -> None:
    seen = seen_in(inside(agent, within=20))
    assert (seen.pin_id, seen.count, seen.finished) == (SOURCE, 0, 0)


def test_a_change_of_state_is_waited_for_and_released(agent: Agent) -> None:
    agent.open_pin(PIN, SOURCE)
    agent.behave(SOURCE, "SLOW_STATE", delay_ms=15000)
    assert change_state(agent, PIN, ACQUIRE, flags=ASYNC, token=0).outcome == STARTED
    seen = seen_in(inside(agent, what=STATE))
    assert (seen.changes_begun, seen.changes_ended, seen.count) == (1, 0, 0)
    agent.unblock(SOURCE)
    record = agent.run("WAIT", side=KERNEL, token=0, timeout_ms=10000)
    assert (record.outcome, record.returned) == (DONE, 0), describe(record)
    seen = agent.seen(SOURCE)
    assert (seen.changes_begun, seen.changes_ended) == (1, 1)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"value2": 0}, STATUS_INVALID_PARAMETER),
        ({"mode": 2}, STATUS_INVALID_PARAMETER),
        ({"repeat": 20000}, STATUS_INVALID_PARAMETER),
        ({"slot": C["KSHS_MAX_SLOTS"]}, STATUS_INVALID_PARAMETER),
        ({"flags": ASYNC, "token": 0}, STATUS_INVALID_PARAMETER),
        ({"slot": 5}, STATUS_INVALID_HANDLE),
    ],
)
def test_a_step_that_makes_no_sense_is_refused(agent: Agent, fields: dict[str, int], why: int) -> None:
    record = inside(agent, **fields)
    assert (record.outcome, record.detail) == (REFUSED, why), describe(record)


def test_a_target_that_does_not_answer_the_question_is_told_at_once(agent: Agent) -> None:
    """A pin id that the target does not have: the record holds its status and no structure."""
    record = inside(agent, value=77)
    assert (record.outcome, record.status, record.data) == (DONE, STATUS_INVALID_PARAMETER, b""), describe(
        record
    )


@pytest.mark.parametrize("route", ["SYNC", "EVENT"])
def test_a_property_in_flight_on_the_user_side_carries_its_data(agent: Agent, route: str) -> None:
    """A SET by a handle of the agent's own: the driver gets the bytes that follow the identifier."""
    agent.open_filter(0, side=USER, route=C[f"KSHS_ROUTE_{route}"])
    wanted = ABI.cs.kshs_behaviour(pin_id=SOURCE, kind=C["KSHS_BEHAVE_TRANSFORM"], value=41, value2=0)
    record = agent.run(
        "PROPERTY",
        bytes(wanted.dumps()),
        side=USER,
        slot=0,
        guid=ABI.guids["KSPROPSETID_Kshs"],
        value=C["KSHS_PROP_BEHAVIOUR"],
        value2=2,
        flags=ASYNC,
        token=4,
        timeout_ms=10000,
    )
    assert record.outcome == STARTED, describe(record)
    record = agent.run("WAIT", side=USER, token=4, timeout_ms=10000)
    assert (record.outcome, record.returned, record.changed_bytes) == (DONE, 0, 0), describe(record)
    agent.open_pin(PIN, SOURCE)
    answer = agent.request(PIN, route=C["KSHS_ROUTE_IRP"])
    assert struct.unpack("<Q", answer.data[16:24]) == (0x1000 + 41,), describe(answer)


@pytest.mark.parametrize("flags", [0, ASYNC])
@pytest.mark.parametrize("route", ["SYNC", "EVENT"])
def test_an_answer_that_the_driver_gives_later_reaches_a_user_mode_caller(
    agent: Agent, route: str, flags: int
) -> None:
    """SEEN_LATER is pended, and finished by a thread that is not the caller's."""
    agent.open_pin(PIN, SOURCE)
    agent.request(PIN, route=C["KSHS_ROUTE_IRP"])
    agent.open_filter(0, side=USER, route=C[f"KSHS_ROUTE_{route}"])
    size = len(ABI.cs.kshs_seen)
    question = step(
        "PROPERTY",
        struct.pack("<I", SOURCE),
        side=USER,
        slot=0,
        guid=ABI.guids["KSPROPSETID_Kshs"],
        value=C["KSHS_PROP_SEEN_LATER"],
        value2=1,
        in_length=4,
        out_length=size,
        flags=flags,
        token=1 if flags else C["KSHS_NO_TOKEN"],
        timeout_ms=10000,
    )
    record = agent.session.run(question, what="PROPERTY", timeout=15)
    if flags:
        record = agent.run("WAIT", side=USER, token=1, timeout_ms=10000)
    assert (record.outcome, record.status, record.information) == (DONE, 0, size), describe(record)
    assert record.data == bytes(agent.seen(SOURCE).dumps())
