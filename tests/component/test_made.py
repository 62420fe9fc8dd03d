# SPDX-License-Identifier: Apache-2.0
"""Blocks and interfaces of the client (docs/client.md), against the sample target, which follows none."""

from __future__ import annotations

from typing import Any

import pytest

from harness.agent.encode import Encoder
from harness.agent.frames import Record
from tests.component.agent import ABI, KERNEL, STATUS_SUCCESS, USER, Agent, C, describe, handshake

pytestmark = pytest.mark.component

ENCODER = Encoder(ABI)
BLOCK, INTERFACE = C["KSHS_MADE_BLOCK"], C["KSHS_MADE_INTERFACE"]
TAKEN = C["KSHS_MADE_TAKEN_INTERFACE"]
ARGUMENTS, TAKE = C["KSHS_STEP_ARGUMENTS"], C["KSHS_STEP_TAKE"]
NONE = C["KSHS_NO_SLOT"]
PAGE_END = C["KSHS_BUFFER_PAGE_END"]

STATUS_INVALID_PARAMETER = 0xC000000D
STATUS_OBJECT_NAME_COLLISION = 0xC0000035
STATUS_INVALID_ADDRESS = 0xC0000141
STATUS_INVALID_BUFFER_SIZE = 0xC0000206
STATUS_NOT_FOUND = 0xC0000225


@pytest.fixture
def pin(agent: Agent) -> Agent:
    """With the source pin in kernel slot 1."""
    agent.open_pin(1, 0)
    return agent


def make(agent: Agent, number: int, kind: int, data: bytes, **fields: Any) -> Record:
    return agent.run("MAKE", data, side=KERNEL, slot=number, value=kind, timeout_ms=5000, **fields)


def interface(agent: Agent, number: int, kind: int = INTERFACE, **facts: Any) -> int:
    """Its address."""
    record = make(agent, number, kind, ENCODER.make(**facts))
    assert record.outcome == C["KSHS_OUTCOME_DONE"], describe(record)
    return record.information


def inspect(agent: Agent, number: int) -> dict[str, Any]:
    record = agent.done("INSPECT", side=KERNEL, slot=number, timeout_ms=5000)
    found = ENCODER.read_made(record.data)
    assert found is not None
    return found


def refused(record: Record, detail: int) -> None:
    assert (record.outcome, record.detail) == (C["KSHS_OUTCOME_REFUSED"], detail), describe(record)


@pytest.mark.parametrize("memory", ["NORMAL", "PAGED", "READONLY", "PAGE_END"])
def test_a_block_s_address_is_what_the_callback_gets(pin: Agent, memory: str) -> None:
    content = bytes(range(100))
    made = make(pin, 7, BLOCK, content, in_kind=C[f"KSHS_BUFFER_{memory}"])
    assert made.information > 0x10000, describe(made)
    pin.request(1, handshake(argument1=1, argument2=2), flags=ARGUMENTS, slot2=NONE, slot3=7)
    seen = pin.seen(0)
    assert (seen.request.argument1, seen.request.argument2) == (1, made.information)
    found = inspect(pin, 7)
    assert (found["address"], found["data"], found["intact"]) == (made.information, content.hex(), True)
    assert (found["sent"], found["accepted"]) == (1, 1)


def test_what_is_given_is_counted_with_each_request(pin: Agent) -> None:
    interface(pin, 0, version=5, returns=(1, 2), given=True)
    found = inspect(pin, 0)
    assert (found["size"], found["version"], found["held"]) == (48, 5, 0)
    pin.request(1, flags=ARGUMENTS, slot2=0, slot3=NONE, repeat=3)
    assert (inspect(pin, 0)["held"], inspect(pin, 0)["accepted"]) == (3, 3)
    pin.behave(0, "DECLINE", status=0xC0000010)
    pin.request(1, flags=ARGUMENTS, slot2=0, slot3=NONE)
    found = inspect(pin, 0)
    assert (found["held"], found["sent"], found["accepted"], found["excess"]) == (3, 4, 3, 0)


def test_functions_outside_the_driver_are_not_called_unless_they_may_be(pin: Agent) -> None:
    """The echo of the client's own interface: its functions are the client's."""
    interface(pin, 0)
    interface(pin, 1, TAKEN)
    interface(pin, 2, TAKEN, elsewhere=True)
    assert not inspect(pin, 1)["present"]
    pin.behave(0, "ECHO")
    for number in (1, 2):
        pin.request(1, flags=ARGUMENTS | TAKE, slot2=0, slot3=NONE, value=number, value2=NONE)
    found = inspect(pin, 1)
    assert (found["present"], found["readable"], found["inside"], found["outside"]) == (True, True, False, 0)
    call = {"side": KERNEL, "value2": 1, "timeout_ms": 5000}
    assert pin.run("REFERENCE", slot=1, value=0, **call).returned == STATUS_INVALID_ADDRESS
    assert inspect(pin, 0)["references"] == 0
    assert pin.run("REFERENCE", slot=2, value=0, **call).returned == STATUS_SUCCESS
    found = inspect(pin, 0)
    assert (found["references"], found["held"], found["stale"]) == (1, 1, 1)
    assert inspect(pin, 2)["held"] == 1
    pin.done("RELEASE_ALL", side=KERNEL, timeout_ms=5000)  # gives it back


