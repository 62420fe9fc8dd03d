# SPDX-License-Identifier: Apache-2.0
"""Two agents at once: each is a world of its own, and requests of both meet in one pin's callback."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from tests.component.agent import (
    KERNEL_ROUTES,
    PROTOCOL_UNKNOWN,
    STATUS_INVALID_BUFFER_SIZE,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS,
    USER,
    USER_ROUTES,
    Agent,
    C,
    agent_of,
    describe,
    handshake,
)
from tests.component.wine import WineGuest

pytestmark = pytest.mark.component

ROUNDS = 40


@pytest.fixture
def pair(wine_guest: WineGuest) -> Iterator[tuple[Agent, Agent]]:
    """Two agents, the target's filter open in both, everything reset."""
    with agent_of(wine_guest) as one, agent_of(wine_guest) as two:
        for agent in (one, two):
            agent.open_filter()
        one.reset()
        yield one, two


@pytest.mark.parametrize("route", KERNEL_ROUTES.values(), ids=KERNEL_ROUTES)
def test_each_gets_its_own_answers(pair: tuple[Agent, Agent], route: int) -> None:
    for agent in pair:
        agent.open_pin(1, 0)  # the same slot numbers: slots are an agent's own
    pair[0].behave(0, "SLOW", delay_ms=2)
    flying = [
        (who, number, agent.submit(1, handshake(argument1=1000 * who + number), route=route))
        for number in range(ROUNDS)
        for who, agent in enumerate(pair)
    ]
    for who, number, waiting in flying:
        record = waiting.result()
        assert record.returned == STATUS_SUCCESS, describe(record)
        assert struct.unpack_from("<Q", record.data, 16)[0] == 1000 * who + number + 1
    seen = pair[1].seen(0)
    assert (seen.count, seen.finished, seen.after_close) == (2 * ROUNDS, 2 * ROUNDS, 0)


def test_refusals_of_one_do_not_reach_the_other(pair: tuple[Agent, Agent]) -> None:
    good, bad = pair
    good.open_pin(1, 0)
    bad.open_pin(1, 0)
    bad.open_filter(0, side=USER, route=USER_ROUTES["sync"])
    bad.open_pin(1, 0, side=USER, route=USER_ROUTES["sync"])
    wrong = [
        (bad.submit(1, in_length=31), STATUS_INVALID_BUFFER_SIZE),
        (bad.submit(1, mode="USER"), STATUS_INVALID_DEVICE_REQUEST),
        (bad.submit(1, handshake(PROTOCOL_UNKNOWN)), STATUS_INVALID_DEVICE_REQUEST),
        (bad.submit(1, side=USER, route=USER_ROUTES["sync"]), STATUS_INVALID_DEVICE_REQUEST),
    ]
    right = [good.submit(1, handshake(argument1=number)) for number in range(ROUNDS)]
    for number, waiting in enumerate(right):
        record = waiting.result()
        assert record.returned == STATUS_SUCCESS, describe(record)
        assert struct.unpack_from("<Q", record.data, 16)[0] == number + 1
    assert [(waiting.result().returned, status) for waiting, status in wrong] == [
        (status, status) for _, status in wrong
    ]


def test_one_leaves_while_the_other_is_in_the_callback(wine_guest: WineGuest) -> None:
    with agent_of(wine_guest) as staying:
        staying.open_filter()
        staying.reset()
        staying.open_pin(1, 0)
        staying.behave(0, "BLOCK", delay_ms=5000)
        with agent_of(wine_guest) as leaving:
            leaving.open_filter()
            leaving.open_pin(1, 0)
            waiting = staying.submit(1, handshake(argument1=7), route=KERNEL_ROUTES["irp"], token=3, flags=1)
            assert waiting.result().outcome == C["KSHS_OUTCOME_STARTED"]
        staying.unblock(0)
        record = staying.run("WAIT", token=3, timeout_ms=10000)
        assert record.returned in {STATUS_SUCCESS, 0x103}, describe(record)
        assert struct.unpack_from("<Q", record.data, 16)[0] == 8
        seen = staying.seen(0)
        assert (seen.count, seen.finished, seen.after_close) == (1, 1, 0)
        assert (seen.opened, seen.closed) == (2, 1)
