# SPDX-License-Identifier: Apache-2.0
"""Targets whose device a bus has to report: refused where there is none, asked for where there may be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers.hardware_ids import bus_of
from harness.errors import DeployError, UsageError
from harness.guests import hardware
from harness.guests.deploy import Kit, deploy
from harness.guests.package import LoadedTarget
from harness.guests.provider import VmProvider
from harness.language import target
from tests.harness import fake_windows
from tests.harness.fake_windows import FakeWindows
from vm.config import VmConfig

PCI = r"PCI\VEN_1234&DEV_5678"
SAMPLE = (target.BUILTIN / "avshs.toml").read_text("utf-8")


def loaded(folder: Path, hardware_id: str = PCI, more: str = "") -> LoadedTarget:
    path = folder / "mine.toml"
    line = next(line for line in SAMPLE.splitlines() if line.startswith("hardware_id"))
    path.write_text(SAMPLE.replace(line, f"hardware_id = '{hardware_id}'\n{more}"), "utf-8")
    return LoadedTarget(*target.find(str(path)))


def test_the_embedded_guest_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        VmProvider(VmConfig(), loaded(tmp_path))
    said = str(refused.value)
    assert f"mine.toml:7: hardware_id: '{PCI}' is a device that the PCI bus reports" in said
    assert "the embedded guest has none" in said
    assert 'devices = ["pci:0000:03:00.0"] in [guests.NAME] of kshs.toml' in said
    assert "root_enumerated = true in the target file" in said
    assert "\n" not in said


def test_a_windows_guest_may_have_it(tmp_path: Path) -> None:
    given = loaded(tmp_path)
    VmProvider(VmConfig(), given, "win11")
    assert hardware.needed(given.target) == bus_of(PCI)
    assert hardware.notes(given.target) == []


@pytest.mark.parametrize(
    ("hardware_id", "more", "refused"),
    [
        (r"USB\Class_0e", "", "hardware_id: 'USB"),
        (r"USB\Class_0e", "root_enumerated = true", None),
        (r"USB\Class_0e", "root_enumerated = false", "root_enumerated: 'USB"),
        (r"Root\Mine", "", None),
        (r"Root\Mine", "root_enumerated = true", None),
        (
            r"Root\Mine",
            "root_enumerated = false",
            "root_enumerated: 'Root.Mine' is a device that another driver",
        ),
        (r"SW\{20698827-7099-4C4E-861A-4879D639A35F}", "", None),
    ],
)
def test_the_target_file_has_the_last_word(
    tmp_path: Path, hardware_id: str, more: str, refused: str | None
) -> None:
    given = loaded(tmp_path, hardware_id, more)
    if refused is None:
        VmProvider(VmConfig(), given)
        return
    with pytest.raises(UsageError, match=refused):
        VmProvider(VmConfig(), given)


def test_a_device_without_its_hardware_is_on_record(tmp_path: Path) -> None:
    (note,) = hardware.notes(loaded(tmp_path, more="root_enumerated = true").target)
    assert note.startswith(f"the device {PCI} was created root-enumerated, as the target file says: ")
    assert hardware.notes(loaded(tmp_path, r"Root\Mine", "root_enumerated = true").target) == []


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return replace(fake_windows.kit(tmp_path), bus=bus_of(PCI))


def run(guest: FakeWindows) -> dict[str, Any]:
    return deploy(guest, guest.kit)  # type: ignore[arg-type]


def test_the_layer_knows_that_the_device_is_none_of_ours(kit: Kit) -> None:
    assert kit.digest != replace(kit, bus=None).digest


def test_a_windows_guest_is_asked_for_the_device_first(kit: Kit) -> None:
    guest = FakeWindows(kit)
    run(guest)
    assert guest.commands[:2] == ["info", "device"]


def test_a_windows_guest_without_it_is_refused(kit: Kit) -> None:
    found = {"step": "find", "error": "no device has the hardware id"}
    guest = FakeWindows(kit, bend=lambda verb, honest: (1, found, b"") if verb == "device" else None)
    with pytest.raises(UsageError, match=r"has no device Root.KshsAvshs, which the PCI bus.*devices = \["):
        run(guest)
    assert guest.commands == ["info", "device"]


def test_windows_finds_what_adds_to_the_device_in_its_driver_store(kit: Kit, tmp_path: Path) -> None:
    text = '[Version]\nSignature = "$WINDOWS NT$"\nClassGuid = {e2f84ce7-8efa-411c-aa69-97454ca4cb57}\n'
    (tmp_path / "more.inf").write_text(text, "utf-8")
    kit.package.files["more.inf"] = tmp_path / "more.inf"
    guest = FakeWindows(replace(kit, bus=None))
    run(guest)
    assert guest.commands[2:5] == ["install-client", "stage-inf", "install-device"]


def test_a_guest_that_cannot_say_is_an_error_of_ours(kit: Kit) -> None:
    lost = FakeWindows(
        kit, bend=lambda verb, honest: (1, b"", b"access denied") if verb == "device" else None
    )
    with pytest.raises(DeployError, match="device, exit code 1: failed; its last words: access denied"):
        run(lost)
