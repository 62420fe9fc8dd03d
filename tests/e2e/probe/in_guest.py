# SPDX-License-Identifier: Apache-2.0
"""The component tests of refks's functions, in a guest with the probe as its target.

Not collected by itself: `kshs run --target probe.toml in_guest.py` runs it, with --coverage (test_coverage.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.agent.session import AgentSession
from harness.guests import Guest
from harness.guests.kshsctl import Kshsctl
from tests.component.agent import KERNEL, Agent
from tests.component.test_refks_functions import *  # noqa: F403
from tests.component.test_refks_functions import CATEGORY, NAME
from tests.component.test_refks_methods import *  # noqa: F403
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
