# SPDX-License-Identifier: Apache-2.0
"""How filters that Wine's fallback makes end when their handle or their device goes (factories/)."""

from __future__ import annotations

import pytest

from tests.component import test_factories
from tests.component.agent import KERNEL, STATUS_SUCCESS, USER, Agent, C, agent_of, describe
from tests.component.factory_words import (
    CLOSED,
    FIRST,
    HARDWARE_ID,
    LATER,
    OF_CLOSED,
    OF_FIRST,
    OF_SECOND,
    REFERENCES,
    SECOND,
    SHARED,
    STATUS_ACCESS_DENIED,
    TELL,
    UNMAKE,
    WHO,
    counts,
    ended,
    instances,
    made,
    open_filter,
    since,
    ulong,
)
from tests.component.wine import WineGuest

pytestmark = pytest.mark.component

#: Fixtures of the tests beside these.
package = test_factories.package
factories_guest = test_factories.factories_guest
bare = test_factories.bare
agent = test_factories.agent


def make_later(agent: Agent, status: int = STATUS_SUCCESS) -> None:
    """A filter of the first factory in slot 0, and the control on its way that the second answers later."""
    made(open_filter(agent, OF_FIRST))
    ulong(agent, TELL, SECOND, LATER | status)
    begun = agent.submit(
        0,
        REFERENCES[SECOND].encode("utf-16-le"),
        control=C["IOCTL_KSHS_MAKE_FILTER"],
        route=C["KSHS_ROUTE_IRP"],
        in_length=2 * len(REFERENCES[SECOND]),
        out_length=0,
        flags=C["KSHS_STEP_ASYNC"],
        token=1,
    ).result()
    assert begun.outcome == C["KSHS_OUTCOME_STARTED"], describe(begun)


@pytest.mark.parametrize("status", [STATUS_SUCCESS, STATUS_ACCESS_DENIED], ids=["made", "refused"])
def test_a_handle_may_be_closed_before_the_answer(agent: Agent, status: int) -> None:
    before = counts(agent)
    make_later(agent, status)
    agent.close(0)
    waited = agent.run("WAIT", side=KERNEL, token=1, timeout_ms=10000)
    assert ended(waited) == status, describe(waited)
    # What the handle was, and what it was to become, are both closed.
    agent.done("RELEASE_ALL", side=KERNEL)
    made(open_filter(agent, OF_FIRST, slot=9))
    expected = {FIRST: (2, 2)} | ({SECOND: (1, 1)} if status == STATUS_SUCCESS else {})
    assert since(agent, before) == expected


@pytest.mark.parametrize("pending", [False, True], ids=["open", "on its way"])
def test_a_device_is_removed_and_comes_again(bare: Agent, factories_guest: WineGuest, pending: bool) -> None:
    made(open_filter(bare, OF_FIRST, slot=9))
    listed = instances(bare)
    made(open_filter(bare, OF_SECOND, slot=1))
    made(open_filter(bare, OF_SECOND, slot=1, side=USER))
    bare.open_pin(2, 0, filter_slot=1)
    if pending:
        make_later(bare)
    factories_guest.must("uninstall-device", HARDWARE_ID)
    assert instances(bare) == []
    assert open_filter(bare, OF_SECOND, slot=3).returned != STATUS_SUCCESS
    if pending:
        bare.run("WAIT", side=KERNEL, token=1, timeout_ms=10000)
    for side in (KERNEL, USER):
        bare.done("RELEASE_ALL", side=side)
    factories_guest.must("install-device", "C:\\kshs\\factories.inf", HARDWARE_ID, "KshsFactories")
    with agent_of(factories_guest) as again:
        assert sorted(instances(again), key=str) == sorted(listed, key=str)
        assert made(open_filter(again, SHARED, 1, slot=9))
        assert ulong(again, WHO) == SECOND


def test_without_its_first_factory_a_device_has_another(bare: Agent) -> None:
    """Nobody makes that factory again: this comes last."""
    made(open_filter(bare, SHARED, 0, slot=9))
    assert ulong(bare, UNMAKE, FIRST) == STATUS_SUCCESS
    assert sorted(instances(bare), key=str) == sorted(
        [(SHARED, 0, ""), (OF_SECOND, 0, ""), (OF_CLOSED, 0, REFERENCES[CLOSED])], key=str
    )
    assert ulong(bare, WHO) == FIRST
    for slot, category in enumerate((SHARED, OF_SECOND)):
        assert not made(open_filter(bare, category, slot=slot))
        assert ulong(bare, WHO, slot=slot) == SECOND
    assert made(open_filter(bare, OF_CLOSED, slot=3))
    assert ulong(bare, WHO, slot=3) == CLOSED
