# SPDX-License-Identifier: Apache-2.0
"""What a Wine guest's logs add to a device that did not start."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from harness.guests.kshsctl import VerbError
from harness.guests.start_failure import explain
from vm.errors import GuestLost

LOG = r"""
 12.250:0074:err:ntoskrnl:ZwLoadDriver failed to create driver L"\\Registry\\Services\\Other": c0000001
 13.250:0074:err:ntoskrnl:ZwLoadDriver failed to create driver L"\\Registry\\Services\\capcard": c000000e
 13.300:0074:err:plugplay:load_function_driver AddDevice failed for driver L"CapCard", status 0xc0000182.
 13.310:0074:warn:debugstr:vDbgPrintExWithPrefix 00000065:00000003: capcard: no BAR 0
 13.320:0074:warn:debugstr:vDbgPrintExWithPrefix 00000065:00000003: [123456] ours
"""
CRASH = {
    "kind": "exception",
    "process": "winedevice.exe",
    "code": "0xc0000005",
    "module": "capcard.sys",
    "offset": "0x10",
}


class Shell:
    def __init__(self, log: str = "", crashes: str = "", lost: bool = False) -> None:
        self.log, self.crashes, self.lost = log, crashes, lost

    def run(self, command: str, timeout: float) -> Any:
        if self.lost:
            raise GuestLost("gone")
        if "crashes.jsonl" in command:
            return SimpleNamespace(stdout=self.crashes.encode())
        return SimpleNamespace(stdout=b"" if "KeBugCheckEx" in command else self.log.encode())


def told(
    shell: Shell, message: str = "the driver CapCard did not", step: str = "wait-started", **more: Any
) -> str:
    error = VerbError(message, answer={"step": step}, step="install-device", exit_code=1)
    return str(explain(error, shell, "CapCard", **more))  # type: ignore[arg-type]


def test_the_logs_say_what_the_driver_answered_and_printed() -> None:
    said = told(Shell(LOG, json.dumps(CRASH)))
    assert "the driver CapCard did not; DriverEntry answered STATUS_NO_SUCH_DEVICE (0xC000000E);" in said
    assert "AddDevice answered STATUS_DEVICE_CONFIGURATION_ERROR (0xC0000182);" in said
    assert "exception 0xc0000005 at capcard.sys+0x10 in winedevice.exe" in said
    assert said.endswith("its last words: capcard: no BAR 0")


def test_a_status_that_is_said_twice_is_told_once_and_has_its_name() -> None:
    said = told(Shell(), "the driver CapCard refused its device: Start answered 0xC0000182")
    assert said.count("0xC0000182") == 1 and "Start answered STATUS_DEVICE_CONFIGURATION_ERROR" in said


@pytest.mark.parametrize("bus", [None, "the PCI bus"])
def test_a_device_without_its_hardware_is_called_so(bus: str | None) -> None:
    assert ("nothing of the PCI bus below it" in told(Shell(), without_hardware=bus)) is (bus is not None)


def test_a_guest_that_answers_no_longer_costs_the_details_alone() -> None:
    assert "the driver CapCard did not" in told(Shell(lost=True))


def test_another_failure_is_left_as_it_is() -> None:
    assert "DriverEntry" not in told(Shell(LOG), step="update-driver")
