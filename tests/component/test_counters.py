# SPDX-License-Identifier: Apache-2.0
"""COUNTERS: what the client counts is there, is steady, and grows with what is taken."""

from __future__ import annotations

from typing import Any

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
        steady = EVERY - {"pool_blocks", "pool_bytes", "handles"}
        assert {name: after[name] for name in steady} == {name: before[name] for name in steady}
        assert abs(after["handles"] - before["handles"]) < 8, "a thread that ends may hold one still"
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


def left(agent: Agent) -> dict[str, Any]:
    size = len(ABI.cs.kshs_left)
    record = agent.done("RELEASE_ALL", side=KERNEL, flags=C["KSHS_STEP_COUNT"], out_length=size)
    counts = Encoder(ABI).read_left(record.data)
    assert counts is not None, describe(record)
    return counts


def test_nothing_is_left_of_what_a_sound_driver_was_asked(agent: Agent) -> None:
    """Whatever is closed in between, in whatever order, with or without a connection."""
    agent.open_pin(1, 0)
    for route in KERNEL_ROUTES.values():
        agent.request(1, route=route, repeat=20)
    agent.open_pin(2, 1)
    agent.open_pin(3, 0, onto=2)
    agent.close(2)
    agent.close(0)
    counts = left(agent)
    assert (counts["kept"], counts["unseen"]) == (0, 0)
    assert counts["looked"] >= 4
    again = left(agent)
    assert (again["looked"], again["kept"]) == (0, 0)
    assert again["before"].keys() == {"pool_blocks", "pool_bytes", "handles"}


def test_the_class_driver_is_asked_before_the_first_object_is_closed(agent: Agent) -> None:
    left(agent)
    agent.open_filter(0)
    agent.open_pin(1, 0)
    counts = left(agent)
    for name in EVERY - {"pool_blocks", "pool_bytes", "handles", "file_references"}:
        assert counts["after"][name] == counts["before"][name], name


@pytest.mark.parametrize(("flags", "length"), [("COUNT", 0), ("COUNT", ROOM), ("KEEP", 0)])
def test_a_malformed_release_is_refused(agent: Agent, flags: str, length: int) -> None:
    record = agent.run("RELEASE_ALL", side=KERNEL, flags=C[f"KSHS_STEP_{flags}"], out_length=length)
    assert record.outcome == C["KSHS_OUTCOME_REFUSED"], describe(record)
    assert record.detail in (STATUS_INVALID_BUFFER_SIZE, STATUS_INVALID_PARAMETER)
