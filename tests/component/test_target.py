# SPDX-License-Identifier: Apache-2.0
"""The sample target's property set and every behaviour that leaves the guest alive."""

from __future__ import annotations

import struct
import time
import uuid

import pytest

from tests.component.agent import (
    ABI,
    KERNEL,
    KERNEL_ROUTES,
    PROTOCOL_UNKNOWN,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_NO_MATCH,
    STATUS_SUCCESS,
    USER,
    Agent,
    C,
    connect,
    describe,
    handshake,
)

pytestmark = pytest.mark.component

PINS = C["KSHS_AVSHS_PINS"]
BEHAVIOUR_BYTES = len(ABI.cs.kshs_behaviour)
SEEN_BYTES = len(ABI.cs.kshs_seen)

both_sides = pytest.mark.parametrize("side", [KERNEL, USER], ids=["kernel", "user"])


# ---- the property set -------------------------------------------------------


@both_sides
def test_seen_of_a_fresh_pin_is_all_zero(agent: Agent, side: int) -> None:
    if side == USER:
        agent.open_filter(0, side=USER)
    for pin_id in range(PINS):
        seen = agent.seen(pin_id, side=side)
        assert bytes(seen.dumps()) == struct.pack("<I", pin_id) + bytes(SEEN_BYTES - 4)


@both_sides
@pytest.mark.parametrize(
    ("name", "after", "data", "get", "number"),
    [
        pytest.param("BEHAVIOUR", b"", bytes(BEHAVIOUR_BYTES - 1), 0, None, id="behaviour too short"),
        pytest.param("BEHAVIOUR", b"", bytes(BEHAVIOUR_BYTES + 1), 0, None, id="behaviour too long"),
        pytest.param("BEHAVIOUR", b"1234", bytes(BEHAVIOUR_BYTES), 0, None, id="behaviour with input"),
        pytest.param("BEHAVIOUR", b"", b"", BEHAVIOUR_BYTES, None, id="behaviour cannot be read"),
        pytest.param(
            "BEHAVIOUR",
            b"",
            struct.pack("<II", PINS, 0) + bytes(BEHAVIOUR_BYTES - 8),
            0,
            None,
            id="no such pin",
        ),
        pytest.param(
            "BEHAVIOUR",
            b"",
            struct.pack("<II", 0, C["KSHS_BEHAVE_LAST"] + 1) + bytes(BEHAVIOUR_BYTES - 8),
            0,
            None,
            id="no such behaviour",
        ),
        pytest.param("SEEN", b"", b"", SEEN_BYTES, None, id="seen without a pin"),
        pytest.param("SEEN", b"123", b"", SEEN_BYTES, None, id="seen with a cut pin"),
        pytest.param("SEEN", bytes(5), b"", SEEN_BYTES, None, id="seen with too much"),
        pytest.param("SEEN", bytes(4), b"", SEEN_BYTES - 1, None, id="seen into too little"),
        pytest.param("SEEN", bytes(4), b"", SEEN_BYTES + 1, None, id="seen into too much"),
        pytest.param("SEEN", struct.pack("<I", PINS), b"", SEEN_BYTES, None, id="seen of no such pin"),
        pytest.param("SEEN", bytes(4), bytes(SEEN_BYTES), 0, None, id="seen cannot be set"),
        pytest.param("RESET", b"", struct.pack("<I", PINS), 0, None, id="reset of no such pin"),
        pytest.param("RESET", b"", bytes(3), 0, None, id="reset too short"),
        pytest.param("UNBLOCK", b"", struct.pack("<I", 0xFFFFFFFF), 0, None, id="unblock of no such pin"),
        pytest.param("UNBLOCK", b"", b"", 0, None, id="unblock of nothing"),
        pytest.param(
            "PIN_HANDSHAKE", bytes(32), b"", len(ABI.cs.kshs_pin_handshake), None, id="pin's own on a filter"
        ),
        pytest.param("SEEN", bytes(4), b"", SEEN_BYTES, 99, id="no such property"),
    ],
)
def test_a_wrong_property_request_is_refused_and_changes_nothing(
    agent: Agent, side: int, name: str, after: bytes, data: bytes, get: int, number: int | None
) -> None:
    if side == USER:
        agent.open_filter(0, side=USER)
    record = agent.try_property(name, side=side, after=after, data=data, get=get, number=number)
    assert record.outcome == C["KSHS_OUTCOME_DONE"], describe(record)
    assert record.returned & 0x80000000, describe(record)
    agent.open_pin(1, 0)
    assert agent.request(1).returned == STATUS_SUCCESS
    assert agent.seen(0).count == 1


