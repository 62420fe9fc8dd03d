# SPDX-License-Identifier: Apache-2.0
"""Who makes a device of some id: a bus, or whoever installs its driver."""

from __future__ import annotations

import pytest

from drivers.hardware_ids import bus_of


@pytest.mark.parametrize(
    "hardware_id",
    [
        r"Root\FabrikamRelay",
        r"ROOT\MEDIA\0000",
        r"SW\{20698827-7099-4C4E-861A-4879D639A35F}",
        r"SWC\VID_FAB1&PID_0D0C",
        r"{B85B7C50-6A01-11D2-B841-00C04FAD5171}\FabrikamToaster",
        r"FabrikamBus\Camera",
        "FabrikamCamera",
        "*FABLOOP",
        "fabrikam pci camera",
        r"PCIe\like",
    ],
)
def test_nobody_but_the_installation_makes_it(hardware_id: str) -> None:
    assert bus_of(hardware_id) is None


@pytest.mark.parametrize(
    ("hardware_id", "words", "example"),
    [
        (r"PCI\VEN_1234&DEV_5678&SUBSYS_00000000&REV_01", "the PCI bus", "pci:"),
        (r"pci\cc_0480", "the PCI bus", "pci:"),
        (r"USB\VID_FAB1&PID_0001&MI_00", "the USB bus", "usb:"),
        (r"USB\Class_0e", "the USB bus", "usb:"),
        (r"HDAUDIO\FUNC_01&VEN_1AF4&DEV_0022", "a High Definition Audio controller", "qemu:intel-hda"),
        (r"ACPI\FAB0001", "the ACPI firmware", "qemu:"),
        ("*PNP0C0A", "the ACPI firmware or the ISA bus", "qemu:"),
        (" BTHENUM\\{0000110b-0000-1000-8000-00805f9b34fb}", "Bluetooth", "usb:"),
    ],
)
def test_a_bus_makes_it(hardware_id: str, words: str, example: str) -> None:
    bus = bus_of(hardware_id)
    assert bus is not None
    assert bus.words == words
    assert bus.example.startswith(example)