def test_an_answer_that_is_no_pointer_is_not_followed(pin: Agent) -> None:
    interface(pin, 1, TAKEN)
    pin.request(1, handshake(argument1=0x10), flags=TAKE, value=1, value2=NONE)
    found = inspect(pin, 1)
    assert (found["present"], found["readable"], found["address"]) == (True, False, 0x11)
    record = pin.run("REFERENCE", side=KERNEL, slot=1, value=1, value2=1, timeout_ms=5000)
    assert record.returned == STATUS_INVALID_ADDRESS


def test_what_makes_no_sense_is_refused(pin: Agent) -> None:
    good = ENCODER.make()
    refused(make(pin, C["KSHS_MAX_MADE"], INTERFACE, good), STATUS_INVALID_PARAMETER)
    for kind in (0, 5, 0xFFFFFFFF):
        refused(make(pin, 0, kind, good), STATUS_INVALID_PARAMETER)
    for memory in ("NULL", "ALIAS", "MISALIGNED", "FREED"):
        refused(make(pin, 0, BLOCK, b"x", in_kind=C[f"KSHS_BUFFER_{memory}"]), STATUS_INVALID_PARAMETER)
    for data in (b"", good[:-1], good + b"x"):
        refused(make(pin, 0, INTERFACE, data), STATUS_INVALID_BUFFER_SIZE)
    refused(make(pin, 0, BLOCK, b""), STATUS_INVALID_BUFFER_SIZE)
    refused(make(pin, 0, INTERFACE, ENCODER.make(version=0x10000)), STATUS_INVALID_PARAMETER)
    refused(make(pin, 0, INTERFACE, bytes(8) + b"\x09" + good[9:]), STATUS_INVALID_PARAMETER)
    for op in ("INSPECT", "REFERENCE", "VANISH"):
        refused(pin.run(op, side=KERNEL, slot=3, value2=1), STATUS_NOT_FOUND)
        assert pin.run(op, side=USER, slot=3).outcome == C["KSHS_OUTCOME_REFUSED"]
    interface(pin, 0)
    refused(make(pin, 0, INTERFACE, good), STATUS_OBJECT_NAME_COLLISION)
    refused(pin.run("VANISH", side=KERNEL, slot=0), STATUS_INVALID_PARAMETER)
    refused(pin.run("REFERENCE", side=KERNEL, slot=0, value2=1), STATUS_INVALID_PARAMETER)
    refused(pin.run("REFERENCE", side=KERNEL, slot=0, value2=1001), STATUS_INVALID_PARAMETER)
    request = {"slot2": NONE, "slot3": NONE}
    refused(pin.request(1, flags=ARGUMENTS, **request | {"slot2": 9}), STATUS_NOT_FOUND)
    refused(
        pin.request(1, flags=ARGUMENTS, **request | {"slot2": C["KSHS_MAX_MADE"]}), STATUS_INVALID_PARAMETER
    )
    refused(pin.request(1, bytes(31), flags=ARGUMENTS, **request), STATUS_INVALID_BUFFER_SIZE)
    refused(pin.request(1, flags=TAKE, value=0, value2=NONE), STATUS_INVALID_PARAMETER)
    assert pin.request(1, side=USER, flags=TAKE).outcome == C["KSHS_OUTCOME_REFUSED"]
    assert inspect(pin, 0)["sent"] == 0
    assert pin.request(1).returned == STATUS_SUCCESS


def test_memory_vanishes_and_comes_back_to_nobody(pin: Agent) -> None:
    make(pin, 0, BLOCK, b"gone", in_kind=PAGE_END)
    pin.done("VANISH", side=KERNEL, slot=0)
    found = inspect(pin, 0)
    assert (found["gone"], found["readable"], found["data"]) == (True, False, None)
    refused(pin.run("VANISH", side=KERNEL, slot=0), STATUS_INVALID_PARAMETER)


def test_many_more_than_are_kept(pin: Agent) -> None:
    """Numbers are free again after RELEASE_ALL, and what was forgotten is freed in the end."""
    for _ in range(3):
        for number in range(300):
            interface(pin, number)
        refused(make(pin, 0, INTERFACE, ENCODER.make()), STATUS_OBJECT_NAME_COLLISION)
        pin.done("RELEASE_ALL", side=KERNEL, timeout_ms=5000)
    refused(pin.run("INSPECT", side=KERNEL, slot=0), STATUS_NOT_FOUND)
