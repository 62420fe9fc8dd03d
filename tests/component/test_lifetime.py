# SPDX-License-Identifier: Apache-2.0
"""What is left when an agent goes: nothing."""

from __future__ import annotations

import time

import pytest

from tests.component.agent import KERNEL_ROUTES, STATUS_SUCCESS, USER, Agent, C, agent_of, describe
from tests.component.test_target import start_async, until_inside
from tests.component.wine import WineGuest, processes

pytestmark = pytest.mark.component

PINS = range(C["KSHS_AVSHS_PINS"])


def open_many(agent: Agent, side: int) -> None:
    agent.open_filter(50, side=side)
    for slot in range(1, 13):
        agent.open_pin(slot, slot % len(PINS), side=side, filter_slot=50)


def opened_and_closed(agent: Agent) -> list[tuple[int, int]]:
    return [(agent.seen(pin).opened, agent.seen(pin).closed) for pin in PINS]


def wait_until_closed(agent: Agent, expected: int) -> None:
    deadline = time.monotonic() + 10
    while opened_and_closed(agent) != [(expected, expected)] * len(PINS):
        assert time.monotonic() < deadline, opened_and_closed(agent)
        time.sleep(0.05)


@pytest.mark.parametrize("side", [C["KSHS_SIDE_KERNEL"], USER], ids=["kernel", "user"])
def test_a_killed_agent_leaves_no_pin_open(wine_guest: WineGuest, agent: Agent, side: int) -> None:
    with agent_of(wine_guest) as victim:
        open_many(victim, side)
        assert opened_and_closed(agent) == [(3, 0)] * len(PINS)
        victim.channel.kill()
    wait_until_closed(agent, 3)


@pytest.mark.parametrize("side", [C["KSHS_SIDE_KERNEL"], USER], ids=["kernel", "user"])
def test_bye_closes_everything_and_exits_0(wine_guest: WineGuest, agent: Agent, side: int) -> None:
    with agent_of(wine_guest) as leaver:
        open_many(leaver, side)
    assert leaver.channel.exit_code == 0, leaver.channel.stderr_tail()
    wait_until_closed(agent, 3)


@pytest.mark.parametrize("side", [C["KSHS_SIDE_KERNEL"], USER], ids=["kernel", "user"])
def test_release_all_closes_one_side(agent: Agent, side: int) -> None:
    open_many(agent, side)
    if side == USER:
        agent.open_pin(1, 0)  # in the kernel, to stay
    agent.done("RELEASE_ALL", side=side)
    if side == USER:
        assert agent.request(1).returned == STATUS_SUCCESS
        agent.done("RELEASE_ALL")
        agent.open_filter()
        assert opened_and_closed(agent) == [(4, 4), (3, 3), (3, 3), (3, 3)]
    else:
        agent.open_filter()
        assert opened_and_closed(agent) == [(3, 3)] * len(PINS)


def test_an_agent_killed_with_a_request_in_flight(wine_guest: WineGuest, agent: Agent) -> None:
    agent.behave(0, "BLOCK", delay_ms=10000)
    agent.open_filter(20)
    with agent_of(wine_guest) as victim:
        victim.open_filter()
        victim.open_pin(1, 0)
        start_async(victim, 1, token=0)
        until_inside(agent, 0, 1)
        victim.channel.kill()
    time.sleep(0.2)
    agent.unblock(0)
    deadline = time.monotonic() + 10
    while (agent.seen(0).finished, agent.seen(0).closed) != (1, 1):
        assert time.monotonic() < deadline, agent.seen(0)
        time.sleep(0.05)
    assert agent.seen(0).after_close == 0
    agent.behave(0, "DEFAULT")
    agent.open_pin(1, 0)
    assert agent.request(1, route=KERNEL_ROUTES["irp"]).returned == STATUS_SUCCESS


def test_a_closed_slot_is_empty(agent: Agent) -> None:
    agent.open_pin(1, 0)
    agent.close(1)
    record = agent.request(1)
    assert record.outcome == C["KSHS_OUTCOME_REFUSED"], describe(record)
    record = agent.run("CLOSE", slot=1)
    assert record.outcome == C["KSHS_OUTCOME_REFUSED"], describe(record)


def test_a_taken_slot_is_not_overwritten(agent: Agent) -> None:
    agent.open_pin(1, 0)
    record = agent.try_pin(1, 1)
    assert record.outcome == C["KSHS_OUTCOME_REFUSED"], describe(record)
    assert (agent.seen(1).opened, agent.seen(1).closed) == (0, 0)
    assert agent.request(1).returned == STATUS_SUCCESS


def test_a_session_ends_with_all_its_processes(broken_guest: WineGuest) -> None:
    with agent_of(broken_guest) as agent:
        agent.open_filter()
    assert processes(broken_guest.prefix)
    broken_guest.stop()
    assert processes(broken_guest.prefix) == {}
