# SPDX-License-Identifier: Apache-2.0
"""INFO of a device's interfaces: each with the number by which OPEN_FILTER finds it."""

from __future__ import annotations

import json

import pytest

from harness.agent import device_interfaces
from harness.agent.encode import Encoder
from tests.component.agent import ABI, STATUS_INVALID_PARAMETER, Agent, C, describe
from tests.component.conftest import HARDWARE_ID

pytestmark = pytest.mark.component

INTERFACES = C["KSHS_INFO_INTERFACES"]
CATEGORY = ABI.guids["KSCATEGORY_KSHS"]


def test_the_sample_s_filter_is_found_as_open_filter_finds_it(agent: Agent) -> None:
    found = device_interfaces.ask(agent.session, Encoder(ABI), HARDWARE_ID)
    assert (CATEGORY, 0, True) in [(one.category, one.index, one.active) for one in found]
    (one,) = device_interfaces.filters(found)
    for item in one.interfaces:
        agent.done("OPEN_FILTER", side=0, slot=40, guid=item.category, value=item.index)
        agent.close(40)
    assert device_interfaces.ask(agent.session, Encoder(ABI), HARDWARE_ID.upper()) == found


def test_a_device_that_is_not_there_has_none(agent: Agent) -> None:
    assert device_interfaces.ask(agent.session, Encoder(ABI), r"Root\Nothing") == []


@pytest.mark.parametrize("data", [b"", b"x", b"a\0" * 256], ids=["none", "odd", "too long"])
def test_what_is_no_hardware_id_is_refused_and_the_agent_goes_on(agent: Agent, data: bytes) -> None:
    record = agent.run("INFO", data, value=INTERFACES)
    assert record.outcome == C["KSHS_OUTCOME_REFUSED"], describe(record)
    assert record.detail == STATUS_INVALID_PARAMETER, describe(record)
    assert json.loads(agent.run("INFO").data)["family"] == "wine"
