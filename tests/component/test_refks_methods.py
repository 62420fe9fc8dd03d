# SPDX-License-Identifier: Apache-2.0
"""Methods of refks, and requests that are answered later."""

from __future__ import annotations

import struct
import uuid
from typing import Any

import pytest

from harness.agent.frames import Record
from tests.component import test_refks_functions
from tests.component.agent import (
    KERNEL_ROUTES,
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_BUFFER_SIZE,
    STATUS_INVALID_PARAMETER,
    STATUS_NOT_SUPPORTED,
    STATUS_SUCCESS,
    Agent,
    C,
    describe,
)
from tests.component.test_refks_functions import (
    BASIC_SUPPORT,
    FAST,
    FILL,
    IOCTL_KS_METHOD,
    METHODS,
    NAME,
    ON_NODE,
    PEND,
    PROPERTIES,
    SEND,
    SET_SUPPORT,
    STATUS_BUFFER_OVERFLOW,
    STATUS_NOT_FOUND,
    STATUS_PROPSET_NOT_FOUND,
    ask,
    get,
    numbers,
    own,
)

pytestmark = pytest.mark.component

#: Fixtures of the tests beside these.
probe = test_refks_functions.probe
probe_guest = test_refks_functions.probe_guest


def method(
    agent: Agent,
    number: int,
    room: int = 4,
    *,
    guid: uuid.UUID = METHODS,
    flags: int = SEND,
    after: bytes = b"",
    slot: int = 0,
) -> Record:
    """IOCTL_KS_METHOD with an output buffer that is full of KSHS_OUT_FILL."""
    data = guid.bytes_le + struct.pack("<II", number, flags) + after
    return agent.request(slot, data, control=IOCTL_KS_METHOD, in_length=len(data), out_length=room)


def value(record: Record) -> int:
    """The ULONG that a method gave out."""
    assert (record.returned, record.information) == (STATUS_SUCCESS, 4), describe(record)
    (found,) = struct.unpack("<I", record.data[:4])
    assert isinstance(found, int)
    return found


def test_a_method_gets_and_gives_the_data_that_its_item_says(probe: Agent) -> None:
    rest = bytes(8)  # WRITE wants more than a KSMETHOD
    assert method(probe, 1).returned == STATUS_SUCCESS
    assert value(method(probe, 3, after=rest)) == 0x100, "NONE ran, and WRITE saw nothing of the sender's"
    record = method(probe, 2)
    assert (record.returned, record.changed_bytes) == (STATUS_SUCCESS, 0), describe(record)
    assert value(method(probe, 3, after=rest)) == FILL, "what READ found"
    assert value(method(probe, 4)) == FILL ^ 0xFF
    assert value(method(probe, 4, room=8)) == FILL ^ 0xFF


@pytest.mark.parametrize(
    ("number", "fields", "status", "information"),
    [
        pytest.param(99, {}, STATUS_NOT_FOUND, 0, id="no such method"),
        pytest.param(8, {}, STATUS_NOT_FOUND, 0, id="without a handler"),
        pytest.param(1, {"guid": NAME}, STATUS_PROPSET_NOT_FOUND, 0, id="no such set"),
        pytest.param(1, {"flags": 0}, STATUS_INVALID_PARAMETER, 0, id="no verb"),
        pytest.param(1, {"flags": SEND | BASIC_SUPPORT}, STATUS_INVALID_PARAMETER, 0, id="two verbs"),
        pytest.param(5, {}, STATUS_NOT_SUPPORTED, 0, id="in place"),
        pytest.param(3, {}, STATUS_INVALID_BUFFER_SIZE, 0, id="short method"),
        pytest.param(4, {"room": 3}, STATUS_BUFFER_TOO_SMALL, 0, id="short data"),
        pytest.param(4, {"room": 0}, STATUS_BUFFER_OVERFLOW, 4, id="how much data"),
        pytest.param(2, {"room": 0}, STATUS_BUFFER_TOO_SMALL, 0, id="no data to read"),
        pytest.param(1, {"flags": SEND | ON_NODE}, STATUS_INVALID_BUFFER_SIZE, 0, id="of no node"),
    ],
)
def test_a_method_that_cannot_be_is_refused(
    probe: Agent, number: int, fields: dict[str, Any], status: int, information: int
) -> None:
    record = method(probe, number, **fields)
    assert (record.returned, record.information) == (status, information), describe(record)
    assert record.changed_bytes == 0, describe(record)


def test_what_is_asked_about_methods(probe: Agent) -> None:
    assert method(probe, 0, flags=SET_SUPPORT).returned == STATUS_SUCCESS
    listed = method(probe, 0, room=16, guid=uuid.UUID(int=0), flags=SET_SUPPORT)
    assert (listed.returned, listed.data[:16]) == (STATUS_SUCCESS, METHODS.bytes_le), describe(listed)
    assert value(method(probe, 4, flags=BASIC_SUPPORT)) == 3, "MODIFY"
    assert value(method(probe, 3, flags=BASIC_SUPPORT)) == 0x50, "by the item's own handler"


def test_a_node_has_methods_of_its_own(probe: Agent) -> None:
    def of_node(number: int, node: int) -> int:
        after = struct.pack("<II", node, 0)
        return int(method(probe, number, flags=SEND | ON_NODE, after=after).returned)

    assert of_node(9, 0) == STATUS_SUCCESS
    assert of_node(1, 0) == STATUS_NOT_FOUND  # the filter's
    assert of_node(9, 1) == STATUS_INVALID_PARAMETER
    assert method(probe, 9).returned == STATUS_NOT_FOUND


@pytest.mark.parametrize("route", ["call", "irp"])
def test_a_method_may_be_answered_later(probe: Agent, route: str) -> None:
    data = METHODS.bytes_le + struct.pack("<II", 6, SEND)
    for _ in range(3):
        record = probe.request(
            0, data, control=IOCTL_KS_METHOD, in_length=len(data), out_length=4, route=KERNEL_ROUTES[route]
        )
        assert record.status in (STATUS_SUCCESS, C["KSHS_POISON_STATUS"]), describe(record)
        assert struct.unpack("<I", record.data[:4]) == (0x1A7E6,), describe(record)
        assert record.information == 4, describe(record)


def test_a_property_may_be_answered_later(probe: Agent) -> None:
    for _ in range(3):
        record = ask(probe, PROPERTIES, PEND, 4)
        assert (record.status, record.information, record.completions) == (STATUS_SUCCESS, 4, 1), describe(
            record
        )
        assert record.data == struct.pack("<I", 0x1A7E0 + PEND), describe(record)


def test_fast_handlers_run_for_what_they_are_there_for(probe: Agent) -> None:
    seen = numbers(probe, FAST)
    assert seen[:3] == [1, 0x1000 + 1 + 24 + 4, 4], "a get: what its handler gave out"
    assert seen[3:6] == [1, STATUS_SUCCESS, 0], "a set"
    assert seen[6:10] == [0, 0, 0, 0], "no item, another verb, short property, short data: the long way"
    assert seen[10:13] == [1, 0x1000 + 3 + 24 + 4, 0], "a method; a question about methods"


def test_a_handler_may_ask_another_table(probe: Agent) -> None:
    assert value(method(probe, 7)) == FILL ^ 0xFF, "KsMethodHandler, once"
    assert get(probe, own(14), 1, 4) == struct.pack("<I", 0x1001)


# ---- queues of IRPs --------------------------------------------------------------------
