# SPDX-License-Identifier: Apache-2.0
"""`timeout_ms` is the time of each request, however often a step repeats it."""

from __future__ import annotations

import struct
import time
from typing import Any

import pytest

from drivers.abi import load as load_abi
from harness.agent.frames import Record
from tests.component.agent import KERNEL, KERNEL_ROUTES, USER, USER_ROUTES, Agent, describe, handshake
from tests.component.test_client import BLOCK, DEVICE, Rogue, control, rogue, rogue_guest  # noqa: F401

pytestmark = pytest.mark.component

C = load_abi().constants
DONE, HUNG, STARTED = C["KSHS_OUTCOME_DONE"], C["KSHS_OUTCOME_HUNG"], C["KSHS_OUTCOME_STARTED"]
ASYNC = C["KSHS_STEP_ASYNC"]
IOCTL_KS_PROPERTY = 0x002F0003
PROPERTY_GET = 1

kernel_route = pytest.mark.parametrize("route", KERNEL_ROUTES.values(), ids=KERNEL_ROUTES)

#: Eight requests of a fifth of a second, and one second for each: more than one for all of them.
SLOW_MS, LIMIT_MS, TIMES = 200, 1000, 8


def wait(agent: Agent, token: int, side: int = KERNEL, **fields: Any) -> Record:
    return agent.run("WAIT", side=side, token=token, timeout=20.0, **{"timeout_ms": LIMIT_MS} | fields)


def pin_handshakes(agent: Agent, **fields: Any) -> Record:
    """KsPinHandshake, by a synchronous user handle to a connected pin: what a callback can slow down."""
    question = load_abi().guids["KSPROPSETID_Kshs"].bytes_le + struct.pack(
        "<II", C["KSHS_PROP_PIN_HANDSHAKE"], PROPERTY_GET
    )
    data = question + handshake()
    return agent.request(
        2,
        data,
        side=USER,
        control=IOCTL_KS_PROPERTY,
        **{
            "route": USER_ROUTES["sync"],
            "in_length": len(data),
            "out_length": len(load_abi().cs.kshs_pin_handshake),
            "timeout_ms": LIMIT_MS,
            "repeat": TIMES,
        }
        | fields,
    )


def open_shared_pair(agent: Agent) -> None:
    agent.open_filter(20)
    agent.open_pin(1, 1)
    agent.open_pin(2, 0, onto=1)
    agent.done("SHARE", side=USER, slot=2, slot2=2)


@kernel_route
def test_slow_requests_are_not_hung_for_being_many(agent: Agent, route: int) -> None:
    agent.open_pin(1, 0)
    agent.behave(0, "SLOW", delay_ms=SLOW_MS)
    record = agent.request(1, route=route, repeat=TIMES, timeout_ms=LIMIT_MS)
    assert (record.outcome, record.repeats) == (DONE, TIMES), describe(record)
    assert record.duration_ns > LIMIT_MS * 1_000_000


@kernel_route
def test_nor_are_those_that_are_waited_for(agent: Agent, route: int) -> None:
    agent.open_pin(1, 0)
    agent.behave(0, "SLOW", delay_ms=SLOW_MS)
    assert agent.request(1, route=route, repeat=TIMES, flags=ASYNC, token=3).outcome == STARTED
    record = wait(agent, 3, repeat=TIMES)
    assert (record.outcome, record.repeats) == (DONE, TIMES), describe(record)


def test_a_wait_that_does_not_know_of_repeats_has_its_own_time_for_all(agent: Agent) -> None:
    agent.open_pin(1, 0)
    agent.behave(0, "SLOW", delay_ms=SLOW_MS)
    assert agent.request(1, repeat=TIMES, flags=ASYNC, token=3).outcome == STARTED
    assert wait(agent, 3).outcome == HUNG
    assert wait(agent, 3, timeout_ms=10000).outcome == DONE


@kernel_route
def test_the_repeat_that_hangs_is_told_in_its_own_time(agent: Agent, route: int) -> None:
    many = 100_000
    agent.open_filter(20)
    agent.open_pin(1, 0)
    assert agent.request(1, route=route, repeat=many, flags=ASYNC, token=3).outcome == STARTED
    agent.behave(0, "BLOCK", slot=20, delay_ms=20000)
    begun = time.monotonic()
    record = wait(agent, 3, repeat=many)
    assert (record.outcome, 1 <= record.repeats < many) == (HUNG, True), describe(record)
    assert LIMIT_MS / 1000 - 0.1 <= time.monotonic() - begun < 10
    agent.reset(slot=20)
    record = wait(agent, 3, repeat=many, timeout_ms=10000)
    assert (record.outcome, record.repeats) == (DONE, many), describe(record)


@pytest.mark.parametrize("route", USER_ROUTES.values(), ids=USER_ROUTES)
def test_slow_requests_of_the_user_side(rogue: Rogue, route: int) -> None:  # noqa: F811
    agent = rogue.agent
    agent.done("OPEN_DEVICE", DEVICE.encode("utf-16-le"), side=USER, slot=3, route=route)
    # Its callers wait 300 ms, each time.
    fields = {
        "side": USER,
        "route": route,
        "control": control(BLOCK),
        "repeat": TIMES,
        "timeout_ms": LIMIT_MS,
    }
    record = agent.request(3, **fields)
    assert (record.outcome, record.repeats) == (DONE, TIMES), describe(record)
    assert record.duration_ns > LIMIT_MS * 1_000_000
    assert agent.request(3, **fields, flags=ASYNC, token=3).outcome == STARTED
    record = wait(agent, 3, USER, repeat=TIMES)
    assert (record.outcome, record.repeats) == (DONE, TIMES), describe(record)


def test_a_request_of_the_user_side_that_hangs(agent: Agent) -> None:
    open_shared_pair(agent)
    # Wine's one thread for user-mode callers is inside the callback: nobody could unblock it.
    agent.behave(1, "BLOCK", slot=20, delay_ms=3 * LIMIT_MS)
    begun = time.monotonic()
    assert pin_handshakes(agent, repeat=1000).outcome == HUNG
    assert LIMIT_MS / 1000 - 0.1 <= time.monotonic() - begun < 2.5 * LIMIT_MS / 1000
    assert agent.run("NOP").outcome == DONE
