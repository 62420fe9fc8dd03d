# SPDX-License-Identifier: Apache-2.0
"""refks's bags, relatives, pins that are opened by name, factories, devices and power.

The probe calls it (probe/objects.c, probe/devices.c) and says what it saw.
"""

from __future__ import annotations

import struct

import pytest

from tests.component import test_refks_functions
from tests.component.agent import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_BUFFER_SIZE,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_NO_MATCH,
    STATUS_NOT_SUPPORTED,
    STATUS_SUCCESS,
    Agent,
    describe,
)
from tests.component.test_refks_functions import (
    ON_NODE,
    SEND,
    STATUS_DEVICE_BUSY,
    STATUS_NOT_FOUND,
    STATUS_OBJECT_NAME_NOT_FOUND,
    STATUS_PROPSET_NOT_FOUND,
    numbers,
)
from tests.component.test_refks_methods import method

pytestmark = pytest.mark.component

#: Fixtures of the tests beside these.
probe = test_refks_functions.probe
probe_guest = test_refks_functions.probe_guest

# Property numbers of probe.h.
BAGS, EDIT, PINS, NAMES, FACTORIES, ARGUMENTS, DEVICE, REMOVED, POWER, FAILURES, TABLE, ALONE = range(22, 34)
LATE, LATE_PINS = range(34, 36)

STATUS_UNSUCCESSFUL = 0xC0000001
STATUS_NOT_IMPLEMENTED = 0xC0000002
STATUS_INVALID_HANDLE = 0xC0000008
STATUS_NO_SUCH_DEVICE = 0xC000000E
STATUS_ACCESS_DENIED = 0xC0000022
STATUS_DEVICE_NOT_READY = 0xC00000A3
STATUS_DRIVER_INTERNAL_ERROR = 0xC0000183
STATUS_DEVICE_CONFIGURATION_ERROR = 0xC0000182
STATUS_INVALID_DEVICE_STATE = 0xC0000184
STATUS_FILE_CLOSED = 0xC0000128
STATUS_DEVICE_REMOVED = 0xC00002B6

KS_FILTER, KS_PIN, NONE = 2, 3, 0xFFFFFFFF
"""KSOBJECTTYPE, and what stands for no object."""


# ---- bags --------------------------------------------------------------------------


def test_an_item_goes_with_the_last_bag_that_has_it(probe: Agent) -> None:
    seen = numbers(probe, BAGS)
    assert seen[:2] == [STATUS_SUCCESS, STATUS_SUCCESS], "added; copied to the other bag"
    assert seen[2:5] == [2, 0, 1], "out of one of two; not freed by that; freed by the end of the other"
    assert seen[5:8] == [STATUS_INVALID_PARAMETER, 1, 0], "no such bag; given back; not there any more"
    assert seen[8:10] == [STATUS_SUCCESS, 2], "a bag's end frees what is in it"
    assert seen[10:14] == [STATUS_INVALID_PARAMETER] * 2 + [0, STATUS_INVALID_PARAMETER], (
        "nobody's bag, no item"
    )


def test_what_is_edited_becomes_a_copy_in_the_bag(probe: Agent) -> None:
    seen = numbers(probe, EDIT)
    assert seen[:4] == [STATUS_SUCCESS, 1, STATUS_SUCCESS, 1], "a copy; the second time the same one"
    assert seen[4:7] == [STATUS_SUCCESS, 1, 1], "longer: what was there, and zeros; in the bag"
    assert seen[7:11] == [STATUS_SUCCESS, 1, 1, STATUS_INVALID_PARAMETER], "of nothing: zeros; without a bag"


# ---- pins by name ----------------------------------------------------------------------


def test_pins_are_opened_by_name_and_know_their_relatives(probe: Agent) -> None:
    """Natively, as on Windows: the I/O manager of Wine cannot send such a name."""
    seen = numbers(probe, PINS)
    assert seen[:3] == [STATUS_SUCCESS, STATUS_SUCCESS, STATUS_NOT_FOUND], "two are possible"
    assert seen[3:6] == [2, 1, 1], "both are found by their id, in their order, and no other"
    assert seen[6:9] == [1, 1, KS_PIN], "children and siblings; parents; the type"
    assert seen[9:11] == [1, 1], "connected to nothing; a copy of nothing"
    assert seen[11] == 0x110, "the first one's gate is off, the other's on; and on again"
    assert seen[12:14] == [STATUS_INVALID_PARAMETER, STATUS_INVALID_DEVICE_STATE], "handshakes with nobody"
    assert seen[14:18] == [0, 0, 0, 0], "closed, and gone from the filter"
    assert seen[18:22] == [KS_FILTER, NONE, 1, 1], "what the request is of, and the filter's own parents"


