# SPDX-License-Identifier: Apache-2.0
"""Hardware for a Windows guest: how it is said, and what becomes of it in the domain.  No host had any."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree
from pydantic import ValidationError

from vm.errors import InputError
from vm.windows import devices, domain, ways
from vm.windows.profile import BUILTIN, Way, WindowsProfile
from vm.windows.sealed import WindowsImage

DEVICES = ("pci:0000:03:00.0", "pci: 0a:1f.7", "usb:046D:0825", "qemu:intel-hda,id=hda", "qemu: usb-audio")


def build(folder: Path, given: tuple[str, ...]) -> str:
    placement = domain.Placement("kshs-win", folder / "d.qcow2", folder, 22022)
    profile = BUILTIN["win11"].model_copy(update={"firmware": "bios"})
    return domain.build(
        profile, replace(placement, devices=tuple(map(devices.parse, given))), accelerator="kvm"
    )


def test_libvirt_s_schema_accepts_them(tmp_path: Path) -> None:
    target = tmp_path / "domain.xml"
    target.write_text(build(tmp_path, DEVICES))
    done = subprocess.run(["virt-xml-validate", str(target), "domain"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_is_where_it_belongs(tmp_path: Path) -> None:
    root = etree.fromstring(build(tmp_path, DEVICES))
    passed = [(node.get("type"), node.get("managed")) for node in root.findall("devices/hostdev")]
    assert passed == [("pci", "yes"), ("pci", "yes"), ("usb", "yes")]
    addresses = [dict(node.attrib) for node in root.findall("devices/hostdev/source/address")]
    assert addresses == [
        {"domain": "0x0000", "bus": "0x03", "slot": "0x00", "function": "0x0"},
        {"domain": "0x0000", "bus": "0x0a", "slot": "0x1f", "function": "0x7"},
    ]
    usb = root.find("devices/hostdev[@type='usb']/source")
    assert (usb.find("vendor").get("id"), usb.find("product").get("id")) == ("0x046D", "0x0825")
    words = root.xpath("//qemu:arg/@value", namespaces={"qemu": domain.QEMU_NAMESPACE})
    assert [words[at + 1] for at, word in enumerate(words) if word == "-device"][-2:] == [
        "intel-hda,id=hda",
        "usb-audio",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "begins with pci:, usb: or qemu:"),
        ("0000:03:00.0", "begins with pci:, usb: or qemu:"),
        ("scsi:1", "begins with pci:, usb: or qemu:"),
        ("pci:3:0.0", "'3:0.0' is not the address of a PCI device of this host"),
        ("pci:0000:03:20.0", "is not the address"),
        ("pci:0000:03:00.8", "is not the address"),
        ("usb:1-2", "is not a vendor and a product"),
        ("usb:046d", "is not a vendor and a product"),
        ("qemu:", "is not a device of QEMU's"),
        ("qemu:-chardev", "is not a device of QEMU's"),
        ("qemu:intel-hda\n-monitor", "is not a device of QEMU's"),
        ("qemu:intel hda", "is not a device of QEMU's"),
    ],
)
def test_what_is_none_is_told_in_one_line(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as refused:
        devices.parse(text)
    assert "\n" not in str(refused.value)
    with pytest.raises(ValidationError):
        WindowsProfile.model_validate({"name": "lab", "devices": [text]})


def test_a_device_of_the_host_s_cannot_be_saved_with_a_guest() -> None:
    for way in (Way.FORK, Way.SAVED):
        with pytest.raises(ValidationError, match=f"leases = '{way}' cannot be with a device of the host's"):
            WindowsProfile.model_validate({"name": "lab", "devices": ["usb:046d:0825"], "leases": way})
        WindowsProfile.model_validate({"name": "lab", "devices": ["qemu:intel-hda"], "leases": way})
    WindowsProfile.model_validate({"name": "lab", "devices": ["usb:046d:0825"], "leases": Way.BOOT})


def test_guests_with_one_start_from_their_disk_one_at_a_time() -> None:
    image = WindowsImage("d", Path("lab"), {"name": "lab"}, devices=("qemu:intel-hda", "pci:03:00.0"))
    hv: object = None
    assert image.holds_host_devices
    assert not replace(image, devices=("qemu:intel-hda",)).holds_host_devices
    for asked in (None, Way.BOOT):
        assert ways.candidates(hv, image, asked) == (Way.BOOT,)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="leases by 'fork' cannot be with a device of the host's"):
        ways.candidates(hv, image, Way.FORK)  # type: ignore[arg-type]
