# SPDX-License-Identifier: Apache-2.0
"""Hardware that a Windows guest gets for the driver under test: the host's own, or devices of QEMU's.

``pci:DOMAIN:BUS:SLOT.FUNCTION`` (the domain may be left out) and ``usb:VENDOR:PRODUCT`` are passed through
by libvirt's ``<hostdev>`` ("Host device assignment", libvirt's domain XML),
``qemu:DRIVER[,PROPERTY=VALUE...]`` is one more ``-device`` of QEMU.  Only a host with VFIO and the device in
question can show that the former work: none was at hand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import etree

from vm.errors import InputError

_HEX = "[0-9a-fA-F]"
_PCI = re.compile(
    rf"(?:(?P<domain>{_HEX}{{4}}):)?(?P<bus>{_HEX}{{2}}):(?P<slot>[01]{_HEX})\.(?P<function>[0-7])"
)
_USB = re.compile(rf"(?P<vendor>{_HEX}{{4}}):(?P<product>{_HEX}{{4}})")
#: The names of QEMU's devices, and a list of properties without anything that a line could end with.
_QEMU = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(?:,[A-Za-z][A-Za-z0-9_.-]*=[ -~]*)?")
_FORMS = "pci:0000:03:00.0, usb:046d:0825 or qemu:intel-hda"


@dataclass(frozen=True)
class GuestDevice:
    """One device: ``kind`` is ``pci``, ``usb`` or ``qemu``, ``address`` what stands behind it."""

    kind: str
    address: str

    @property
    def is_hosts(self) -> bool:
        """Whether the host lends it: one guest at a time, and neither forks nor saved states."""
        return self.kind != "qemu"

    def add_to(self, devices: etree._Element) -> None:
        """A device of the host's as an element of a domain's ``<devices>``."""
        host = etree.SubElement(devices, "hostdev", mode="subsystem", type=self.kind, managed="yes")
        source = etree.SubElement(host, "source")
        if self.kind == "pci":
            found = _PCI.fullmatch(self.address)
            assert found is not None, "only parse makes these"
            parts = {name: f"0x{value or '0000'}" for name, value in found.groupdict().items()}
            etree.SubElement(source, "address", parts)
        else:
            vendor, _, product = self.address.partition(":")
            etree.SubElement(source, "vendor", id=f"0x{vendor}")
            etree.SubElement(source, "product", id=f"0x{product}")

    def arguments(self) -> list[str]:
        """One of QEMU's own as arguments of its command line."""
        return [] if self.is_hosts else ["-device", self.address]


def parse(text: str) -> GuestDevice:
    """A device of a setting.

    Raises:
        InputError: it is of none of the three forms.
    """
    kind, colon, address = (part.strip() for part in text.partition(":"))
    forms = {"pci": _PCI, "usb": _USB, "qemu": _QEMU}
    if not colon or kind not in forms:
        raise InputError(f"{text!r} is no device for a guest: it begins with pci:, usb: or qemu: ({_FORMS})")
    if not forms[kind].fullmatch(address):
        what = {
            "pci": "the address of a PCI device of this host, as lspci -D prints it",
            "usb": "a vendor and a product of four hexadecimal digits, as lsusb prints them",
            "qemu": "a device of QEMU's with its properties, as behind -device",
        }
        raise InputError(f"{text!r}: {address!r} is not {what[kind]} ({_FORMS})")
    return GuestDevice(kind, address)
