# SPDX-License-Identifier: Apache-2.0
"""STATUS_PENDING counts as a success by its number; what has ended must not say it."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.abi import load as load_abi
from tests.harness.blocks import block
from tests.harness.running.test_comparison import own_step, wrong

PENDING = 0x103
CS: Any = load_abi().cs


@pytest.mark.parametrize(
    "step",
    [
        {"do": "state", "on": "source", "to": "run"},
        {"do": "property_get", "on": "source", "set": "1d58c920-ac9b-11cf-a5d6-28db04c10000", "id": 0},
        {"do": "open_pin", "name": "second", "pin": "source"},
        {"do": "open_filter", "name": "second"},
        {"do": "seen", "pin": "source"},
    ],
    ids=lambda step: step["do"],
)
def test_a_step_that_ended_with_pending_is_wrong(step: dict[str, Any]) -> None:
    seen = bytes(len(CS.kshs_seen))
    for status, found in ((PENDING, {"answer is final": "IO"}), (0, {})):
        answer = block(returned=status, raw_status=status, output=seen)
        assert wrong(own_step(step, "source"), answer) == found


@pytest.mark.parametrize("protocol", ["unknown", "null"])
def test_a_pin_handshake_that_gives_pending_is_wrong_whatever_is_laid_down(protocol: str) -> None:
    step = {"do": "pin_handshake", "on": "source", "protocol": protocol}
    planned = own_step(step, "source -> sink")
    for returned in (PENDING, 0xC0000010):
        report = bytes(CS.kshs_pin_handshake(returned=returned, out_written=0).dumps())
        found = wrong(planned, block(output=report))
        assert ("returned is final" in found) == (returned == PENDING)
        assert found.get("returned is final", "IO") == "IO"