@both_sides
def test_pin_ids_and_behaviours_that_do_not_exist_are_named(agent: Agent, side: int) -> None:
    if side == USER:
        agent.open_filter(0, side=USER)
    for name, after, data, get in (
        ("BEHAVIOUR", b"", struct.pack("<II", PINS, 0) + bytes(BEHAVIOUR_BYTES - 8), 0),
        ("SEEN", struct.pack("<I", PINS), b"", SEEN_BYTES),
        ("RESET", b"", struct.pack("<I", PINS), 0),
        ("UNBLOCK", b"", struct.pack("<I", PINS), 0),
    ):
        record = agent.try_property(name, side=side, after=after, data=data, get=get)
        assert record.returned == STATUS_INVALID_PARAMETER, f"{name}: {describe(record)}"


# ---- pins -------------------------------------------------------------------


def test_a_format_that_does_not_match_is_refused(agent: Agent) -> None:
    record = agent.try_pin(1, 0, data=connect(0, subtype=uuid.uuid4()))
    assert record.returned == STATUS_NO_MATCH, describe(record)
    record = agent.try_pin(1, PINS)
    assert record.returned == STATUS_INVALID_PARAMETER, describe(record)
    assert all(agent.seen(pin_id).opened == 0 for pin_id in range(PINS))


def test_opened_and_closed_are_counted_by_pin_id(agent: Agent) -> None:
    for slot, pin_id in enumerate((0, 0, 3, 2), start=1):
        agent.open_pin(slot, pin_id)
    agent.close(2)
    assert [(agent.seen(pin).opened, agent.seen(pin).closed) for pin in range(PINS)] == [
        (2, 1),
        (0, 0),
        (1, 0),
        (1, 0),
    ]


# ---- behaviours --------------------------------------------------------------


def test_echo_accepts_any_protocol_unchanged(agent: Agent) -> None:
    agent.behave(0, "ECHO")
    agent.open_pin(1, 0)
    sent = handshake(PROTOCOL_UNKNOWN, 0x1122334455667788, 0x99AABBCCDDEEFF00)
    record = agent.request(1, sent)
    assert (record.returned, record.information, record.data[:32]) == (STATUS_SUCCESS, 32, sent), describe(
        record
    )


def test_transform_is_what_was_asked_for(agent: Agent) -> None:
    agent.behave(2, "TRANSFORM", value=0x10, value2=0xFF00)
    agent.open_pin(1, 2)
    record = agent.request(1, handshake(PROTOCOL_UNKNOWN, 5, 0x0FF0))
    assert record.data[:32] == handshake(PROTOCOL_UNKNOWN, 0x15, 0xF0F0), describe(record)


@pytest.mark.parametrize("status", [STATUS_INVALID_DEVICE_REQUEST, 0xC00000BB, 0xC0000001, 0xE0001234])
def test_decline_returns_the_status_that_was_asked_for(agent: Agent, status: int) -> None:
    agent.behave(0, "DECLINE", status=status)
    agent.open_pin(1, 0)
    record = agent.request(1)
    assert record.returned == status, describe(record)
    assert agent.seen(0).returned == status


def test_behaviours_are_by_pin_id_and_change_at_run_time(agent: Agent) -> None:
    agent.open_pin(1, 0)
    agent.open_pin(2, 1)
    agent.behave(0, "DECLINE", status=0xC0000001)
    assert [agent.request(slot).returned for slot in (1, 2)] == [0xC0000001, STATUS_SUCCESS]
    agent.behave(1, "DECLINE", status=0xC0000002)
    agent.behave(0, "DEFAULT")
    assert [agent.request(slot).returned for slot in (1, 2)] == [STATUS_SUCCESS, 0xC0000002]


def test_behaviours_hold_for_all_filters(agent: Agent) -> None:
    agent.open_filter(10)
    agent.open_pin(11, 0, filter_slot=10)
    agent.behave(0, "DECLINE", slot=0, status=0xC0000001)
    assert agent.request(11).returned == 0xC0000001
    assert agent.seen(0, slot=10).count == 1


def test_status_is_returned_with_the_output_written(agent: Agent) -> None:
    agent.behave(0, "STATUS", status=0x40000000)  # STATUS_OBJECT_NAME_EXISTS, a success
    agent.open_pin(1, 0)
    record = agent.request(1, route=KERNEL_ROUTES["irp"])
    assert record.returned == 0x40000000, describe(record)
    assert agent.seen(0).returned == 0x40000000


def test_a_pin_without_a_callback_never_sees_a_request(agent: Agent) -> None:
    agent.open_pin(1, 0)
    agent.behave(0, "NO_CALLBACK")
    agent.open_pin(2, 0)
    assert agent.request(1).returned == STATUS_SUCCESS  # it had registered before
    assert agent.request(2).returned & 0x80000000
    assert agent.seen(0).count == 1


def test_slow_takes_its_time(agent: Agent) -> None:
    agent.behave(0, "SLOW", delay_ms=300)
    agent.open_pin(1, 0)
    record = agent.request(1)
    assert record.returned == STATUS_SUCCESS, describe(record)
    assert 290_000_000 <= record.duration_ns < 5_000_000_000


