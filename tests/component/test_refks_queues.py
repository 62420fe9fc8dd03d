# SPDX-License-Identifier: Apache-2.0
"""refks's queues of IRPs, workers, create items, and IRPs that are passed on."""

from __future__ import annotations

import struct

import pytest

from harness.agent.frames import Record
from tests.component import test_refks_functions
from tests.component.agent import (
    KERNEL,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS,
    Agent,
    C,
    describe,
)
from tests.component.test_refks_functions import (
    CATEGORY,
    CLOSED,
    COUNTED_WORKER,
    FORWARD,
    FORWARD_MORE,
    GET,
    IOCTL_KS_PROPERTY,
    OPEN,
    PROPERTIES,
    QUEUE_CANCEL,
    QUEUE_CANCEL_ALL,
    QUEUE_MOVE,
    QUEUE_ORDER,
    QUEUE_RACE,
    QUEUED,
    RELEASE,
    STATUS_CANCELLED,
    STATUS_DEVICE_BUSY,
    STATUS_OBJECT_NAME_NOT_FOUND,
    WILDCARD,
    WORKER,
    get,
    make_pin,
    numbers,
    own,
    ulong,
)

pytestmark = pytest.mark.component

#: Fixtures of the tests beside these.
probe = test_refks_functions.probe
probe_guest = test_refks_functions.probe_guest


def test_irps_leave_a_queue_in_order_and_by_their_state(probe: Agent) -> None:
    seen = numbers(probe, QUEUE_ORDER)
    assert seen[:4] == [4, 3, 1, 2], "head, tail, acquired at the head, which leaves it there"
    assert seen[4:8] == [0, 0, 2, 0], "the first one is taken; the next one; none are left"
    assert seen[8:11] == [1, 0, 0], "released; all gone; none was completed"
    assert seen[11] != 0, "queued is pending"


def test_a_cancelled_irp_is_completed_once_wherever_it_is(probe: Agent) -> None:
    seen = numbers(probe, QUEUE_CANCEL)
    assert seen[:5] == [1, 1, STATUS_CANCELLED, 1, 0], "in the queue"
    assert seen[5:8] == [0, 0, 1], "acquired: once it is released"
    assert seen[8:10] == [1, 0], "cancelled before it was queued"
    assert seen[10:13] == [1, 1, STATUS_DEVICE_BUSY], "by a routine that completes it itself"
    assert seen[13:16] == [2, 1, 0], "by one that it got at its release"


def test_all_of_a_queue_is_cancelled_but_what_is_acquired(probe: Agent) -> None:
    seen = numbers(probe, QUEUE_CANCEL_ALL)
    assert seen[:7] == [0, 1, 1, 1, 1, 1, 1]
    assert seen[7:9] == [1, 0], "the acquired one when it is released"


def test_irps_move_to_another_queue_and_are_cancelled_there(probe: Agent) -> None:
    seen = numbers(probe, QUEUE_MOVE)
    assert seen[:3] == [STATUS_DEVICE_BUSY, 5, 1], "the callback's error; its calls; the last one"
    assert seen[3:7] == [2, 3, 1, 1], "lengths; the locks of one that moved and of one that did not"
    assert seen[7:11] == [1, 1, 1, 4]
    assert seen[11:14] == [STATUS_SUCCESS, 2, 1]
    assert seen[14:17] == [2, 5, 0], "from the tail to the head keeps the order"


def queue_request(agent: Agent, token: int, slot: int = 1) -> None:
    """A property that the probe queues, on its way."""
    data = PROPERTIES.bytes_le + struct.pack("<II", QUEUED, GET)
    record = agent.request(
        slot,
        data,
        control=IOCTL_KS_PROPERTY,
        in_length=len(data),
        out_length=4,
        route=C["KSHS_ROUTE_IRP"],
        token=token,
        flags=C["KSHS_STEP_ASYNC"],
    )
    assert record.outcome == C["KSHS_OUTCOME_STARTED"], describe(record)


def finished(agent: Agent, token: int) -> Record:
    record = agent.run("WAIT", side=KERNEL, token=token, timeout_ms=10000)
    assert record.outcome == C["KSHS_OUTCOME_DONE"], describe(record)
    assert record.completions == 1, describe(record)
    return record


