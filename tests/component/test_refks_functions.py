# SPDX-License-Identifier: Apache-2.0
"""What the functions of the reference class driver do for a minidriver that calls them (probe/)."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import drivers.build
from drivers import folder
from harness.agent.frames import Record
from tests.component.agent import (
    KERNEL,
    KERNEL_ROUTES,
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_BUFFER_SIZE,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_NO_MATCH,
    STATUS_NOT_SUPPORTED,
    STATUS_SUCCESS,
    Agent,
    C,
    agent_of,
    connect,
    describe,
    handshake,
)
from tests.component.wine import WineGuest, copy_of

pytestmark = pytest.mark.component

PROBE = Path(__file__).with_name("probe")

STATUS_BUFFER_OVERFLOW = 0x80000005
STATUS_DEVICE_BUSY = 0x80000011
STATUS_OBJECT_NAME_NOT_FOUND = 0xC0000034
STATUS_CANCELLED = 0xC0000120
STATUS_NOT_FOUND = 0xC0000225
STATUS_PROPSET_NOT_FOUND = 0xC0000230

# Property numbers of probe.h.
PIN_FACTORY, NODE, CONNECTIONS, MERGE, QUEUE_ORDER, QUEUE_CANCEL, QUEUE_CANCEL_ALL, QUEUE_MOVE = range(1, 9)
QUEUE_RACE, WORKER, COUNTED_WORKER, OPEN, FORWARD, FORWARD_MORE, WILDCARD, FAST, PEND = range(9, 18)
QUEUED, RELEASE, CLOSED = range(18, 21)


def own(number: int) -> uuid.UUID:
    """A GUID of the probe's."""
    return uuid.UUID(f"3F0E7C20-8C55-4E0B-9E51-6B1D2A9C{number:04X}")


CATEGORY, PROPERTIES, PINS, TOPOLOGY, NODE_A, NODE_B, NAME = (own(n) for n in (1, 3, 4, 5, 6, 7, 8))
FORMAT_TYPE, FORMAT_A, FORMAT_B = own(9), own(10), own(11)
METHODS = own(13)
SPECIFIER_NONE = uuid.UUID("0F6417D6-C318-11D0-A43F-00A0C9223196")
KSPROPSETID_PIN = uuid.UUID("8C134960-51AD-11CF-878A-94F801C10000")
KSPROPSETID_TOPOLOGY = uuid.UUID("720D4AC0-7533-11D0-A5D6-28DB04C10000")

IOCTL_KS_PROPERTY = 0x002F0003
IOCTL_KS_METHOD = 0x002F000F
FILL = C["KSHS_OUT_FILL"] * 0x01010101

SEND = 1
SET_SUPPORT = 0x100
BASIC_SUPPORT = 0x200
GET = 1
ON_NODE = 0x10000000
FILTER_NODE = 0xFFFFFFFF
PIN_NAME = "{146F1A80-4791-11D0-A5D6-28DB04C10000}\\"

CINSTANCES, CTYPES, DATAFLOW, DATARANGES, INTERSECTION, INTERFACES, MEDIUMS, COMMUNICATION = range(8)
GLOBALCINSTANCES, NECESSARYINSTANCES, PHYSICALCONNECTION, PIN_CATEGORY, PIN_OWN_NAME = range(8, 13)
TOPOLOGY_CATEGORIES, TOPOLOGY_NODES, TOPOLOGY_CONNECTIONS, TOPOLOGY_NAME = range(4)


@pytest.fixture(scope="module")
def probe_guest(
    build: drivers.build.Build, bare_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WineGuest]:
    """A guest with the probe as its device."""
    package = folder.package(PROBE, tmp_path_factory.mktemp("probe"))
    with copy_of(bare_template) as prefix:
        guest = WineGuest(prefix, build.agent)
        try:
            guest.hold()
            guest.must("install-crash-recorder")
            guest.must("install-ks", guest.put(build.refks, "ks.sys"))
            guest.must("install-client", guest.put(build.client, "ksclient.sys"))
            for file in (package.inf, *package.sys, package.cat):
                guest.put(file)
            key = f"HKLM\\SYSTEM\\CurrentControlSet\\Control\\MediaCategories\\{{{NAME}}}"
            guest.run("reg", "add", key, "/v", "Name", "/d", "Line in", "/f")
            guest.must("install-device", f"C:\\kshs\\{package.inf.name}", "Root\\KshsProbe", "KshsProbe")
            yield guest
        finally:
            guest.stop()


