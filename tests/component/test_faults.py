# SPDX-License-Identifier: Apache-2.0
"""Drivers that fault, stop the kernel or never return: what the agent says, and how a session heals."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

import drivers.build
from harness.evidence.incident_stacks import concerned, threads, told
from harness.evidence.wine_crash import DriverSymbols
from harness.guest_info import CrashRecord
from harness.guests import DriverFiles
from tests.component.agent import KERNEL_ROUTES, STATUS_SUCCESS, Agent, C, agent_of, describe
from tests.component.conftest import start
from tests.component.wine import WineGuest

pytestmark = pytest.mark.component

#: Requests whose threads' stacks do not fit into one answer of the agent.
_MANY_HUNG = 120


def crashes(agent: Agent) -> list[dict[str, Any]]:
    record = agent.done("CRASHES", side=C["KSHS_SIDE_USER"])
    value = json.loads(record.data) if record.data else []
    assert isinstance(value, list), value
    return value


def crashes_soon(agent: Agent) -> list[dict[str, Any]]:
    """The recorder runs beside the agent and needs a moment."""
    deadline = time.monotonic() + 10
    while not (found := crashes(agent)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def symbols_of(build: drivers.build.Build) -> DriverSymbols:
    """Of what `install` deploys."""
    images = {path.name: path for path in (build.client, build.refks, *build.avshs.sys)}
    return DriverSymbols(DriverFiles(images, tuple(build.pdbs)))


def assert_healed(guest: WineGuest, build: drivers.build.Build) -> None:
    """After the end of the session a new one works at once, with nothing installed anew."""
    guest.stop()
    start(guest, build)
    with agent_of(guest) as agent:
        agent.open_filter()
        agent.open_pin(1, 0)
        assert agent.request(1).returned == STATUS_SUCCESS


@pytest.mark.parametrize("route", KERNEL_ROUTES.values(), ids=KERNEL_ROUTES)
def test_a_fault_is_lost_and_recorded(
    broken_guest: WineGuest, build: drivers.build.Build, route: int
) -> None:
    with agent_of(broken_guest) as agent:
        agent.open_filter()
        crashes(agent)  # those of earlier tests
        agent.behave(0, "FAULT")
        agent.open_pin(1, 0)
        record = agent.request(1, route=route)
        assert record.outcome == C["KSHS_OUTCOME_LOST"], describe(record)
        found = crashes_soon(agent)
        assert len(found) == 1, found
        text = json.dumps(found[0]).lower()
        assert "c0000005" in text, found
        assert "avshs" in text, found
        named = symbols_of(build).named("", CrashRecord.of(found[0]), "handshake")
        assert named is not None
        assert named.place.startswith("avshs.sys!"), named
        assert "inlined into AvshsPinHandshake (behaviour.c:" in named.place, named
        assert any("RefksHandshake (handshake.c:" in caller for caller in named.callers), named
        text = "exception 0xc0000005|write|avshs.sys!AvshsPinHandshake|in handshake"
        assert named.signature.text == text, found
        assert crashes(agent) == []  # each is told once
        later = agent.run("CLOSE", slot=1)
        assert later.outcome != C["KSHS_OUTCOME_DONE"], describe(later)
    assert_healed(broken_guest, build)


def test_a_bugcheck_is_lost_and_says_its_code(broken_guest: WineGuest, build: drivers.build.Build) -> None:
    with agent_of(broken_guest) as agent:
        agent.open_filter()
        agent.behave(2, "BUGCHECK", status=0xE2, value=0x1111, value2=0x2222)
        agent.open_pin(1, 2)
        record = agent.request(1)
        assert record.outcome == C["KSHS_OUTCOME_LOST"], describe(record)
    # Wine's kernel says it on the stderr of the session, and that is all there is.
    assert "KeBugCheckEx" in broken_guest.words(), broken_guest.words()
    line = next(line for line in broken_guest.words().splitlines() if "KeBugCheckEx" in line).lower()
    for parameter in ("e2", "1111", "2222"):
        assert parameter in line, line
    assert_healed(broken_guest, build)


@pytest.mark.parametrize("route", KERNEL_ROUTES.values(), ids=KERNEL_ROUTES)
def test_a_hang_is_told_and_the_agent_goes_on(
    broken_guest: WineGuest, build: drivers.build.Build, route: int
) -> None:
    with agent_of(broken_guest) as agent:
        agent.open_filter()
        agent.behave(0, "HANG")
        agent.open_pin(1, 0)
        begun = time.monotonic()
        record = agent.request(1, route=route, timeout_ms=700)
        assert record.outcome == C["KSHS_OUTCOME_HUNG"], describe(record)
        assert 0.6 <= time.monotonic() - begun < 10
        assert agent.run("NOP").outcome == C["KSHS_OUTCOME_DONE"]
    assert_healed(broken_guest, build)


@pytest.mark.parametrize(("kind", "function"), [("HANG", "NeverReturn"), ("LOOP", "NeverLetGo")])
def test_the_stack_of_a_hung_driver_is_told(
    broken_guest: WineGuest, build: drivers.build.Build, kind: str, function: str
) -> None:
    """By the unwind data of every image on the way: from the sample's callback to the client's thread."""
    with agent_of(broken_guest) as agent:
        agent.open_filter()
        agent.behave(0, kind)
        agent.open_pin(1, 0)
        record = agent.request(1, route=C["KSHS_ROUTE_IRP"], timeout_ms=700)
        assert record.outcome == C["KSHS_OUTCOME_HUNG"], describe(record)
        asked = json.loads(agent.done("THREADS", timeout_ms=20_000, timeout=30.0).data)
        found = threads(broken_guest.must("threads"))
        assert agent.run("NOP").outcome == C["KSHS_OUTCOME_DONE"]
    (hung,) = concerned(found, frozenset({"avshs.sys"}))
    (same,) = concerned(threads(asked), frozenset({"avshs.sys"}))
    assert same.number == hung.number
    # A loop may be anywhere in itself.
    assert same.frames[-20:] == hung.frames[-20:] if kind == "HANG" else len(same.frames) == len(hung.frames)
    assert [(one["left_out"], bool(one["modules"])) for one in asked["processes"]] == [
        (0, True) for one in asked["processes"]
    ]
    modules = [module.lower() for module, _ in hung.frames]
    place = modules.index("avshs.sys")
    assert modules[place + 1 : place + 5] == ["ks.sys", "ks.sys", "ntoskrnl.exe", "ksclient.sys"], modules
    assert modules[-1] == "ntdll.dll", "to the beginning of the thread"
    files = {path.name: path for path in (build.client, build.refks, *build.avshs.sys)}
    (line,) = told([hung], DriverFiles(files, tuple(build.pdbs)))
    assert function in line and "AvshsPinHandshake (behaviour.c:" in line, line
    assert_healed(broken_guest, build)


def test_stacks_beyond_a_payload_are_left_out(broken_guest: WineGuest, build: drivers.build.Build) -> None:
    with agent_of(broken_guest) as agent:
        agent.open_filter()
        agent.behave(0, "HANG")
        agent.open_pin(1, 0)
        for token in range(_MANY_HUNG):
            started = agent.request(1, flags=C["KSHS_STEP_ASYNC"], token=token)
            assert started.outcome == C["KSHS_OUTCOME_STARTED"], describe(started)
        record = agent.done("THREADS", timeout_ms=60_000, timeout=90.0)
        asked = json.loads(record.data)
        assert agent.run("NOP").outcome == C["KSHS_OUTCOME_DONE"]
    assert len(record.data) <= C["KSHS_MAX_DATA"]
    told = [thread for one in asked["processes"] for thread in one["threads"]]
    left_out = sum(one["left_out"] for one in asked["processes"])
    assert left_out and len(told) > 20 and len(told) + left_out >= _MANY_HUNG, (
        len(record.data),
        len(told),
        left_out,
    )
    assert_healed(broken_guest, build)


@pytest.mark.parametrize("side", [0, 1], ids=["kernel", "user"])
def test_stacks_are_told_whatever_the_step_says_beside_it(wine_guest: WineGuest, side: int) -> None:
    with agent_of(wine_guest) as agent:
        for fields in ({}, {"timeout_ms": 1}, {"timeout_ms": 0xFFFFFFFF, "slot": 5, "repeat": 7}):
            record = agent.run("THREADS", b"rubbish", side=side, **fields)
            known = (C["KSHS_OUTCOME_DONE"], C["KSHS_OUTCOME_HUNG"])
            assert record.outcome in known[: 1 + (fields.get("timeout_ms") == 1)], describe(record)
            assert record.outcome or set(json.loads(record.data)) == {"processes"}
        assert agent.run("NOP").outcome == C["KSHS_OUTCOME_DONE"]


def test_pool_corruption_costs_at_most_the_session(
    broken_guest: WineGuest, build: drivers.build.Build
) -> None:
    """The write is real; whether Wine's heap notices is luck there, and told by a real pool only."""
    with agent_of(broken_guest) as agent:
        agent.open_filter()
        agent.behave(0, "CORRUPT_POOL")
        agent.open_pin(1, 0)
        record = agent.request(1)
        assert record.outcome in (C["KSHS_OUTCOME_DONE"], C["KSHS_OUTCOME_LOST"]), describe(record)
        if record.outcome == C["KSHS_OUTCOME_DONE"]:
            assert record.returned == STATUS_SUCCESS, describe(record)
    assert_healed(broken_guest, build)
