# SPDX-License-Identifier: Apache-2.0
"""Drivers whose device does not start under Wine, by an id of the PCI bus without the hardware: each is said
at once, with the stage and what is known of it, where the driver is installed and not in every scenario."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import drivers.build
from drivers import folder
from harness.guests import package_files
from harness.guests.kshsctl import VerbError
from harness.guests.start_failure import explain
from tests.component.package_guest import put_package
from tests.component.wine import WineGuest, copy_of

pytestmark = pytest.mark.component

SOURCES = Path(__file__).resolve().parents[2] / "examples" / "audio" / "driver"
HARDWARE_ID = r"PCI\VEN_1234&DEV_5678&SUBSYS_00011234&REV_01"
CONFIGURATION_ERROR = "STATUS_DEVICE_CONFIGURATION_ERROR (0xC0000182)"

START = (
    "static NTSTATUS NTAPI Routine(PKSDEVICE Device, PIRP Irp, PCM_RESOURCE_LIST Translated,"
    " PCM_RESOURCE_LIST Raw)"
)
ADD = "static NTSTATUS NTAPI Routine(PKSDEVICE Device)"
OWN_ADD = "static NTSTATUS NTAPI Routine(PDRIVER_OBJECT Driver, PDEVICE_OBJECT Physical)"
READY = "KsInitializeDriver(DriverObject, RegistryPath, &DeviceDescriptor)"


@dataclass(frozen=True)
class Driver:
    """A driver that differs in one routine; `says` has to be told of it, `within` s of the installation."""

    head: str
    body: str
    says: tuple[str, ...]
    member: str = ""
    entry: str = f"return {READY};"
    within: float = 25.0


DRIVERS = {
    "Start refuses without resources": Driver(
        START, "return Translated ? STATUS_SUCCESS : STATUS_DEVICE_CONFIGURATION_ERROR;",
        (f"the driver FabAudio refused its device: Start answered {CONFIGURATION_ERROR}",), "Start",
    ),
    "Start follows the resources that are not there": Driver(
        START, "return Translated->List[0].PartialResourceList.Count ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;",
        ("ended the process of the drivers while its device was started: in Start",
         "exception 0xc0000005 at audio.sys+0x", "read of 0x10 in winedevice.exe"), "Start",
    ),
    "Start waits for the hardware": Driver(
        START, "KEVENT never; KeInitializeEvent(&never, NotificationEvent, FALSE);"
        " return KeWaitForSingleObject(&never, Executive, KernelMode, FALSE, NULL);",
        ("Start of the driver FabAudio has not ended within 30 s",), "Start", within=120.0,
    ),
    "the device is refused when it is added": Driver(
        ADD, "return STATUS_DEVICE_CONFIGURATION_ERROR;",
        (f"the driver FabAudio refused its device: AddDevice answered {CONFIGURATION_ERROR}",), "Add",
    ),
    "an AddDevice of its own fails": Driver(
        OWN_ADD, "return STATUS_DEVICE_CONFIGURATION_ERROR;",
        ("FabAudio made no device: its AddDevice failed", f"AddDevice answered {CONFIGURATION_ERROR}"),
        entry=f"NTSTATUS status = {READY};"
        " DriverObject->DriverExtension->AddDevice = Routine; return status;",
    ),
    "DriverEntry fails": Driver(
        ADD, "return STATUS_SUCCESS;",
        ("FabAudio was not loaded: its DriverEntry failed", f"DriverEntry answered {CONFIGURATION_ERROR}"),
        entry="(void)DeviceDescriptor; (void)Routine; return STATUS_DEVICE_CONFIGURATION_ERROR;",
    ),
    "DriverEntry faults": Driver(
        ADD, "return STATUS_SUCCESS;",
        ("while its device was started: in DriverEntry", "exception 0xc0000005"),
        entry="(void)DeviceDescriptor; (void)Routine; return *(volatile NTSTATUS *)16;",
    ),
}  # fmt: skip


def written(driver: Driver, into: Path) -> Path:
    """The sources of the driver, with its INF for the PCI device."""
    shutil.copytree(SOURCES, into)
    inf = into / "audio.inf"
    text = inf.read_text(encoding="utf-8")
    assert "Root\\FabrikamAudio" in text
    inf.write_text(text.replace("Root\\FabrikamAudio", HARDWARE_ID), encoding="utf-8")
    source = into / "audio.c"
    text = source.read_text(encoding="utf-8")
    descriptor = "static const KSDEVICE_DESCRIPTOR DeviceDescriptor = {\n"
    entry = f"return {READY};"
    assert text.count(descriptor) == 1 and text.count(entry) == 1
    routine = f"{driver.head} {{ {driver.body} }}\n"
    dispatch = f"static const KSDEVICE_DISPATCH Dispatch = {{ .{driver.member} = Routine }};\n"
    member = "    .Dispatch = &Dispatch,\n" if driver.member else ""
    text = text.replace(descriptor, routine + (dispatch if member else "") + descriptor + member)
    source.write_text(text.replace(entry, driver.entry), encoding="utf-8")
    return into


class Logs:
    """The guest's shell as far as a failure is explained by it: this prefix's files."""

    def __init__(self, guest: WineGuest) -> None:
        self._guest = guest

    def run(self, command: str, timeout: float) -> Any:
        recorded = self._guest.folder / "crashes.jsonl"
        if "crashes.jsonl" in command:
            said = recorded.read_text(encoding="utf-8") if recorded.exists() else ""
        else:
            said = self._guest.words()
            if "KeBugCheckEx" in command:
                said = "\n".join(line for line in said.splitlines() if "KeBugCheckEx" in line)
        assert shlex.split(command)[0] == "cat"
        return SimpleNamespace(stdout=said)


@pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS.keys())
def test_what_keeps_a_device_from_starting_is_said(
    driver: Driver, build: drivers.build.Build, bare_template: Path, tmp_path: Path
) -> None:
    package = folder.package(written(driver, tmp_path / "driver"), tmp_path / "package")
    with copy_of(bare_template) as prefix:
        guest = WineGuest(prefix, build.agent)
        try:
            guest.hold()
            guest.must("install-crash-recorder")
            guest.must("install-ks", guest.put(build.refks, "ks.sys"))
            guest.must("install-client", guest.put(build.client, "ksclient.sys"))
            put_package(guest, build, package, HARDWARE_ID)
            inf = f"{package_files.FOLDER}\\{package.inf.name}"
            done = guest.kshsctl("install-device", inf, HARDWARE_ID, "FabAudio", timeout=180.0)
            assert done.exit_code == 1, done
            answer: Mapping[str, Any] = done.json
            error = VerbError(str(answer["error"]), answer=answer, step="install-device", exit_code=1)
            shell: Any = Logs(guest)
            told = str(explain(error, shell, "FabAudio", without_hardware="the PCI bus"))
        finally:
            guest.stop()
    assert [part for part in driver.says if part not in told] == [], told
    assert "the device was created without its hardware" in told
    waited = sum(step["ms"] for step in answer["steps"] if step["step"] == "wait-started")
    assert waited < driver.within * 1000, answer["steps"]
    faults = [part for part in driver.says if part.startswith("exception")]
    assert told.count("exception 0x") == min(1, len(faults))