@pytest.fixture
def probe(probe_guest: WineGuest) -> Iterator[Agent]:
    """An agent with a filter of the probe in kernel slot 0."""
    with agent_of(probe_guest) as agent:
        agent.done("OPEN_FILTER", side=KERNEL, slot=0, guid=CATEGORY, value=0)
        yield agent


def ask(
    agent: Agent,
    guid: uuid.UUID,
    number: int,
    room: int,
    after: bytes = b"",
    *,
    slot: int = 0,
    flags: int = GET,
) -> Record:
    """One GET of a property, whatever becomes of it."""
    record = agent.run(
        "PROPERTY",
        after,
        side=KERNEL,
        slot=slot,
        guid=guid,
        value=number,
        value2=flags,
        in_length=len(after),
        out_length=room,
        timeout_ms=60000,
        timeout=65.0,
    )
    assert record.outcome == C["KSHS_OUTCOME_DONE"], describe(record)
    return record


def get(
    agent: Agent,
    guid: uuid.UUID,
    number: int,
    room: int,
    after: bytes = b"",
    *,
    slot: int = 0,
    flags: int = GET,
) -> bytes:
    """A GET that has to succeed: the bytes that it gave out."""
    record = ask(agent, guid, number, room, after, slot=slot, flags=flags)
    assert record.returned == STATUS_SUCCESS, describe(record)
    return bytes(record.data)


def ulong(agent: Agent, number: int) -> int:
    (value,) = struct.unpack("<I", get(agent, PROPERTIES, number, 4))
    assert isinstance(value, int)
    return value


def numbers(agent: Agent, number: int, after: bytes = b"", slot: int = 0) -> list[int]:
    """What the probe saw while it called the class driver."""
    return list(struct.unpack("<24Q", get(agent, PROPERTIES, number, 24 * 8, after, slot=slot)))


def items(data: bytes, form: str) -> list[tuple[int, ...]]:
    """The items after a KSMULTIPLE_ITEM, whose size and count have to be right."""
    size, count = struct.unpack_from("<II", data)
    assert (size, 8 + count * struct.calcsize(form)) == (len(data), len(data))
    return list(struct.iter_unpack(form, data[8:]))


def guids(data: bytes) -> list[uuid.UUID]:
    size, count = struct.unpack_from("<II", data)
    assert size == len(data) == 8 + 16 * count
    return [uuid.UUID(bytes_le=data[at : at + 16]) for at in range(8, size, 16)]


def pin_request(pin_id: int) -> bytes:
    return struct.pack("<II", pin_id, 0)


# ---- pins, nodes and connections made at run time -------------------------------


def make_pin(agent: Agent, pin_id: int, slot: int = 0) -> Record:
    """Turns the very filter of a slot into its pin, which the client's own way to a pin does not."""
    data = PIN_NAME.encode("utf-16-le") + connect(pin_id)[:-64] + format_b()
    return agent.request(
        slot,
        data,
        control=C["IOCTL_KSHS_MAKE_PIN"],
        route=C["KSHS_ROUTE_CALL"],
        in_length=len(data),
        out_length=0,
    )


def format_b() -> bytes:
    parts = FORMAT_TYPE.bytes_le + FORMAT_B.bytes_le + SPECIFIER_NONE.bytes_le
    return struct.pack("<IIII", 64, 0, 0, 0) + parts


