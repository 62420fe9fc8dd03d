# SPDX-License-Identifier: Apache-2.0
"""Requests whose repeats say another length or hold another bit each time, by the real client and agent."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from drivers.abi import load as load_abi
from tests.component.agent import (
    HANDSHAKE_BYTES,
    KERNEL,
    KERNEL_ROUTES,
    PROTOCOL_A,
    STATUS_INVALID_BUFFER_SIZE,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS,
    USER,
    USER_ROUTES,
    Agent,
    describe,
)

pytestmark = pytest.mark.component

C = load_abi().constants
DONE, REFUSED = C["KSHS_OUTCOME_DONE"], C["KSHS_OUTCOME_REFUSED"]
FLIP, ERRORS_ALIKE, ASYNC = C["KSHS_STEP_FLIP"], C["KSHS_STEP_ERRORS_ALIKE"], C["KSHS_STEP_ASYNC"]
GUARDS = C["KSHS_REC_GUARD_LOW"] | C["KSHS_REC_GUARD_HIGH"] | C["KSHS_REC_IN_INTACT"]
IOCTL_KS_PROPERTY = 0x002F0003
STATUS_PROPSET_NOT_FOUND = 0xC0000230

kernel_route = pytest.mark.parametrize("route", KERNEL_ROUTES.values(), ids=KERNEL_ROUTES)
user_route = pytest.mark.parametrize("route", USER_ROUTES.values(), ids=USER_ROUTES)

#: Lengths from 0, the right one among them.
FROM_ZERO: list[dict[str, Any]] = [
    {"in_length": 0, "value": 1},
    {"out_length": 0, "value2": 1},
    {"in_length": 0, "value": 1, "out_length": 0, "value2": 1},
]


@kernel_route
@pytest.mark.parametrize("lengths", FROM_ZERO, ids=["input", "output", "both"])
def test_the_right_length_is_the_first_that_differs(
    agent: Agent, route: int, lengths: dict[str, Any]
) -> None:
    agent.open_pin(1, 0)
    record = agent.request(1, route=route, repeat=200, **lengths)
    assert (record.outcome, record.repeats) == (DONE, HANDSHAKE_BYTES + 1), describe(record)
    assert record.returned == STATUS_SUCCESS
    assert (record.information, len(record.data)) == (HANDSHAKE_BYTES, HANDSHAKE_BYTES)
    assert record.flags & GUARDS == GUARDS


@kernel_route
@pytest.mark.parametrize("lengths", FROM_ZERO, ids=["input", "output", "both"])
def test_every_longer_one_is_refused_alike(agent: Agent, route: int, lengths: dict[str, Any]) -> None:
    agent.open_pin(1, 0)
    longer: dict[str, Any] = {
        name: HANDSHAKE_BYTES + 1 if value == 0 else value for name, value in lengths.items()
    }
    record = agent.request(1, route=route, repeat=4064, **longer)
    assert (record.outcome, record.repeats) == (DONE, 4064), describe(record)
    assert record.returned == STATUS_INVALID_BUFFER_SIZE
    assert len(record.data) == (256 if "out_length" in lengths else HANDSHAKE_BYTES)
    assert record.flags & GUARDS == GUARDS


@kernel_route
def test_each_repeat_has_one_other_bit(agent: Agent, route: int) -> None:
    agent.open_pin(1, 0)
    record = agent.request(1, route=route, repeat=128, flags=FLIP)
    assert (record.repeats, record.returned) == (128, STATUS_INVALID_DEVICE_REQUEST), describe(record)
    seen = agent.seen(0)
    last = bytearray(PROTOCOL_A.bytes_le)
    last[15] ^= 0x80
    assert (seen.count, uuid.UUID(bytes_le=bytes(seen.request.protocol))) == (
        128,
        uuid.UUID(bytes_le=bytes(last)),
    )
    # The pin that supports a protocol one bit away accepts the first, and no other.
    agent.open_pin(2, 2)
    record = agent.request(2, route=route, repeat=128, flags=FLIP)
    assert (record.repeats, record.returned) == (2, STATUS_INVALID_DEVICE_REQUEST), describe(record)
    record = agent.request(2, route=route, repeat=127, flags=FLIP, value=1)
    assert (record.repeats, record.returned) == (127, STATUS_INVALID_DEVICE_REQUEST), describe(record)


@user_route
@pytest.mark.parametrize("lengths", FROM_ZERO, ids=["input", "output", "both"])
def test_a_caller_says_every_length(agent: Agent, route: int, lengths: dict[str, Any]) -> None:
    agent.open_filter(20, side=USER, route=route)
    agent.open_pin(1, 0, side=USER, filter_slot=20, route=route)
    record = agent.request(1, side=USER, route=route, repeat=100, **lengths)
    assert (record.outcome, record.repeats) == (DONE, 100), describe(record)
    assert record.returned == STATUS_INVALID_DEVICE_REQUEST
    assert record.flags & GUARDS == GUARDS
    assert len(record.data) == (99 if "out_length" in lengths else HANDSHAKE_BYTES)


@user_route
def test_a_caller_sends_every_bit(agent: Agent, route: int) -> None:
    agent.open_filter(20, side=USER, route=route)
    agent.open_pin(1, 0, side=USER, filter_slot=20, route=route)
    record = agent.request(1, side=USER, route=route, repeat=128, flags=FLIP)
    assert (record.repeats, record.returned) == (128, STATUS_INVALID_DEVICE_REQUEST), describe(record)
    assert record.flags & C["KSHS_REC_IN_INTACT"]


@pytest.mark.parametrize(
    ("side", "route"),
    [(KERNEL, KERNEL_ROUTES["call"]), (KERNEL, KERNEL_ROUTES["irp"]), (USER, USER_ROUTES["sync"])],
)
def test_errors_are_alike_where_that_is_said(agent: Agent, side: int, route: int) -> None:
    """A property request is too short up to 23 bytes, and of an unknown set from 24 on."""
    slot = 0
    if side == USER:
        slot = 20
        agent.open_filter(slot, side=USER, route=route)
    asked: dict[str, Any] = {
        "side": side,
        "route": route,
        "control": IOCTL_KS_PROPERTY,
        "in_length": 20,
        "value": 1,
        "out_length": 0,
        "repeat": 8,
    }
    told_apart = agent.request(slot, **asked)
    assert (told_apart.repeats, told_apart.returned) == (5, STATUS_PROPSET_NOT_FOUND), describe(told_apart)
    alike = agent.request(slot, **asked, flags=ERRORS_ALIKE)
    assert (alike.repeats, alike.returned) == (8, STATUS_PROPSET_NOT_FOUND), describe(alike)


@pytest.mark.parametrize("side", [KERNEL, USER], ids=["kernel", "user"])
@pytest.mark.parametrize(
    "fields",
    [
        {"value": 1, "flags": ASYNC, "token": 0},
        {"value": 1, "in_kind": C["KSHS_BUFFER_PAGE_END"]},
        {"value2": 1, "out_kind": C["KSHS_BUFFER_ALIAS"]},
        {"value": 0xFFFFFFFF, "repeat": 0xFFFFFFFF},
        {"value2": 1, "out_length": 65536},
        {"flags": FLIP, "repeat": 257},
        {"flags": FLIP, "value": 0xFFFFFFFF},
        {"flags": FLIP, "value2": 1},
        {"value": 1, "control": 0x2F001C},
    ],
)
def test_what_does_not_fit_is_refused(agent: Agent, side: int, fields: dict[str, Any]) -> None:
    route = KERNEL_ROUTES["irp"] if side == KERNEL else USER_ROUTES["sync"]
    slot = 0
    if side == USER:
        slot = 20
        agent.open_filter(slot, side=USER, route=route)
    record = agent.request(slot, side=side, route=route, **{"repeat": 2, **fields})
    assert record.outcome == REFUSED, describe(record)
    assert agent.request(slot, side=side, route=route).outcome == DONE


def test_a_property_in_flight_is_no_row_of_requests(agent: Agent) -> None:
    """Its id and flags are where a request has its strides."""
    agent.open_filter(20, side=USER, route=USER_ROUTES["event"])
    record = agent.run(
        "PROPERTY",
        bytes(4),
        side=USER,
        slot=20,
        token=3,
        flags=ASYNC,
        guid=load_abi().guids["KSPROPSETID_Kshs"],
        value=C["KSHS_PROP_SEEN"],
        value2=1,
        in_length=4,
        out_length=len(load_abi().cs.kshs_seen),
    )
    assert record.outcome == C["KSHS_OUTCOME_STARTED"], describe(record)
    waited = agent.run("WAIT", side=USER, token=3, timeout_ms=5000)
    assert (waited.outcome, waited.returned, waited.repeats) == (DONE, STATUS_SUCCESS, 1), describe(waited)
