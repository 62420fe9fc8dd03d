# SPDX-License-Identifier: Apache-2.0
"""Filters of a device's second and further filter factories, on Wine (factories/)."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

import drivers.build
from drivers import folder
from drivers.package import Package
from harness.agent import device_interfaces
from harness.agent.encode import Encoder
from tests.component.agent import (
    ABI,
    KERNEL,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS,
    USER,
    Agent,
    C,
    agent_of,
    describe,
    handshake,
)
from tests.component.factory_words import (
    CLOSED,
    ENABLE,
    FIRST,
    HANDSHAKE,
    HARDWARE_ID,
    LATE,
    LATER,
    MAKE,
    OF_CLOSED,
    OF_FIRST,
    OF_SECOND,
    REFERENCES,
    SECOND,
    SHARED,
    SIDES,
    STATUS_ACCESS_DENIED,
    STATUS_DEVICE_BUSY,
    STATUS_NO_SUCH_DEVICE,
    STATUS_OBJECT_NAME_NOT_FOUND,
    TELL,
    UNMAKE,
    WHO,
    counts,
    ended,
    get,
    instances,
    made,
    make_filter,
    open_filter,
    own,
    path,
    since,
    ulong,
)
from tests.component.wine import WineGuest, copy_of

pytestmark = pytest.mark.component

SOURCES = Path(__file__).with_name("factories")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return folder.package(SOURCES, tmp_path_factory.mktemp("factories"))


@pytest.fixture(scope="module")
def factories_guest(build: drivers.build.Build, bare_template: Path, package: Package) -> Iterator[WineGuest]:
    """A guest with the driver's device."""
    with copy_of(bare_template) as prefix:
        guest = WineGuest(prefix, build.agent, one_cpu=False)
        try:
            guest.hold()
            guest.must("install-crash-recorder")
            guest.must("install-ks", guest.put(build.refks, "ks.sys"))
            guest.must("install-client", guest.put(build.client, "ksclient.sys"))
            for file in (package.inf, *package.sys, package.cat):
                guest.put(file)
            guest.must("install-device", f"C:\\kshs\\{package.inf.name}", HARDWARE_ID, "KshsFactories")
            yield guest
        finally:
            guest.stop()


@pytest.fixture
def bare(factories_guest: WineGuest) -> Iterator[Agent]:
    """An agent with nothing open."""
    with agent_of(factories_guest) as agent:
        yield agent


@pytest.fixture
def agent(bare: Agent) -> Agent:
    """An agent with a filter of the first factory in kernel slot 9, to ask what the driver saw."""
    bare.done("OPEN_FILTER", side=KERNEL, slot=9, guid=OF_FIRST, value=0)
    return bare


# ---- instances ----------------------------------------------------------------------


def test_each_factory_is_an_instance_of_its_categories(agent: Agent) -> None:
    second, closed = REFERENCES[SECOND], REFERENCES[CLOSED]
    assert sorted(instances(agent), key=str) == sorted(
        [
            (SHARED, 0, ""),
            (SHARED, 1, second),
            (OF_FIRST, 0, ""),
            (OF_SECOND, 0, second),
            (OF_CLOSED, 0, closed),
        ],
        key=str,
    )
    filters = device_interfaces.filters(device_interfaces.ask(agent.session, Encoder(ABI), HARDWARE_ID))
    assert sorted(len(one.interfaces) for one in filters) == [1, 2, 2]


@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES.keys())
@pytest.mark.parametrize(
    ("category", "index", "factory"),
    [(SHARED, 0, FIRST), (SHARED, 1, SECOND), (OF_FIRST, 0, FIRST), (OF_SECOND, 0, SECOND)],
    ids=["shared, first", "shared, second", "first's own", "second's own"],
)
def test_an_instance_is_a_filter_of_its_factory(
    agent: Agent, side: int, category: uuid.UUID, index: int, factory: int
) -> None:
    before = counts(agent)
    assert made(open_filter(agent, category, index, side=side)) == (factory == SECOND)
    assert ulong(agent, WHO, slot=0, side=side) == factory
    # The filter that was opened on the way is closed by then.
    assert since(agent, before) == ({SECOND: (1, 0), FIRST: (1, 1)} if factory == SECOND else {FIRST: (1, 0)})
    agent.close(0, side=side)
    assert ulong(agent, WHO) == FIRST
    assert since(agent, before) == ({SECOND: (1, 1), FIRST: (1, 1)} if factory == SECOND else {FIRST: (1, 1)})