def test_a_pin_factory_made_at_run_time_makes_pins(probe: Agent) -> None:
    assert get(probe, KSPROPSETID_PIN, CTYPES, 4) == struct.pack("<I", 1)
    assert make_pin(probe, 1).returned == STATUS_INVALID_PARAMETER
    assert [ulong(probe, PIN_FACTORY) for _ in range(3)] == [1, 2, 3]
    assert get(probe, KSPROPSETID_PIN, CTYPES, 4) == struct.pack("<I", 4)
    # The first one is as it was, the others are what was asked for: data flow OUT is 2, IN is 1.
    assert [get(probe, KSPROPSETID_PIN, DATAFLOW, 4, pin_request(n))[0] for n in range(4)] == [1, 2, 2, 2]
    assert ask(probe, KSPROPSETID_PIN, DATAFLOW, 4, pin_request(4)).returned == STATUS_INVALID_PARAMETER
    assert get(probe, KSPROPSETID_PIN, CINSTANCES, 8, pin_request(2)) == struct.pack("<II", 2, 0)
    record = make_pin(probe, 2)
    assert record.returned == STATUS_SUCCESS, describe(record)
    record = probe.request(0, handshake(argument1=5))
    assert record.returned == STATUS_SUCCESS, describe(record)
    assert record.data[:32] == handshake(argument1=5 + 0x100 + 2)


def test_what_is_made_at_run_time_belongs_to_one_filter(probe: Agent) -> None:
    probe.done("OPEN_FILTER", side=KERNEL, slot=1, guid=CATEGORY, value=0)
    assert ulong(probe, PIN_FACTORY) == 1
    assert ulong(probe, NODE) == 1
    assert get(probe, KSPROPSETID_PIN, CTYPES, 4, slot=1) == struct.pack("<I", 1)
    assert guids(get(probe, KSPROPSETID_TOPOLOGY, TOPOLOGY_NODES, 64, slot=1)) == [NODE_A]


def test_a_pin_outlives_the_making_of_more_factories(probe: Agent) -> None:
    """Its descriptor is one that was replaced since, and is still there."""
    probe.done("OPEN_FILTER", side=KERNEL, slot=1, guid=CATEGORY, value=0)
    for slot in (0, 1):
        for _ in range(50):
            get(probe, PROPERTIES, PIN_FACTORY, 4, slot=slot)
        assert make_pin(probe, 40 + slot, slot).returned == STATUS_SUCCESS
    for slot in (0, 1):
        answer = probe.request(slot, handshake(argument1=0)).data[:32]
        assert answer == handshake(argument1=0x100 + 40 + slot)
        probe.close(slot)


# ---- KSPROPSETID_Topology --------------------------------------------------------


def test_the_topology_of_a_filter(probe: Agent) -> None:
    def connections() -> list[tuple[int, ...]]:
        return items(get(probe, KSPROPSETID_TOPOLOGY, TOPOLOGY_CONNECTIONS, 256), "<IIII")

    assert guids(get(probe, KSPROPSETID_TOPOLOGY, TOPOLOGY_CATEGORIES, 64)) == [CATEGORY]
    assert guids(get(probe, KSPROPSETID_TOPOLOGY, TOPOLOGY_NODES, 64)) == [NODE_A]
    # The default: every pin at the node's pin of the same number, in the direction of its data.
    assert connections() == [(FILTER_NODE, 0, 0, 0)]
    assert ulong(probe, PIN_FACTORY) == 1
    assert connections() == [(FILTER_NODE, 0, 0, 0), (0, 1, FILTER_NODE, 1)]
    assert ulong(probe, NODE) == 1
    assert guids(get(probe, KSPROPSETID_TOPOLOGY, TOPOLOGY_NODES, 64)) == [NODE_A, NODE_B]
    added = [(FILTER_NODE, 0, 1, 0), (1, 1, FILTER_NODE, 1)]
    for count in (1, 2):
        ulong(probe, CONNECTIONS)
        assert connections() == added * count


def test_a_list_tells_its_size_first(probe: Agent) -> None:
    record = ask(probe, KSPROPSETID_TOPOLOGY, TOPOLOGY_NODES, 0)
    assert (record.returned, record.information) == (STATUS_BUFFER_OVERFLOW, 24), describe(record)
    assert get(probe, KSPROPSETID_TOPOLOGY, TOPOLOGY_NODES, 4) == struct.pack("<I", 24)
    assert ask(probe, KSPROPSETID_TOPOLOGY, TOPOLOGY_NODES, 23).returned == STATUS_BUFFER_TOO_SMALL


