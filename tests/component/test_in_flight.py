# SPDX-License-Identifier: Apache-2.0
"""Properties in flight, closed handles and shared handles, as kshs_abi.h and docs/client.md have them."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from harness.agent.frames import Record
from tests.component.agent import (
    ABI,
    KERNEL,
    KERNEL_ROUTES,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS,
    USER,
    USER_ROUTES,
    Agent,
    C,
    connect,
    describe,
    handshake,
)
from tests.component.test_target import until_inside

pytestmark = pytest.mark.component

DONE, STARTED, REFUSED = (C[f"KSHS_OUTCOME_{name}"] for name in ("DONE", "STARTED", "REFUSED"))
ASYNC, KEEP = C["KSHS_STEP_ASYNC"], C["KSHS_STEP_KEEP"]
PIN_HANDSHAKE_BYTES = len(ABI.cs.kshs_pin_handshake)

STATUS_INVALID_HANDLE = 0xC0000008
STATUS_INVALID_PARAMETER = 0xC000000D
STATUS_OBJECT_NAME_COLLISION = 0xC0000035
STATUS_FILE_CLOSED = 0xC0000128
STATUS_NOT_FOUND = 0xC0000225


def open_pair(agent: Agent) -> None:
    """A sink in slot 1, and in slot 2 a source that is connected to it."""
    agent.open_filter(20)
    agent.open_pin(1, 1)
    agent.open_pin(2, 0, onto=1)


def start(agent: Agent, slot: int, token: int, request: bytes | None = None, side: int = KERNEL) -> Record:
    return agent.run(
        "PROPERTY",
        handshake() if request is None else request,
        side=side,
        slot=slot,
        guid=ABI.guids["KSPROPSETID_Kshs"],
        value=C["KSHS_PROP_PIN_HANDSHAKE"],
        value2=1,
        in_length=32,
        out_length=PIN_HANDSHAKE_BYTES,
        flags=ASYNC,
        token=token,
    )


def wait(agent: Agent, token: int, side: int = KERNEL) -> Record:
    record = agent.run("WAIT", side=side, token=token, timeout_ms=10000)
    assert (record.outcome, record.op) == (DONE, C["KSHS_OP_WAIT"]), describe(record)
    return record


def answer_of(record: Record) -> Any:
    assert len(record.data) == PIN_HANDSHAKE_BYTES, describe(record)
    return ABI.cs.kshs_pin_handshake(record.data)


# ---- properties in flight


def test_a_property_in_flight_lets_the_next_steps_go_on(agent: Agent) -> None:
    open_pair(agent)
    agent.behave(1, "BLOCK", slot=20, delay_ms=10000)
    assert start(agent, 2, 7, handshake(argument1=40)).outcome == STARTED
    until_inside(agent, 1, 1)
    assert agent.seen(1, slot=20).finished == 0
    agent.unblock(1, slot=20)
    answer = answer_of(wait(agent, 7))
    assert (answer.returned, answer.out_written, answer.answer.argument1) == (STATUS_SUCCESS, 1, 41)


def test_a_user_mode_caller_has_properties_in_flight_too(agent: Agent) -> None:
    # Not inside a callback that blocks: Wine has one thread for the requests of all user-mode callers.
    open_pair(agent)
    agent.done("SHARE", side=USER, slot=2, slot2=2)
    for token in range(4):
        assert start(agent, 2, token, handshake(argument1=10 * token), USER).outcome == STARTED
    for token in range(4):
        answer = answer_of(wait(agent, token, USER))
        assert (answer.returned, answer.answer.argument1) == (STATUS_SUCCESS, 10 * token + 1)
    assert agent.seen(1, slot=20).count == 4


@pytest.mark.parametrize("side", [KERNEL, USER], ids=["kernel", "user"])
def test_properties_and_requests_share_the_tokens(agent: Agent, side: int) -> None:
    open_pair(agent)
    if side == USER:
        agent.done("SHARE", side=USER, slot=2, slot2=2)
    assert start(agent, 2, 3, side=side).outcome == STARTED
    assert start(agent, 2, 3, side=side).detail == STATUS_OBJECT_NAME_COLLISION
    assert start(agent, 2, C["KSHS_MAX_TOKENS"], side=side).detail == STATUS_INVALID_PARAMETER
    assert answer_of(wait(agent, 3, side)).returned == STATUS_SUCCESS
    assert agent.run("WAIT", side=side, token=3).detail == STATUS_NOT_FOUND


def test_a_property_in_flight_can_be_cancelled_and_ends_once(agent: Agent) -> None:
    open_pair(agent)
    agent.behave(1, "BLOCK", slot=20, delay_ms=10000)
    assert start(agent, 2, 0).outcome == STARTED
    until_inside(agent, 1, 1)
    assert agent.run("CANCEL", token=0).flags & C["KSHS_REC_CANCELLED"]
    agent.unblock(1, slot=20)
    record = wait(agent, 0)
    assert record.completions == 1
    assert record.flags & C["KSHS_REC_CANCELLED"]


def test_a_property_in_flight_has_no_more_data_than_its_buffer_on_the_user_side(agent: Agent) -> None:
    agent.open_filter(0, side=USER)
    record = agent.run(
        "PROPERTY",
        struct.pack("<I", 0),
        side=USER,
        slot=0,
        guid=ABI.guids["KSPROPSETID_Kshs"],
        value=C["KSHS_PROP_RESET"],
        value2=2,
        out_length=3,
        flags=ASYNC,
        token=0,
    )
    assert record.outcome == REFUSED, describe(record)


def test_a_change_of_state_takes_as_long_as_it_was_told_to(agent: Agent) -> None:
    agent.open_pin(1, 0)
    connection = bytes.fromhex("20c9581d9baccf11a5d628db04c10000")
    fields = {"slot": 1, "guid": ABI.cs.kshs_guid(connection), "value": 0, "value2": 2, "out_length": 4}

    def change(state: int) -> Record:
        record = agent.done("PROPERTY", struct.pack("<I", state), **fields)
        assert record.status == STATUS_SUCCESS
        return record

    agent.behave(0, "SLOW_STATE", delay_ms=150)
    assert change(1).duration_ns >= 140_000_000
    assert agent.request(1).returned == STATUS_SUCCESS
    agent.behave(0, "DEFAULT")
    assert change(0).duration_ns < 140_000_000


@pytest.mark.parametrize("kind", ["ECHO", "TRANSFORM", "DECLINE", "STATUS"])
def test_answers_that_take_their_time(agent: Agent, kind: str) -> None:
    agent.open_pin(1, 0)
    status = STATUS_INVALID_DEVICE_REQUEST if kind in {"DECLINE", "STATUS"} else STATUS_SUCCESS
    agent.behave(0, kind, status=status, delay_ms=150)
    record = agent.request(1, route=KERNEL_ROUTES["irp"])
    assert (record.status, record.duration_ns >= 140_000_000) == (status, True), describe(record)


# ---- closed handles


@pytest.mark.parametrize("route", sorted(KERNEL_ROUTES))
def test_the_file_object_of_a_closed_handle_is_kept_and_sent_to(agent: Agent, route: str) -> None:
    agent.open_pin(1, 0)
    agent.done("CLOSE", slot=1, flags=KEEP)
    record = agent.request(1, route=KERNEL_ROUTES[route])
    assert (record.outcome, record.returned) == (DONE, STATUS_FILE_CLOSED), describe(record)
    assert agent.try_pin(1, 0).detail == STATUS_OBJECT_NAME_COLLISION
    agent.close(1)
    assert agent.request(1).detail == STATUS_INVALID_HANDLE
    seen = agent.seen(0)
    assert (seen.count, seen.opened, seen.closed) == (0, 1, 1)


def test_nothing_that_takes_a_handle_is_tried_with_a_closed_one(agent: Agent) -> None:
    agent.open_pin(1, 1)
    agent.open_filter(20)
    agent.done("CLOSE", slot=1, flags=KEEP)
    agent.done("CLOSE", slot=20, flags=KEEP)
    for record in (
        agent.try_pin(2, 0, onto=1),
        agent.try_pin(2, 0, filter_slot=20),
        agent.run("CLOSE", slot=1, flags=KEEP),
        agent.run("SHARE", side=USER, slot=5, slot2=1),
    ):
        assert (record.outcome, record.detail) == (REFUSED, STATUS_INVALID_HANDLE), describe(record)
    assert agent.request(1).returned == STATUS_FILE_CLOSED


def test_what_was_kept_is_let_go_with_everything_else(agent: Agent) -> None:
    for slot in range(1, 9):
        agent.open_pin(slot, 0)
        agent.done("CLOSE", slot=slot, flags=KEEP)
    agent.done("RELEASE_ALL")
    agent.open_filter()
    assert (agent.seen(0).opened, agent.seen(0).closed) == (8, 8)
    agent.open_pin(1, 0)
    assert agent.request(1).returned == STATUS_SUCCESS


@pytest.mark.parametrize("route", sorted(USER_ROUTES))
def test_the_number_of_a_closed_handle_is_nobodys(agent: Agent, route: str) -> None:
    number = USER_ROUTES[route]
    agent.open_filter(0, side=USER, route=number)
    agent.open_pin(1, 0, side=USER, route=number)
    agent.done("CLOSE", side=USER, slot=1, flags=KEEP)
    assert (agent.seen(0).opened, agent.seen(0).closed) == (1, 1)
    for slot in range(2, 8):
        agent.open_pin(slot, 0, side=USER, route=number)
    record = agent.request(1, side=USER, route=number)
    assert (record.outcome, record.returned) == (DONE, STATUS_INVALID_HANDLE), describe(record)
    record = agent.try_property(
        "PIN_HANDSHAKE", slot=1, side=USER, after=handshake(), get=PIN_HANDSHAKE_BYTES
    )
    assert record.returned == STATUS_INVALID_HANDLE, describe(record)
    for refused in (
        agent.run("CLOSE", side=USER, slot=1, flags=KEEP),
        agent.run("OPEN_PIN", connect(0), side=USER, slot=9, slot2=1),
    ):
        assert refused.outcome == REFUSED, describe(refused)
    agent.close(1, side=USER)
    assert agent.request(1, side=USER, route=number).outcome == REFUSED
    assert agent.request(7, side=USER, route=number).returned == STATUS_INVALID_DEVICE_REQUEST
    assert agent.seen(0).closed == 1


# ---- shared handles


def test_a_shared_handle_leads_to_the_same_pin_and_keeps_it_open(agent: Agent) -> None:
    agent.open_filter(20)
    agent.open_pin(1, 0)
    agent.done("SHARE", side=USER, slot=3, slot2=1)
    record = agent.request(3, side=USER, route=USER_ROUTES["sync"])
    assert record.returned == STATUS_INVALID_DEVICE_REQUEST, describe(record)
    agent.close(1)
    assert (agent.seen(0, slot=20).opened, agent.seen(0, slot=20).closed) == (1, 0)
    assert agent.request(3, side=USER, route=USER_ROUTES["event"]).outcome == REFUSED
    agent.close(3, side=USER)
    assert (agent.seen(0, slot=20).opened, agent.seen(0, slot=20).closed) == (1, 1)


def test_only_what_is_open_is_shared_and_with_the_user_side_alone(agent: Agent) -> None:
    agent.open_pin(1, 0)
    assert agent.run("SHARE", side=USER, slot=3, slot2=9).detail == STATUS_INVALID_HANDLE
    assert agent.run("SHARE", side=KERNEL, slot=3, slot2=1).outcome == REFUSED
    assert agent.run("SHARE", side=USER, slot=3, slot2=C["KSHS_MAX_SLOTS"]).outcome == REFUSED
    agent.done("SHARE", side=USER, slot=3, slot2=1)
    assert agent.run("SHARE", side=USER, slot=3, slot2=1).detail == STATUS_OBJECT_NAME_COLLISION
    assert agent.request(1).returned == STATUS_SUCCESS


def test_pins_of_a_user_mode_caller_cannot_be_connected_on_wine(agent: Agent) -> None:
    """What the capability user-connected-pins says of Wine; a client's pins in the same guest can.

    The handle is looked up in the drivers' process, and the error is that of whatever has its number there.
    """
    agent.open_filter(0, side=USER)
    agent.open_pin(1, 1, side=USER)
    record = agent.try_pin(2, 0, side=USER, onto=1)
    assert record.outcome == DONE, describe(record)
    assert record.returned & 0x80000000, describe(record)
    assert agent.seen(0).opened == 0
    open_pair(agent)
    assert agent.pin_handshake(2).returned == STATUS_SUCCESS
