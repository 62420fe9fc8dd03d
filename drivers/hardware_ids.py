# SPDX-License-Identifier: Apache-2.0
"""Hardware ids: which device has to be there before a driver of that id can be installed.

A hardware id is ``enumerator\\device``, or a generic ``*device`` without one ("Hardware IDs"; the forms of
each bus are on the pages "Identifiers for PCI Devices", "Identifiers for USB Devices" and their kin, Windows
driver documentation, install).  The enumerator says who makes the device.  Root, the software enumerator of
ks.inf (``SW\\{...}``), software components (``SWC\\...``) and names of a vendor's own need nothing: whoever
installs such a driver creates the device (root-enumerated, as devcon does).  A bus reports its own itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Generic ids of firmware and ISA devices: three letters and four hexadecimal digits ("Generic Identifiers").
#: Others with an asterisk are a vendor's own, and mostly of software.
_EISA = re.compile(r"\*[A-Z]{3}[0-9A-F]{4}")


@dataclass(frozen=True)
class Bus:
    """Who reports devices: in words, and how a virtual machine comes by one of them."""

    words: str
    example: str
    """A value of ``devices`` in a guest's settings."""


_PCI = "pci:0000:03:00.0"
_USB = "usb:046d:0825"
_ON_A_CONTROLLER = _PCI
_BUSES = {
    "PCI": Bus("the PCI bus", _PCI),
    "USB": Bus("the USB bus", _USB),
    "HDAUDIO": Bus("a High Definition Audio controller", "qemu:intel-hda"),
    "INTELAUDIO": Bus("an audio DSP", _ON_A_CONTROLLER),
    "SOUNDWIRE": Bus("the SoundWire bus", _ON_A_CONTROLLER),
    "SDCA": Bus("the SoundWire bus", _ON_A_CONTROLLER),
    "ACPI": Bus("the ACPI firmware", "qemu:DEVICE"),
    "1394": Bus("the IEEE 1394 bus", _ON_A_CONTROLLER),
    "HID": Bus("a HID device", _USB),
    "USBSTOR": Bus("the USB bus", _USB),
    "USBPRINT": Bus("the USB bus", _USB),
    "BTH": Bus("Bluetooth", _USB),
    "BTHENUM": Bus("Bluetooth", _USB),
    "BTHLE": Bus("Bluetooth", _USB),
    "BTHLEDEVICE": Bus("Bluetooth", _USB),
    "PCMCIA": Bus("the PC Card bus", _ON_A_CONTROLLER),
    "ISAPNP": Bus("the ISA bus", "qemu:DEVICE"),
    "SCSI": Bus("a SCSI adapter", "qemu:DEVICE"),
    "IDE": Bus("an IDE channel", "qemu:DEVICE"),
    "SD": Bus("an SD host controller", "qemu:DEVICE"),
    "MF": Bus("a multifunction device", _ON_A_CONTROLLER),
    "MONITOR": Bus("a display adapter", "qemu:DEVICE"),
    "DISPLAY": Bus("a display adapter", "qemu:DEVICE"),
    "VMBUS": Bus("Hyper-V's VMBus", _ON_A_CONTROLLER),
    "STREAM": Bus("another streaming driver", _ON_A_CONTROLLER),
}


def bus_of(hardware_id: str) -> Bus | None:
    """The bus that has to report a device of this id; None where it is created by whoever installs it."""
    enumerator, backslash, _ = hardware_id.strip().upper().partition("\\")
    if backslash:
        return _BUSES.get(enumerator)
    if _EISA.fullmatch(enumerator):
        return Bus("the ACPI firmware or the ISA bus", "qemu:DEVICE")
    return None