@pytest.mark.parametrize("flags", [GET, GET | ON_NODE], ids=["of the filter", "of the node"])
def test_a_node_is_called_by_its_name_in_the_registry(probe: Agent, flags: int) -> None:
    def name(node: int, room: int = 100) -> Record:
        return ask(probe, KSPROPSETID_TOPOLOGY, TOPOLOGY_NAME, room, struct.pack("<II", node, 0), flags=flags)

    assert name(1).returned == STATUS_INVALID_PARAMETER
    assert ulong(probe, NODE) == 1
    text = "Line in\0".encode("utf-16-le")
    assert (name(1).returned, name(1).data) == (STATUS_SUCCESS, text)
    assert (name(1, 0).returned, name(1, 0).information) == (STATUS_BUFFER_OVERFLOW, len(text))
    assert name(1, len(text) - 1).returned == STATUS_BUFFER_TOO_SMALL
    assert name(0).returned == STATUS_OBJECT_NAME_NOT_FOUND  # NODE_A, which nobody gave a name


def test_a_topology_of_the_drivers_own(probe: Agent) -> None:
    assert guids(get(probe, TOPOLOGY, TOPOLOGY_CATEGORIES, 64)) == [CATEGORY]
    assert guids(get(probe, TOPOLOGY, TOPOLOGY_NODES, 64)) == [NODE_B, NODE_A]
    connections = items(get(probe, TOPOLOGY, TOPOLOGY_CONNECTIONS, 64), "<IIII")
    assert connections == [(FILTER_NODE, 0, 0, 1), (0, 0, 1, 1)]
    for node, status in ((1, STATUS_OBJECT_NAME_NOT_FOUND), (2, STATUS_INVALID_PARAMETER)):
        record = ask(probe, TOPOLOGY, TOPOLOGY_NAME, 64, struct.pack("<II", node, 0))
        assert record.returned == status, describe(record)


# ---- KSPROPSETID_Pin by descriptors of the driver's own ----------------------------


def data_range(subformat: uuid.UUID, *members: int, kind: uuid.UUID = FORMAT_TYPE) -> bytes:
    tail = struct.pack(f"<{len(members)}I", *members)
    head = struct.pack("<IIII", 64 + len(tail), 0, 0, 0)
    return head + kind.bytes_le + subformat.bytes_le + SPECIFIER_NONE.bytes_le + tail


def test_static_properties_of_pins_of_the_drivers_own(probe: Agent) -> None:
    assert get(probe, PINS, CTYPES, 4) == struct.pack("<I", 2)
    assert [get(probe, PINS, DATAFLOW, 4, pin_request(n))[0] for n in range(2)] == [1, 2]
    assert [get(probe, PINS, COMMUNICATION, 4, pin_request(n))[0] for n in range(2)] == [1, 2]
    both = get(probe, PINS, DATARANGES, 256, pin_request(1))
    assert both == struct.pack("<II", 8 + 72 + 64, 2) + data_range(FORMAT_B) + data_range(FORMAT_A, 8, 48)
    (interface,) = items(get(probe, PINS, INTERFACES, 64, pin_request(0)), "<16sII")
    assert interface[1:] == (0, 0)  # KSINTERFACE_STANDARD_STREAMING
    assert get(probe, PINS, PIN_CATEGORY, 16, pin_request(1)) == NODE_A.bytes_le
    assert ask(probe, PINS, PIN_CATEGORY, 16, pin_request(0)).returned == STATUS_NOT_FOUND
    assert get(probe, PINS, PIN_OWN_NAME, 100, pin_request(1)) == "Line in\0".encode("utf-16-le")
    assert ask(probe, PINS, DATAFLOW, 4, pin_request(2)).returned == STATUS_INVALID_PARAMETER
    assert ask(probe, PINS, DATAFLOW, 4).returned == STATUS_INVALID_BUFFER_SIZE
    assert ask(probe, PINS, DATARANGES, 100, pin_request(1)).returned == STATUS_BUFFER_TOO_SMALL


