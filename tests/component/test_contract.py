# SPDX-License-Identifier: Apache-2.0
"""The rules that the whole project stands on, through the real agent, client, class driver and target."""

from __future__ import annotations

import struct

import pytest

from tests.component.agent import (
    HANDSHAKE_BYTES,
    KERNEL,
    KERNEL_ROUTES,
    PROTOCOL_A,
    PROTOCOL_B,
    PROTOCOL_UNKNOWN,
    STATUS_INVALID_BUFFER_SIZE,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS,
    USER,
    USER_ROUTES,
    Agent,
    C,
    describe,
    handshake,
)

pytestmark = pytest.mark.component

POISON_STATUS = C["KSHS_POISON_STATUS"]
GUARDS = C["KSHS_REC_GUARD_LOW"] | C["KSHS_REC_GUARD_HIGH"]
WRONG_LENGTHS = [0, 1, 24, 31, 33, 64, 65536]

kernel_route = pytest.mark.parametrize("route", KERNEL_ROUTES.values(), ids=KERNEL_ROUTES)
user_route = pytest.mark.parametrize("route", USER_ROUTES.values(), ids=USER_ROUTES)


def transformed(argument1: int = 0x1000, argument2: int = 0x2000) -> tuple[int, int]:
    return (
        (argument1 + C["KSHS_DEFAULT_VALUE"]) % 2**64,
        argument2 ^ C["KSHS_DEFAULT_VALUE2"],
    )


@kernel_route
@pytest.mark.parametrize("pin_id", range(C["KSHS_AVSHS_PINS"]))
def test_success_is_32_bytes_from_the_callback(agent: Agent, route: int, pin_id: int) -> None:
    agent.open_pin(1, pin_id)
    record = agent.request(
        1, handshake(argument1=0xFFFFFFFFFFFFFFFF, argument2=0x123456789ABCDEF0), route=route
    )
    assert (record.outcome, record.returned) == (C["KSHS_OUTCOME_DONE"], STATUS_SUCCESS), describe(record)
    assert record.information == HANDSHAKE_BYTES, describe(record)
    assert record.flags & GUARDS == GUARDS, describe(record)
    assert record.flags & C["KSHS_REC_IN_INTACT"], describe(record)
    assert record.irql_after == 0
    assert record.data[:16] == PROTOCOL_A.bytes_le
    assert struct.unpack("<QQ", record.data[16:32]) == transformed(0xFFFFFFFFFFFFFFFF, 0x123456789ABCDEF0)
    seen = agent.seen(pin_id)
    assert (seen.count, seen.finished, seen.overlapped, seen.after_close) == (1, 1, 0, 0)
    assert (seen.request.argument1, seen.request.argument2) == (0xFFFFFFFFFFFFFFFF, 0x123456789ABCDEF0)
    assert seen.irql == 0


@kernel_route
def test_an_irp_is_completed_once_and_shows_its_status_block(agent: Agent, route: int) -> None:
    agent.open_pin(1, 0)
    record = agent.request(1, route=route)
    visible = bool(record.flags & C["KSHS_REC_IOSB_VISIBLE"])
    assert visible == (route == KERNEL_ROUTES["irp"]), describe(record)
    if visible:
        assert (record.status, record.completions) == (STATUS_SUCCESS, 1), describe(record)


@kernel_route
@pytest.mark.parametrize("length", WRONG_LENGTHS)
@pytest.mark.parametrize("which", ["in_length", "out_length"])
def test_any_other_length_is_an_invalid_buffer_size(
    agent: Agent, route: int, which: str, length: int
) -> None:
    agent.open_pin(1, 0)
    lengths = {"in_length": HANDSHAKE_BYTES, "out_length": HANDSHAKE_BYTES} | {which: length}
    record = agent.request(1, None, route=route, **lengths)
    assert record.outcome == C["KSHS_OUTCOME_DONE"], describe(record)
    assert record.returned == STATUS_INVALID_BUFFER_SIZE, describe(record)
    assert agent.seen(0).count == 0


@kernel_route
def test_requestor_mode_user_is_refused(agent: Agent, route: int) -> None:
    agent.open_pin(1, 0)
    record = agent.request(1, route=route, mode="USER")
    assert (record.outcome, record.returned) == (C["KSHS_OUTCOME_DONE"], STATUS_INVALID_DEVICE_REQUEST), (
        describe(record)
    )
    assert agent.seen(0).count == 0


@user_route
def test_a_user_mode_caller_is_refused(agent: Agent, route: int) -> None:
    agent.open_filter(0, side=USER)
    agent.open_pin(1, 0, side=USER, route=route)
    record = agent.request(1, side=USER, route=route, mode="USER")
    assert record.outcome == C["KSHS_OUTCOME_DONE"], describe(record)
    final = record.returned
    if record.flags & C["KSHS_REC_PENDING"]:
        final = record.status
        assert record.completions == 1, describe(record)
    assert final == STATUS_INVALID_DEVICE_REQUEST, describe(record)
    assert record.status in (POISON_STATUS, STATUS_INVALID_DEVICE_REQUEST), describe(record)
    assert agent.seen(0).count == 0


@kernel_route
@pytest.mark.parametrize(
    ("pin_id", "protocol", "status"),
    [
        (0, PROTOCOL_UNKNOWN, STATUS_INVALID_DEVICE_REQUEST),
        (0, PROTOCOL_B, STATUS_INVALID_DEVICE_REQUEST),
        (2, PROTOCOL_B, STATUS_SUCCESS),
        (2, PROTOCOL_UNKNOWN, STATUS_INVALID_DEVICE_REQUEST),
    ],
)
def test_a_callback_accepts_its_protocols_only(
    agent: Agent, route: int, pin_id: int, protocol: object, status: int
) -> None:
    agent.open_pin(1, pin_id)
    record = agent.request(1, handshake(protocol), route=route)  # type: ignore[arg-type]
    assert (record.outcome, record.returned) == (C["KSHS_OUTCOME_DONE"], status), describe(record)
    assert agent.seen(pin_id).returned == status


@kernel_route
def test_input_and_output_may_be_one_buffer(agent: Agent, route: int) -> None:
    agent.open_pin(1, 0)
    record = agent.request(1, route=route, out_kind=C["KSHS_BUFFER_ALIAS"])
    assert (record.outcome, record.returned) == (C["KSHS_OUTCOME_DONE"], STATUS_SUCCESS), describe(record)
    assert struct.unpack("<QQ", record.data[16:32]) == transformed()


@kernel_route
def test_many_handshakes_are_all_seen(agent: Agent, route: int) -> None:
    agent.open_pin(1, 0)
    record = agent.request(1, route=route, repeat=2000)
    assert (record.returned, record.repeats) == (STATUS_SUCCESS, 2000), describe(record)
    seen = agent.seen(0)
    assert (seen.count, seen.finished) == (2000, 2000)


def test_user_and_kernel_slots_are_apart(agent: Agent) -> None:
    agent.open_pin(5, 0, side=KERNEL)
    record = agent.request(5, side=USER, route=USER_ROUTES["sync"], mode="USER")
    assert record.outcome == C["KSHS_OUTCOME_REFUSED"], describe(record)