def test_a_callback_may_return_pending(agent: Agent) -> None:
    agent.behave(0, "PENDING")
    agent.open_pin(1, 0)
    agent.request(1, timeout_ms=1000)
    seen = agent.seen(0)
    assert (seen.count, seen.finished, seen.returned) == (1, 1, 0x103)


# ---- BLOCK, and counting under many threads ------------------------------------


def start_async(agent: Agent, slot: int, token: int) -> None:
    record = agent.request(slot, route=KERNEL_ROUTES["irp"], token=token, flags=C["KSHS_STEP_ASYNC"])
    assert record.outcome == C["KSHS_OUTCOME_STARTED"], describe(record)


def wait_for(agent: Agent, token: int) -> int:
    record = agent.run("WAIT", side=KERNEL, token=token, timeout_ms=10000)
    assert record.outcome == C["KSHS_OUTCOME_DONE"], describe(record)
    return record.returned if record.returned != 0x103 else record.status


def until_inside(agent: Agent, pin_id: int, count: int) -> None:
    deadline = time.monotonic() + 10
    while agent.seen(pin_id, slot=20).count < count:
        assert time.monotonic() < deadline, f"{count} callbacks never came inside"
        time.sleep(0.01)


def test_block_waits_for_unblock(agent: Agent) -> None:
    agent.open_filter(20)
    agent.behave(0, "BLOCK", delay_ms=10000)
    agent.open_pin(1, 0)
    start_async(agent, 1, token=0)
    until_inside(agent, 0, 1)
    assert agent.seen(0, slot=20).finished == 0
    agent.unblock(0, slot=20)
    assert wait_for(agent, 0) == STATUS_SUCCESS
    assert agent.seen(0, slot=20).finished == 1


def test_an_unblock_that_comes_first_is_kept_and_reset_forgets_it(agent: Agent) -> None:
    agent.behave(0, "BLOCK", delay_ms=400)
    agent.open_pin(1, 0)
    agent.unblock(0)
    assert agent.request(1).duration_ns < 390_000_000
    agent.unblock(0)
    agent.reset()
    agent.behave(0, "BLOCK", delay_ms=400)
    assert agent.request(1).duration_ns >= 390_000_000


def test_reset_lets_all_blocked_callbacks_go_and_counts_them_no_more(agent: Agent) -> None:
    agent.open_filter(20)
    agent.behave(1, "BLOCK", delay_ms=10000)
    for slot in (1, 2, 3):
        agent.open_filter(20 + slot)
        agent.open_pin(slot, 1, filter_slot=20 + slot)
        start_async(agent, slot, token=slot)
    until_inside(agent, 1, 3)
    seen = agent.seen(1, slot=20)
    assert (seen.count, seen.finished, seen.overlapped) == (3, 0, 2)
    agent.reset(slot=20)
    assert [wait_for(agent, token) for token in (1, 2, 3)] == [STATUS_SUCCESS] * 3
    seen = agent.seen(1, slot=20)
    assert (seen.count, seen.finished, seen.overlapped, seen.after_close) == (0, 0, 0, 0)


def test_counts_are_exact_under_many_threads(agent: Agent) -> None:
    threads, each = 8, 250
    for slot in range(1, threads + 1):
        agent.open_filter(20 + slot)
        agent.open_pin(slot, 2, filter_slot=20 + slot)
    for slot in range(1, threads + 1):
        record = agent.request(
            slot, route=KERNEL_ROUTES["irp"], token=slot, flags=C["KSHS_STEP_ASYNC"], repeat=each
        )
        assert record.outcome == C["KSHS_OUTCOME_STARTED"], describe(record)
    assert [wait_for(agent, token) for token in range(1, threads + 1)] == [STATUS_SUCCESS] * threads
    seen = agent.seen(2)
    assert (seen.count, seen.finished, seen.after_close) == (threads * each, threads * each, 0)


# ---- KsPinHandshake ------------------------------------------------------------


def test_a_connected_source_pin_reaches_its_sink(agent: Agent) -> None:
    agent.open_pin(1, 1)
    agent.open_pin(2, 0, onto=1)
    answer = agent.pin_handshake(2, handshake(argument1=7, argument2=0))
    assert (answer.returned, answer.out_written) == (STATUS_SUCCESS, 1)
    assert (answer.answer.argument1, answer.answer.argument2) == (8, C["KSHS_DEFAULT_VALUE2"])
    assert answer.duration_ns > 0
    assert (agent.seen(1).count, agent.seen(0).count) == (1, 0)


def test_what_the_sink_declines_is_an_error_for_the_source(agent: Agent) -> None:
    agent.open_pin(1, 1)
    agent.open_pin(2, 0, onto=1)
    answer = agent.pin_handshake(2, handshake(PROTOCOL_UNKNOWN))
    assert answer.returned & 0x80000000
    assert agent.seen(1).count == 1


def test_a_sink_that_nobody_can_connect_to_is_refused(agent: Agent) -> None:
    agent.open_pin(1, 0)
    record = agent.try_pin(2, 2, onto=1)  # a source onto a source
    assert record.returned & 0x80000000, describe(record)
