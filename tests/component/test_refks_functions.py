# SPDX-License-Identifier: Apache-2.0
"""What the functions of the reference class driver do for a minidriver that calls them (probe/)."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

import drivers.build
from drivers import folder
from harness.agent.frames import Record
from tests.component.agent import (
    KERNEL,
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_BUFFER_SIZE,
    STATUS_INVALID_PARAMETER,
    STATUS_NO_MATCH,
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
        guest = WineGuest(prefix, build.agent, one_cpu=False)
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


def test_no_call_was_in_vain(probe_guest: WineGuest, probe: Agent) -> None:
    for number in (MERGE, QUEUE_ORDER, WORKER):
        numbers(probe, number)
    assert probe_guest.must("info")["ks"]["unimplemented_calls"] == []