@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES.keys())
def test_there_is_no_instance_behind_the_last(agent: Agent, side: int) -> None:
    for category, index in ((SHARED, 2), (OF_FIRST, 1), (OF_SECOND, 1), (own(0x77), 0)):
        record = open_filter(agent, category, index, side=side)
        assert record.outcome == C["KSHS_OUTCOME_REFUSED"], describe(record)
        assert record.detail == STATUS_NO_SUCH_DEVICE, describe(record)


# ---- pins ---------------------------------------------------------------------------


@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES.keys())
def test_a_pin_of_it_is_one_of_the_second_factory_s_filter(agent: Agent, side: int) -> None:
    before = counts(agent)
    made(open_filter(agent, OF_SECOND, side=side))
    made(open_filter(agent, OF_FIRST, slot=2, side=side))
    record = agent.open_pin(1, 2, side=side)
    assert record.flags & C["KSHS_REC_MADE"], describe(record)
    agent.open_pin(3, 2, side=side, filter_slot=2)
    if side == KERNEL:
        for slot, added in ((1, 0x202), (3, 0x102)):
            answer = agent.request(slot, handshake(argument1=5))
            assert answer.data[:32] == handshake(argument1=5 + added), describe(answer)
    else:
        answer = agent.request(1, handshake(), side=USER, route=C["KSHS_ROUTE_EVENT"])
        assert ended(answer) == STATUS_INVALID_DEVICE_REQUEST, describe(answer)
    for slot in (3, 1, 2, 0):
        agent.close(slot, side=side)
    assert ulong(agent, WHO) == FIRST
    # Two opens and what they were made of; a filter of the first factory, and the one behind its pin.
    assert since(agent, before) == {SECOND: (2, 2), FIRST: (4, 4)}


def test_pins_of_two_filters_of_it_shake_hands(agent: Agent) -> None:
    made(open_filter(agent, OF_SECOND))
    made(open_filter(agent, SHARED, 1, slot=1))
    agent.open_pin(2, 0)
    agent.open_pin(3, 1, filter_slot=1, onto=2)
    assert struct.unpack("<QQ", get(agent, HANDSHAKE, 16, slot=3)) == (STATUS_SUCCESS, 0x200)
    assert struct.unpack("<QQ", get(agent, HANDSHAKE, 16, slot=2)) == (STATUS_SUCCESS, 0x201)


def test_nothing_is_left_of_it(bare: Agent) -> None:
    for _ in range(2):  # the driver and the client have what they keep for good
        made(open_filter(bare, OF_SECOND))
        made(open_filter(bare, SHARED, 1, slot=1))
        bare.open_pin(2, 0)
        bare.open_pin(3, 1, filter_slot=1, onto=2)
        assert ended(make_filter(bare, "nobody", slot=0)) == STATUS_OBJECT_NAME_NOT_FOUND
        record = bare.done(
            "RELEASE_ALL", side=KERNEL, flags=C["KSHS_STEP_COUNT"], out_length=len(ABI.cs.kshs_left)
        )
        left = ABI.cs.kshs_left(record.data)
    assert (left.looked, left.kept, left.references) == (4, 0, 0)
    for name in ("device_references", "base_references"):
        assert getattr(left.before, name) == getattr(left.after, name), name
    assert left.before.held.device_inside == left.after.held.device_inside
    assert left.before.held.device_references == left.after.held.device_references


# ---- the control --------------------------------------------------------------------