@pytest.mark.parametrize("pin_id", [0, 1], ids=["KsPinDataIntersection", "KsPinDataIntersectionEx"])
def test_an_intersection_asks_the_handler_for_what_matches(probe: Agent, pin_id: int) -> None:
    def intersect(*ranges: bytes, room: int = 100) -> tuple[Record, int]:
        """The answer, and how often the handler was asked."""
        after = (
            pin_request(pin_id)
            + struct.pack("<II", 8 + sum(map(len, ranges)), len(ranges))
            + b"".join(ranges)
        )
        record = ask(probe, PINS, INTERSECTION, room, after)
        return record, struct.unpack("<II", get(probe, PINS, CINSTANCES, 8, pin_request(pin_id)))[1]

    wanted = data_range(FORMAT_A, 16, 32)
    record, asked = intersect(wanted)
    assert (record.returned, record.data, asked) == (STATUS_SUCCESS, data_range(FORMAT_A, 16, 16), 1)
    record, asked = intersect(wanted, room=0)
    assert (record.returned, record.information, asked) == (STATUS_BUFFER_OVERFLOW, 72, 1), describe(record)
    # A foreign one never reaches the handler, one that it declines is followed by the next.
    record, asked = intersect(data_range(FORMAT_A, kind=uuid.uuid4()), wanted)
    assert (record.returned, asked) == (STATUS_SUCCESS, 1), describe(record)
    record, asked = intersect(data_range(FORMAT_A), wanted)
    assert (record.returned, record.data, asked) == (STATUS_SUCCESS, data_range(FORMAT_A, 16, 16), 2)
    record, asked = intersect(data_range(FORMAT_A, kind=uuid.uuid4()))
    assert (record.returned, asked) == (STATUS_NO_MATCH, 0), describe(record)
    # What matches several ranges of the pin goes on until one is taken; a handler that is not told which is
    # asked once.
    record, asked = intersect(data_range(uuid.UUID(int=0), 16, 32))
    assert (record.returned, asked) == (STATUS_SUCCESS, 1 + pin_id), describe(record)
    record, asked = intersect(wanted[:60])
    assert (record.returned, asked) == (STATUS_INVALID_BUFFER_SIZE, 0), describe(record)


# ---- automation tables ---------------------------------------------------------------


def test_merged_tables_have_the_items_of_both(probe: Agent) -> None:
    seen = numbers(probe, MERGE)
    assert seen[:2] == [STATUS_SUCCESS, 1], "two times nothing changes nothing"
    assert seen[2:6] == [3, 80, 3, 1], "sets, the longer item's size, items of the common set, its fast ones"
    assert seen[6:8] == [0x321, 0x2211], "item ids; what follows the items of A, and zeros for B"
    assert seen[8:12] == [1, 1, 2, 0x20], "methods of B alone; events, the common one is of A"
    assert seen[12:14] == [0, 1], "an old table leaves the bag, the new one is in it"
    assert seen[14:16] == [3, 7]


def test_a_pin_answers_the_properties_of_a_merged_table(probe: Agent) -> None:
    assert ulong(probe, PIN_FACTORY) == 1
    assert make_pin(probe, 1).returned == STATUS_SUCCESS
    answers = {
        (own(0x11), 1): 0xA01,
        (own(0x11), 2): 0xA02,  # both have it, A wins
        (own(0x11), 3): 0xB03,
        (own(0x12), 7): 0xA07,
        (own(0x13), 5): 0xB05,
    }
    for (guid, number), answer in answers.items():
        assert get(probe, guid, number, 4) == struct.pack("<I", answer)
    assert ask(probe, own(0x11), 5, 4).returned == STATUS_NOT_FOUND
    assert ask(probe, own(0x14), 1, 4).returned == STATUS_PROPSET_NOT_FOUND


# ---- methods ----------------------------------------------------------------------------


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


def test_no_call_was_in_vain(probe_guest: WineGuest, probe: Agent) -> None:
    for number in (MERGE, QUEUE_ORDER, WORKER):
        numbers(probe, number)
    assert probe_guest.must("info")["ks"]["unimplemented_calls"] == []
