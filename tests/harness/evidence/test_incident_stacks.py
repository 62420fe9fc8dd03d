# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from harness.evidence.incident_stacks import Thread, concerned, threads, told
from harness.guests import DriverFiles


def place(module: str | None, offset: int) -> dict[str, Any]:
    return {"address": hex(0x10000 + offset), "module": module, "offset": hex(offset) if module else None}


SAID = {
    "processes": [
        {
            "pid": 8,
            "threads": [
                {"thread": 12, "stack": [place("ntdll.dll", 16), place("Relay.sys", 0x20), place(None, 7)]},
                {"thread": 13, "stack": [place("ntdll.dll", 16), place("ksclient.sys", 0x30)]},
            ],
        }
    ]
}


def test_the_threads_of_the_driver_under_test_are_told() -> None:
    found = threads(SAID)
    assert found[0] == Thread(12, (("ntdll.dll", 16), ("Relay.sys", 0x20), ("nowhere", 0x10007)))
    mine = concerned(found, frozenset({"relay.sys"}))
    assert [thread.number for thread in mine] == [12]
    assert told(mine, DriverFiles()) == ["thread 12: ntdll.dll+0x10 < Relay.sys+0x20 < nowhere+0x10007"]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"processes": 7},
        {"processes": [7, {"threads": [7, {"thread": "x"}, {"thread": 1, "stack": "x"}]}]},
        {"processes": [{"threads": [{"thread": 1, "stack": [7, {"module": "../../x", "offset": "0x1"}]}]}]},
        {"processes": [{"threads": [{"thread": 1, "stack": [place("a.sys", 1)] * 300}] * 300}] * 300},
    ],
)
def test_what_a_guest_may_say_instead_is_no_danger(said: dict[str, Any]) -> None:
    found = threads(said)
    assert len(found) <= 64 and all(len(thread.frames) <= 48 for thread in found)
    assert all("/" not in line for line in told(found, DriverFiles()))