def test_a_request_that_is_queued_is_cancelled_and_its_filter_is_free(probe: Agent) -> None:
    """By the class driver's own routine, which gives back what the request held."""
    closed = ulong(probe, CLOSED)
    probe.done("OPEN_FILTER", side=KERNEL, slot=1, guid=CATEGORY, value=0)
    queue_request(probe, 1)
    queue_request(probe, 2)
    for token in (1, 2):
        record = probe.run("CANCEL", side=KERNEL, token=token)
        assert record.outcome == C["KSHS_OUTCOME_DONE"], describe(record)
        record = finished(probe, token)
        assert (record.status, record.information) == (STATUS_CANCELLED, 0), describe(record)
        assert record.changed_bytes == 0, describe(record)
    assert ulong(probe, RELEASE) == 0
    probe.close(1)
    assert ulong(probe, CLOSED) == closed + 1


def test_a_request_that_is_queued_is_answered_when_the_driver_likes(probe: Agent) -> None:
    probe.done("OPEN_FILTER", side=KERNEL, slot=1, guid=CATEGORY, value=0)
    queue_request(probe, 3)
    queue_request(probe, 4)
    assert ulong(probe, RELEASE) == 2
    for token in (3, 4):
        record = finished(probe, token)
        assert (record.status, record.data) == (STATUS_SUCCESS, struct.pack("<I", 0x9E0E)), describe(record)


def test_no_irp_is_lost_or_completed_twice_in_a_race(probe: Agent) -> None:
    """A thread cancels each IRP while others are added, acquired, released, removed and moved."""
    once, cancelled, removed, counted, left, total = numbers(probe, QUEUE_RACE)[:6]
    assert once == total == cancelled + removed
    assert (removed, left) == (counted, 0)
    assert min(cancelled, removed) > 0, "nobody raced"


# ---- workers ------------------------------------------------------------------------------


def test_a_worker_runs_every_item_in_another_thread_before_it_goes(probe: Agent) -> None:
    seen = numbers(probe, WORKER)
    assert seen[:3] == [STATUS_INVALID_PARAMETER, STATUS_SUCCESS, 0], "no such queue; queued; all wait"
    assert seen[3:6] == [5, 5, 1], "three, one of which queued itself twice; elsewhere; in order"


def test_a_counted_worker_runs_once_for_many_tasks(probe: Agent) -> None:
    seen = numbers(probe, COUNTED_WORKER)
    assert seen[:5] == [1, 2, 3, 1, 3], "three tasks in one run"
    assert seen[5:8] == [1, 2, 4], "one more when it had ended"


# ---- create items ----------------------------------------------------------------------------


def open_by_name(agent: Agent, name: str) -> list[int]:
    """Status of the create, nodes of the filter that was opened (99: none), status of cleanup and close."""
    return numbers(agent, OPEN, name.encode("utf-16-le"))[:4]


def test_a_filter_is_opened_by_the_names_of_its_create_items(probe: Agent) -> None:
    assert open_by_name(probe, "\\{9B365890-165F-11D0-A195-0020AFD156E4}") == [0, 1, 0, 0]
    assert open_by_name(probe, f"\\{{{own(12)}}}") == [0, 2, 0, 0]
    for name in ("\\alias", "\\Second", "alias"):
        assert open_by_name(probe, name) == [0, 2, 0, 0], name
    assert open_by_name(probe, "\\nobody") == [STATUS_OBJECT_NAME_NOT_FOUND, 99, 0, 0]
    get(probe, PROPERTIES, WILDCARD, 4)
    assert open_by_name(probe, "\\nobody") == [0, 2, 0, 0]
    assert open_by_name(probe, "\\{9B365890-165F-11D0-A195-0020AFD156E4}") == [0, 1, 0, 0]


# ---- IRPs passed on -----------------------------------------------------------------------------


def test_an_irp_is_passed_on_to_a_pin_and_caught(probe: Agent) -> None:
    assert make_pin(probe, 0).returned == STATUS_SUCCESS
    seen = numbers(probe, FORWARD)
    caught = [STATUS_SUCCESS, 32, 5 + 0x100, 0, 1, 1]
    assert [seen[at : at + 6] for at in (0, 6, 12)] == [caught] * 3, "copied, in place, as it was filled"
    assert seen[18:22] == [STATUS_SUCCESS, 32, 5 + 0x100, 0x101], "not caught: completed above"
    seen = numbers(probe, FORWARD_MORE)
    assert seen[:4] == [STATUS_SUCCESS, 32, 5 + 0x100, 0x101], "in place"
    assert seen[4:8] == [STATUS_INVALID_DEVICE_REQUEST, 0, 0, 0x101], (
        "no location left: completed all the same"
    )
    assert seen[8:14] == [STATUS_INVALID_DEVICE_REQUEST, 0, 0, 0, 1, 1], (
        "no location left: still the caller's"
    )


# ---- and nothing of all that was put on record as missing --------------------------------------