def test_a_name_that_is_wrong_opens_nothing(probe: Agent) -> None:
    seen = numbers(probe, NAMES)
    assert seen[:2] == [STATUS_OBJECT_NAME_NOT_FOUND] * 2, "no pin's name; a filter of another device"
    assert seen[2:6] == [STATUS_FILE_CLOSED, STATUS_SUCCESS, STATUS_OBJECT_NAME_NOT_FOUND, 0], "closed; a pin"
    assert seen[6:9] == [STATUS_INVALID_BUFFER_SIZE] * 3, "too few bytes; a format, attributes beyond them"
    assert seen[9:12] == [STATUS_SUCCESS, 1, 0], "attributes that are there"
    assert seen[12:15] == [STATUS_NO_MATCH, STATUS_INVALID_PARAMETER, STATUS_NO_MATCH], "medium; pin; format"
    assert seen[15] == STATUS_INVALID_PARAMETER, "a pin that receives, told to send"


# ---- factories -----------------------------------------------------------------------------


def test_factories_come_and_go(probe: Agent) -> None:
    seen = numbers(probe, FACTORIES)
    assert seen[:4] == [STATUS_SUCCESS] * 4, "made, and opened by their names"
    assert seen[4:8] == [STATUS_INVALID_PARAMETER, STATUS_SUCCESS, STATUS_SUCCESS, STATUS_SUCCESS]
    assert seen[8:10] == [1, STATUS_SUCCESS], "a link where there is a category; disabled"
    assert seen[10:13] == [STATUS_SUCCESS, STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_NAME_NOT_FOUND], "gone"
    assert seen[13] == STATUS_NO_SUCH_DEVICE
    assert seen[14] == 1, "enabled by its own name or not at all"


def test_calls_that_are_wrong_are_refused(probe: Agent) -> None:
    seen = numbers(probe, ARGUMENTS)
    wrong = STATUS_INVALID_PARAMETER
    assert seen[:5] == [wrong, wrong, STATUS_SUCCESS, wrong, wrong]
    assert seen[5] == 1, "the filter's gate"
    assert seen[6:8] == [STATUS_INVALID_HANDLE, STATUS_NOT_SUPPORTED], "no device; a direct control"
    assert seen[8:11] == [STATUS_SUCCESS, 16, 1], "a buffered one"
    assert seen[11:14] == [STATUS_BUFFER_TOO_SMALL, STATUS_BUFFER_TOO_SMALL, 0], "... without room"
    assert seen[14:16] == [STATUS_INVALID_DEVICE_REQUEST] * 2, "of user mode; one that nobody knows"


# ---- devices ------------------------------------------------------------------------------------


def test_a_device_is_stopped_started_again_and_removed(probe: Agent) -> None:
    seen = numbers(probe, DEVICE)
    assert seen[:3] == [STATUS_DEVICE_NOT_READY, STATUS_SUCCESS, STATUS_SUCCESS], "opened once it is started"
    assert seen[3:6] == [STATUS_SUCCESS, STATUS_DEVICE_BUSY, STATUS_SUCCESS], "asked; refused; stopped"
    assert seen[6:8] == [STATUS_DEVICE_NOT_READY, STATUS_SUCCESS], "not while it is stopped"
    assert seen[8] == 0x123_45_4_46_23, "add, start; query, cancel; query; query, stop; start"
    assert seen[9:12] == [STATUS_SUCCESS, STATUS_SUCCESS, 77], "removal cancelled; capabilities of its own"
    assert seen[12:15] == [STATUS_SUCCESS, STATUS_SUCCESS, 5], "interfaces: the stack below is asked, too"
    assert seen[15:18] == [STATUS_ACCESS_DENIED, STATUS_SUCCESS, 6], "... but not where it is refused"
    assert seen[18:21] == [STATUS_SUCCESS, 0, STATUS_SUCCESS]
    assert seen[21] == 0x78AEEEF9, "all of them, the filter's close and the removal last"
    assert seen[22] == 1, "and it is nobody's device any more"


def test_a_device_that_was_pulled_out_answers_so_and_closes_what_is_open(probe: Agent) -> None:
    seen = numbers(probe, REMOVED)
    assert seen[:3] == [STATUS_SUCCESS, STATUS_SUCCESS, STATUS_INVALID_DEVICE_REQUEST], "before"
    assert seen[3:7] == [STATUS_SUCCESS, STATUS_DEVICE_REMOVED, STATUS_DEVICE_REMOVED, STATUS_SUCCESS], (
        "after"
    )
    assert seen[7:10] == [0x123B, STATUS_SUCCESS, 0xF9], "told; closed for the open handle, and removed"
    assert seen[10:13] == [STATUS_FILE_CLOSED, STATUS_NO_SUCH_DEVICE, STATUS_SUCCESS], (
        "handles that outlive it"
    )
    assert seen[13:16] == [STATUS_NO_SUCH_DEVICE] * 3, "PnP, power, WMI"
    assert seen[16:18] == [STATUS_SUCCESS, 0], "nothing is closed twice"


