# SPDX-License-Identifier: Apache-2.0
"""The component tests of refks's functions, in a guest with the probe as its target.

Not collected by itself: `kshs run --coverage --target probe.toml in_guest.py` runs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.agent.session import AgentSession
from harness.guests import Guest
from harness.guests.kshsctl import Kshsctl
from tests.component.agent import KERNEL, STATUS_SUCCESS, Agent, describe, handshake
from tests.component.test_refks_functions import *  # noqa: F403
from tests.component.test_refks_functions import CATEGORY, NAME, make_pin, ulong
from tests.component.test_refks_methods import *  # noqa: F403
from tests.component.test_refks_objects import *  # noqa: F403
from tests.component.test_refks_queues import *  # noqa: F403

pytestmark: list[Any] = []

_NAMED: set[str] = set()


class InGuest:
    """What the tests ask of the guest itself."""

    def __init__(self, guest: Guest) -> None:
        self._shell = guest.lease.shell  # type: ignore[attr-defined]

    def must(self, verb: str, *arguments: str) -> dict[str, Any]:
        return Kshsctl(self._shell).call(verb, *arguments)

    def name_a_node(self) -> None:
        key = f"HKLM\\SYSTEM\\CurrentControlSet\\Control\\MediaCategories\\{{{NAME}}}"
        words = ["reg", "add", key, "/v", "Name", "/d", "Line in", "/f"]
        self._shell.run(self._shell.wine(words), timeout=60, check=True)


@pytest.fixture
def probe_guest(guest: Guest) -> InGuest:
    made = InGuest(guest)
    if guest.id not in _NAMED:
        made.name_a_node()
        _NAMED.add(guest.id)
    return made


@pytest.fixture
def probe(probe_guest: InGuest, agent: AgentSession) -> Iterator[Agent]:
    made = Agent(agent, None)  # type: ignore[arg-type]
    made.done("OPEN_FILTER", side=KERNEL, slot=0, guid=CATEGORY, value=0)
    yield made


MISSING, FUNCTIONS = 21, 108
#: Those that own an IRP: test_refks_objects.py has one for them, and may have run before.
OWNERS = {"KsDispatchIrp", "KsDispatchQuerySecurity", "KsDispatchSetSecurity"}
HARDWARE_ID, SERVICE = "Root\\KshsProbe", "KshsProbe"


def test_what_is_not_there_changes_nothing_and_is_on_record(probe: Agent, probe_guest: InGuest) -> None:
    assert ulong(probe, MISSING) == FUNCTIONS
    assert make_pin(probe, 0).returned == STATUS_SUCCESS
    record = probe.request(0, handshake(argument1=5))
    assert record.returned == STATUS_SUCCESS, describe(record)
    names = probe_guest.must("info")["ks"]["unimplemented_calls"]
    called = {*names} - OWNERS
    assert len(called) == FUNCTIONS
    assert {"KsGenerateEvents", "KsCreateClock2", "KsAllocateDeviceHeader"} < called


def test_a_device_is_removed_and_comes_again(probe_guest: InGuest, agent: AgentSession) -> None:
    made = Agent(agent, None)  # type: ignore[arg-type]
    probe_guest.must("uninstall-device", HARDWARE_ID)
    refused = made.run("OPEN_FILTER", side=KERNEL, slot=0, guid=CATEGORY, value=0)
    assert refused.returned != STATUS_SUCCESS, describe(refused)
    probe_guest.must("install-device", r"C:\kshs\target\probe.inf", HARDWARE_ID, SERVICE)
    made.done("OPEN_FILTER", side=KERNEL, slot=0, guid=CATEGORY, value=0)