@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES.keys())
def test_names(agent: Agent, side: int) -> None:
    before = counts(agent)
    made(open_filter(agent, OF_FIRST, side=side))
    for wrong in ("nobody", "", b"\x41\0\x42", REFERENCES[SECOND][:-1], "late"):
        record = make_filter(agent, wrong, side=side)
        assert ended(record) == STATUS_OBJECT_NAME_NOT_FOUND, (wrong, describe(record))
        assert ulong(agent, WHO, slot=0, side=side) == FIRST
    # Its own name changes nothing.
    assert ended(make_filter(agent, f"{{{own(0x11)}}}", side=side)) == STATUS_SUCCESS
    assert since(agent, before) == {FIRST: (1, 0)}
    assert ended(make_filter(agent, REFERENCES[SECOND].upper(), side=side)) == STATUS_SUCCESS
    assert ended(make_filter(agent, REFERENCES[SECOND], side=side)) == STATUS_SUCCESS
    assert since(agent, before) == {FIRST: (1, 1), SECOND: (1, 0)}
    # And back, by its name.
    assert ended(make_filter(agent, f"{{{own(0x11)}}}", side=side)) == STATUS_SUCCESS
    assert ulong(agent, WHO, slot=0, side=side) == FIRST
    agent.close(0, side=side)
    assert ulong(agent, WHO) == FIRST
    assert since(agent, before) == {FIRST: (2, 2), SECOND: (1, 1)}


@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES.keys())
def test_a_path_with_a_wrong_name_opens_nothing(agent: Agent, side: int) -> None:
    before = counts(agent)
    record = agent.run("OPEN_DEVICE", path(OF_SECOND, "nobody"), side=side, slot=0)
    assert record.returned == STATUS_OBJECT_NAME_NOT_FOUND, describe(record)
    assert record.flags & C["KSHS_REC_MADE"], describe(record)
    record = agent.run("OPEN_DEVICE", path(own(0x77), REFERENCES[SECOND]), side=side, slot=0)
    assert record.returned == STATUS_OBJECT_NAME_NOT_FOUND, describe(record)
    assert ulong(agent, WHO) == FIRST
    assert since(agent, before) == {FIRST: (1, 1)}
    # The slot is free.
    assert made(agent.run("OPEN_DEVICE", path(OF_SECOND, REFERENCES[SECOND]), side=side, slot=0))
    assert ulong(agent, WHO, slot=0, side=side) == SECOND


def test_a_filter_with_pins_stays_what_it_is(agent: Agent) -> None:
    """On Wine its handle is a pin's then; a request that is under way stands for the others."""
    ulong(agent, TELL, SECOND, LATER)
    made(open_filter(agent, OF_FIRST))
    pending = agent.submit(
        0,
        REFERENCES[SECOND].encode("utf-16-le"),
        control=C["IOCTL_KSHS_MAKE_FILTER"],
        route=C["KSHS_ROUTE_IRP"],
        in_length=76,
        out_length=0,
        flags=C["KSHS_STEP_ASYNC"],
        token=1,
    )
    assert pending.result().outcome == C["KSHS_OUTCOME_STARTED"]
    record = make_filter(agent, f"{{{own(0x11)}}}")
    assert ended(record) == STATUS_DEVICE_BUSY, describe(record)
    waited = agent.run("WAIT", side=KERNEL, token=1, timeout_ms=10000)
    assert ended(waited) == STATUS_SUCCESS, describe(waited)
    assert ulong(agent, WHO, slot=0) == SECOND


def test_a_pin_is_made_nothing_else(agent: Agent) -> None:
    made(open_filter(agent, OF_SECOND))
    agent.open_pin(1, 0)
    record = make_filter(agent, REFERENCES[SECOND], slot=1)
    assert ended(record) == STATUS_INVALID_DEVICE_REQUEST, describe(record)
    record = agent.request(1, control=C["IOCTL_KSHS_MAKE_PIN"], route=C["KSHS_ROUTE_IRP"], out_length=0)
    assert ended(record) == STATUS_INVALID_DEVICE_REQUEST, describe(record)


def test_user_mode_may_be_denied(agent: Agent) -> None:
    assert made(open_filter(agent, OF_CLOSED))
    assert ulong(agent, WHO, slot=0) == CLOSED
    before = counts(agent)
    record = open_filter(agent, OF_CLOSED, side=USER)
    assert record.returned == STATUS_INVALID_DEVICE_REQUEST, describe(record)
    assert ulong(agent, WHO) == FIRST
    assert since(agent, before) == {FIRST: (1, 1)}


# ---- what the driver answers ----------------------------------------------------------


