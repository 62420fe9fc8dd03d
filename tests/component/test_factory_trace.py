# SPDX-License-Identifier: Apache-2.0
"""kstrace.sys on Wine, where a filter of a second factory is made of an open one (factories/)."""

from __future__ import annotations

import pytest

import drivers.build
from harness.capsule.opened import Capsule
from harness.capsule.traced.objects import Objects
from harness.capsule.traced.opening import trace_of
from tests.component import test_factories
from tests.component.agent import STATUS_SUCCESS, USER, agent_of, describe, handshake
from tests.component.factory_words import (
    HARDWARE_ID,
    OF_FIRST,
    OF_SECOND,
    REFERENCES,
    SECOND,
    made,
    open_filter,
)
from tests.component.wine import WineGuest

pytestmark = pytest.mark.component

#: Fixtures of the tests beside these.
package = test_factories.package
factories_guest = test_factories.factories_guest


def test_the_control_is_told_as_an_open(factories_guest: WineGuest, build: drivers.build.Build) -> None:
    factories_guest.put(build.tracer, "kstrace.sys")
    factories_guest.must("trace", "start", HARDWARE_ID)
    with agent_of(factories_guest) as agent:
        assert made(open_filter(agent, OF_SECOND))
        assert made(open_filter(agent, OF_SECOND, side=USER))
        assert not made(open_filter(agent, OF_FIRST, slot=1))
        agent.open_pin(2, 0)
        record = agent.request(2, handshake())
        assert record.returned == STATUS_SUCCESS, describe(record)
    factories_guest.must("trace", "save", "C:\\kshs\\factories.capsule")
    with Capsule(factories_guest.folder / "factories.capsule") as opened:
        trace, _ = trace_of(opened)
    opens = [event for event in trace.events if event.event == "open"]
    again = [event for event in opens if event.made]
    # The filter from both sides, and the one on whose handle the pin is.
    assert [(event.name, event.succeeded) for event in again] == [(REFERENCES[SECOND].upper(), True)] * 3
    assert len(opens) == 7 and len({event.object for event in opens}) == 4
    objects = Objects(trace)
    filters = [item for item in objects.all.values() if item.pin is None]
    assert sorted(item.event.made for item in filters) == [False, True, True]
    (pin,) = [item for item in objects.all.values() if item.pin is not None]
    assert [use.event for use in pin.uses] == ["handshake"] and not objects.strangers