def test_a_filter_may_be_created_and_closed_later(probe: Agent) -> None:
    seen = numbers(probe, LATE)
    assert seen[:3] == [STATUS_SUCCESS, STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS], (
        "opened; a filter; closed"
    )
    assert seen[3:6] == [STATUS_ACCESS_DENIED, STATUS_FILE_CLOSED, STATUS_SUCCESS], "refused, later"
    assert seen[6:8] == [STATUS_DRIVER_INTERNAL_ERROR, STATUS_SUCCESS], (
        "with STATUS_PENDING, which is no answer"
    )
    assert seen[8:11] == [STATUS_SUCCESS, STATUS_SUCCESS, 0xF], (
        "removed meanwhile: the filter's close has begun"
    )
    assert seen[11:13] == [STATUS_SUCCESS, 9], "the handle's close waits for it, and then the device ends"


def test_a_pin_may_be_created_and_closed_later(probe: Agent) -> None:
    seen = numbers(probe, LATE_PINS)
    assert seen[:4] == [STATUS_SUCCESS, 1, STATUS_SUCCESS, 0]
    assert seen[4:7] == [STATUS_INVALID_PARAMETER, 0, 0], "refused, later"


def test_power_goes_up_from_below_and_down_from_above(probe: Agent) -> None:
    seen = numbers(probe, POWER)
    assert seen[:2] == [STATUS_SUCCESS, 0x4111], "asked: device to D3 from D0, the system where it is"
    assert seen[2:4] == [STATUS_SUCCESS, 0x1141], "asked: the system to S3"
    assert seen[4:6] == [STATUS_DEVICE_BUSY, 0], "refused, and nobody below hears of it"
    assert seen[6:8] == [STATUS_SUCCESS, 4], "the system sleeps"
    assert seen[8:10] == [STATUS_SUCCESS, 0x414], "down to D3"
    assert seen[10:12] == [STATUS_SUCCESS, 0x141], "up to D0"
    assert seen[12:14] == [STATUS_SUCCESS, 0], "where it is already, no routine is called"
    assert seen[14:16] == [STATUS_SUCCESS, 5]
    assert seen[16:19] == [STATUS_UNSUCCESSFUL, 4, STATUS_SUCCESS], "what fails below does not go on here"


def test_devices_that_do_not_come_to_be_leave_nothing(probe: Agent) -> None:
    seen = numbers(probe, FAILURES)
    assert seen[:5] == [STATUS_INVALID_PARAMETER] * 5, "descriptors, and an extension that is too small"
    assert seen[5:8] == [STATUS_NO_SUCH_DEVICE, 1, 1], "refused by Add: off the stack again"
    assert seen[8:10] == [STATUS_UNSUCCESSFUL, 0x19], "by the device below: not even Start is called"
    assert seen[10:12] == [STATUS_DEVICE_CONFIGURATION_ERROR, 0x129], "by Start"
    assert seen[12:14] == [STATUS_DEVICE_CONFIGURATION_ERROR, 0x1239], "by PostStart"
    assert seen[14:16] == [STATUS_DRIVER_INTERNAL_ERROR, 0x129], "a start that is pending for ever"
    assert seen[16:19] == [1, 0x19, 1], "and one that its driver ends itself"


def test_routines_for_a_table_of_the_drivers_own(probe: Agent) -> None:
    seen = numbers(probe, TABLE)
    assert seen[:2] == [1, STATUS_INVALID_DEVICE_REQUEST]
    assert seen[2:4] == [0, 0], "fast I/O: the long way"
    assert seen[4] == STATUS_INVALID_DEVICE_REQUEST
    assert seen[5:8] == [STATUS_NOT_IMPLEMENTED] * 3, "not there: the IRP is completed all the same"
    assert seen[8:11] == [STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_SUCCESS]
    assert seen[11] == STATUS_PROPSET_NOT_FOUND


def test_a_table_is_served_without_a_handler_around_it(probe: Agent) -> None:
    seen = numbers(probe, ALONE)
    assert seen[:2] == [STATUS_SUCCESS, 0x1001]
    assert seen[2:5] == [STATUS_INVALID_BUFFER_SIZE, STATUS_NOT_FOUND, STATUS_PROPSET_NOT_FOUND]
    assert seen[5:7] == [STATUS_SUCCESS, 0xF0 ^ 0xFF], "a method"
    assert seen[7:10] == [STATUS_INVALID_DEVICE_REQUEST] * 2 + [STATUS_DEVICE_BUSY], "of no request"


def test_a_handler_learns_the_node_that_it_is_asked_for(probe: Agent) -> None:
    record = method(probe, 10, flags=SEND | ON_NODE, after=struct.pack("<II", 0, 0))
    assert (record.returned, record.data[:4]) == (STATUS_SUCCESS, struct.pack("<I", 0x200)), describe(record)