@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES.keys())
@pytest.mark.parametrize("later", [0, LATER], ids=["at once", "later"])
def test_a_refused_filter_leaves_the_first_one_s(agent: Agent, side: int, later: int) -> None:
    before = counts(agent)
    made(open_filter(agent, OF_FIRST, side=side))
    ulong(agent, TELL, SECOND, later | STATUS_ACCESS_DENIED)
    record = make_filter(agent, REFERENCES[SECOND], side=side)
    assert ended(record) == STATUS_ACCESS_DENIED, describe(record)
    assert ulong(agent, WHO, slot=0, side=side) == FIRST
    assert since(agent, before) == {FIRST: (1, 0)}
    ulong(agent, TELL, SECOND, later)
    record = make_filter(agent, REFERENCES[SECOND], side=side)
    assert ended(record) == STATUS_SUCCESS, describe(record)
    assert ulong(agent, WHO, slot=0, side=side) == SECOND
    agent.close(0, side=side)
    assert ulong(agent, WHO) == FIRST
    assert since(agent, before) == {FIRST: (1, 1), SECOND: (1, 1)}


@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES.keys())
def test_the_first_factory_s_refusal_is_not_the_second_s(agent: Agent, side: int) -> None:
    before = counts(agent)
    ulong(agent, TELL, FIRST, STATUS_ACCESS_DENIED)
    assert made(open_filter(agent, OF_SECOND, side=side))
    assert ulong(agent, WHO, slot=0, side=side) == SECOND
    agent.close(0, side=side)
    assert ulong(agent, WHO) == FIRST
    assert since(agent, before) == {SECOND: (1, 1)}
    for factory in (FIRST, SECOND):
        ulong(agent, TELL, factory, STATUS_ACCESS_DENIED)
    record = open_filter(agent, OF_SECOND, side=side)
    assert record.returned == STATUS_ACCESS_DENIED, describe(record)
    assert ulong(agent, WHO) == FIRST
    assert since(agent, before) == {SECOND: (1, 1)}


# ---- factories that come and go --------------------------------------------------------


@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES.keys())
def test_a_factory_comes_and_goes(agent: Agent, side: int) -> None:
    listed = instances(agent)
    before = counts(agent)
    assert ulong(agent, MAKE) == STATUS_SUCCESS
    assert set(instances(agent)) - set(listed) == {(SHARED, 2, "late")}
    assert made(open_filter(agent, SHARED, 2, side=side))
    assert ulong(agent, WHO, slot=0, side=side) == LATE
    # A filter that is open outlives it.
    assert ulong(agent, UNMAKE, LATE) == STATUS_SUCCESS
    assert instances(agent) == listed
    assert ulong(agent, WHO, slot=0, side=side) == LATE
    assert open_filter(agent, SHARED, 2, slot=1, side=side).outcome == C["KSHS_OUTCOME_REFUSED"]
    record = agent.run("OPEN_DEVICE", path(SHARED, "late"), side=side, slot=1)
    assert record.returned == STATUS_OBJECT_NAME_NOT_FOUND, describe(record)
    agent.close(0, side=side)
    assert ulong(agent, WHO) == FIRST
    assert since(agent, before) == {LATE: (1, 1), FIRST: (2, 2)}


def test_a_factory_that_is_disabled_is_in_no_category(agent: Agent) -> None:
    listed = instances(agent)
    assert ulong(agent, ENABLE, SECOND, 0) == STATUS_SUCCESS
    assert set(listed) - set(instances(agent)) == {
        (SHARED, 1, REFERENCES[SECOND]),
        (OF_SECOND, 0, REFERENCES[SECOND]),
    }
    assert open_filter(agent, OF_SECOND).outcome == C["KSHS_OUTCOME_REFUSED"]
    assert ulong(agent, ENABLE, FIRST, 0) == STATUS_SUCCESS
    assert instances(agent) == [(OF_CLOSED, 0, REFERENCES[CLOSED])]
    assert ulong(agent, ENABLE, SECOND, 1) == STATUS_SUCCESS
    assert made(open_filter(agent, SHARED))
    assert ulong(agent, WHO, slot=0) == SECOND
    assert ulong(agent, ENABLE, FIRST, 1) == STATUS_SUCCESS
    assert instances(agent) == listed
