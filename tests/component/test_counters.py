# SPDX-License-Identifier: Apache-2.0
"""COUNTERS: what the client counts is there, is steady, and grows with what is taken."""

from __future__ import annotations

import pytest

from harness.agent.encode import Counters, Encoder
from tests.component.agent import (
    ABI,
    KERNEL,
    KERNEL_ROUTES,
    STATUS_INVALID_BUFFER_SIZE,
    STATUS_INVALID_PARAMETER,
    USER,
    Agent,
    C,
    describe,
)

pytestmark = pytest.mark.component

ROOM = C["KSHS_MAX_DATA"]
EVERY = {
    "pool_blocks",
    "pool_bytes",
    "handles",
    "file_references",
    "device_references",
    "base_references",
    "class_object_inside",
    "class_object_references",
    "class_device_inside",
    "class_device_references",
}


def counted(agent: Agent, slot: int = C["KSHS_NO_SLOT"]) -> Counters:
    record = agent.done("COUNTERS", side=KERNEL, slot=slot, out_length=ROOM)
    counters = Encoder(ABI).read_counters(record.data)
    assert counters is not None, describe(record)
    return counters


def test_every_counter_of_wine_can_be_read(agent: Agent) -> None:
    agent.open_pin(1, 0)
    counters = counted(agent, 1)
    assert counters.values.keys() == EVERY
    assert counters.tags is None
    assert all(value > 0 for value in counters.values.values())
    assert counted(agent).values.keys() == {"pool_blocks", "pool_bytes", "handles"}


def test_nothing_grows_with_sound_requests(agent: Agent) -> None:
    agent.open_pin(1, 0)
    for route in KERNEL_ROUTES.values():
        agent.request(1, route=route, repeat=200)
        before = counted(agent, 1).values
        agent.request(1, route=route, repeat=2000)
        after = counted(agent, 1).values
        steady = EVERY - {"pool_blocks", "pool_bytes"}
        assert {name: after[name] for name in steady} == {name: before[name] for name in steady}
        assert abs(after["pool_bytes"] - before["pool_bytes"]) < 2000 * 16


def test_an_open_pin_shows_and_a_closed_one_is_gone(agent: Agent) -> None:
    agent.open_pin(1, 0)
    agent.close(1)
    before = counted(agent, 0).values
    for slot in range(2, 10):
        agent.open_pin(slot, 0)
    held = counted(agent, 0).values
    assert held["handles"] >= before["handles"] + 8
    assert held["pool_bytes"] > before["pool_bytes"] + 8 * 100
    assert held["class_device_inside"] > before["class_device_inside"] or (
        held["class_device_references"] > before["class_device_references"]
    )
    for slot in range(2, 10):
        agent.close(slot)
    assert counted(agent, 0).values["class_device_inside"] == before["class_device_inside"]


def test_a_step_that_makes_no_sense_is_refused(agent: Agent) -> None:
    for fields, status in (
        ({"out_length": 8}, STATUS_INVALID_BUFFER_SIZE),
        ({"out_length": ROOM + 1}, STATUS_INVALID_BUFFER_SIZE),
        ({"out_length": ROOM, "slot": 4000}, STATUS_INVALID_PARAMETER),
    ):
        record = agent.run("COUNTERS", side=KERNEL, **fields)
        assert record.outcome == C["KSHS_OUTCOME_REFUSED"], describe(record)
        assert record.detail == status
    record = agent.run("COUNTERS", side=USER, out_length=ROOM)
    assert record.outcome == C["KSHS_OUTCOME_REFUSED"], describe(record)


def test_an_empty_slot_counts_the_process_alone(agent: Agent) -> None:
    assert counted(agent, 77).values.keys() == {"pool_blocks", "pool_bytes", "handles"}
