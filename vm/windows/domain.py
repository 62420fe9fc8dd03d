# SPDX-License-Identifier: Apache-2.0
"""The libvirt domain of a Windows guest: q35 with SATA disk and CDs and e1000e, so that no extra driver is
needed to install it.

Under TCG there is no Hyper-V block and no ``<panic model='hyperv'/>``: QEMU offers these enlightenments to
KVM guests alone.  Source of the enlightenments: "Hyper-V Enlightenments" of the QEMU documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lxml import etree

from vm.domain import QEMU_NAMESPACE, option_value
from vm.errors import VmError
from vm.windows.devices import GuestDevice
from vm.windows.profile import Firmware, WindowsProfile

_OVMF = Path("/usr/share/OVMF")
_MACHINE = "pc-q35-7.2"
_HYPERV: tuple[tuple[str, dict[str, str]], ...] = (
    ("relaxed", {"state": "on"}),
    ("vapic", {"state": "on"}),
    ("spinlocks", {"state": "on", "retries": "8191"}),
    ("vpindex", {"state": "on"}),
    ("runtime", {"state": "on"}),
    ("synic", {"state": "on"}),
    ("stimer", {"state": "on"}),
    ("reset", {"state": "on"}),
    ("frequencies", {"state": "on"}),
    ("tlbflush", {"state": "on"}),
    ("ipi", {"state": "on"}),
)


@dataclass(frozen=True)
class FirmwarePair:
    """OVMF's code, shared and read-only, and the template of a guest's own variables."""

    code: Path
    variables: Path


def firmware_pair(folder: Path = _OVMF) -> FirmwarePair:
    """The pair without Secure Boot: a test-signed driver does not load under it.

    Raises:
        VmError: Debian's ``ovmf`` is not installed.
    """
    pair = FirmwarePair(folder / "OVMF_CODE_4M.fd", folder / "OVMF_VARS_4M.fd")
    for path in (pair.code, pair.variables):
        if not path.is_file():
            raise VmError("the UEFI firmware is not installed", where=str(path), hint="apt-get install ovmf")
    return pair


@dataclass(frozen=True)
class Placement:
    """Where one Windows domain keeps its things on the host; `ssh_port` on 127.0.0.1 leads to port 22."""

    name: str
    disk: Path
    folder: Path
    ssh_port: int
    cds: Sequence[Path] = ()
    uuid: str | None = None
    """Of the domain; libvirt makes one up without it."""
    nvram: Path | None = None
    """The guest's own UEFI variables, where they do not lie in `folder`."""
    ram: Path | None = None
    """A file that is the guest's memory, for templates and their forks."""
    ram_shared: bool = False
    """True: what the guest writes to its memory reaches the file.  False: it stays the guest's."""
    incoming: bool = False
    """Wait for a saved state instead of booting."""
    devices: Sequence[GuestDevice] = ()
    """Hardware beside the profile's own."""
    sockets: Path | None = None
    """A folder with a short path, where `folder` is none: paths of sockets are limited to 107 bytes."""
    plugin: str | None = None
    """Of QEMU's translator, as its option wants it."""

    @property
    def serial(self) -> Path:
        """COM1: the milestones."""
        return self.folder / "com1.log"

    @property
    def debug_console(self) -> Path:
        """Port 0xe9: what the firmware says."""
        return self.folder / "debugcon.log"

    @property
    def variables(self) -> Path:
        """The guest's own UEFI variables."""
        return self.nvram or self.folder / "uefi-vars.fd"

    @property
    def display(self) -> Path:
        """The VNC socket; a display must exist for screenshots."""
        return (self.sockets or self.folder) / "vnc.sock"

    @property
    def tpm_socket(self) -> Path:
        """Where QEMU finds the guest's TPM."""
        return (self.sockets or self.folder) / "tpm.sock"


def build(
    profile: WindowsProfile,
    placement: Placement,
    *,
    accelerator: Literal["kvm", "tcg"],
    emulator: str = "/usr/bin/qemu-system-x86_64",
    firmware: FirmwarePair | None = None,
) -> str:
    """The domain's XML.

    Args:
        profile: the guest.
        placement: its disk, CDs, consoles and port.
        accelerator: as probed; decides the CPU, the enlightenments and the panic device.
        emulator: path of QEMU.
        firmware: the OVMF pair; needed for UEFI.

    Raises:
        VmError: UEFI without firmware, or more CDs than the SATA controller takes.
    """
    kvm = accelerator == "kvm"
    root = etree.Element("domain", {"type": "kvm" if kvm else "qemu"}, nsmap={"qemu": QEMU_NAMESPACE})
    _text(root, "name", placement.name)
    if placement.uuid is not None:
        _text(root, "uuid", placement.uuid)
    _text(root, "memory", str(profile.memory_mib), unit="MiB")
    _text(root, "vcpu", str(profile.cpus))
    _operating_system(root, profile, placement, firmware)
    features = etree.SubElement(root, "features")
    etree.SubElement(features, "acpi")
    etree.SubElement(features, "apic")
    if kvm:
        hyperv = etree.SubElement(features, "hyperv", mode="custom")
        for name, attributes in _HYPERV:
            etree.SubElement(hyperv, name, attributes)
    else:
        # What was translated once stays, and each write to a page that ever held code searches it: with
        # QEMU's own size (1 GiB) a restart's firmware and loader took half a minute longer.
        cache = etree.SubElement(features, "tcg")
        _text(cache, "tb-cache", "128", unit="MiB")
    etree.SubElement(features, "vmport", state="off")
    _cpu(root, kvm=kvm)
    clock = etree.SubElement(root, "clock", offset="utc")
    for name, attributes in (
        ("rtc", {"tickpolicy": "catchup"}),
        ("pit", {"tickpolicy": "delay"}),
        ("hpet", {"present": "no"}),
        *((("hypervclock", {"present": "yes"}),) if kvm else ()),
    ):
        etree.SubElement(clock, "timer", {"name": name, **attributes})
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "preserve")):
        _text(root, event, action)
    _devices(root, profile, placement, emulator, kvm=kvm)
    _command_line(root, profile, placement)
    etree.indent(root, space="  ")
    return etree.tostring(root, encoding="unicode")


def _text(parent: etree._Element, tag: str, text: str, **attributes: str) -> etree._Element:
    child = etree.SubElement(parent, tag, attributes)
    child.text = text
    return child


def _operating_system(
    root: etree._Element, profile: WindowsProfile, placement: Placement, firmware: FirmwarePair | None
) -> None:
    system = etree.SubElement(root, "os")
    _text(system, "type", "hvm", arch="x86_64", machine=_MACHINE)
    if profile.firmware is Firmware.UEFI:
        if firmware is None:
            raise VmError("a UEFI guest needs the OVMF pair", where=profile.name, hint="apt-get install ovmf")
        _text(system, "loader", str(firmware.code), readonly="yes", secure="no", type="pflash")
        _text(system, "nvram", str(placement.variables), template=str(firmware.variables))
    # The disk first: empty, it fails over to the CD; installed, it boots by itself, and the prompt of the
    # UEFI medium ("press any key") is met once only.
    etree.SubElement(system, "boot", dev="hd")
    etree.SubElement(system, "boot", dev="cdrom")


def _cpu(root: etree._Element, *, kvm: bool) -> None:
    if kvm:
        etree.SubElement(root, "cpu", mode="host-passthrough")
        return
    cpu = etree.SubElement(root, "cpu", mode="maximum")
    # QEMU 7.2 emulates SMAP wrongly enough to end user programs (docs/guests.md).
    etree.SubElement(cpu, "feature", policy="disable", name="smap")


def _devices(
    root: etree._Element, profile: WindowsProfile, placement: Placement, emulator: str, *, kvm: bool
) -> None:
    devices = etree.SubElement(root, "devices")
    _text(devices, "emulator", emulator)
    disk = etree.SubElement(devices, "disk", type="file", device="disk")
    etree.SubElement(disk, "driver", name="qemu", type="qcow2", cache="unsafe", discard="unmap")
    etree.SubElement(disk, "source", file=str(placement.disk))
    if profile.disk_bus == "virtio":
        etree.SubElement(disk, "target", dev="vda", bus="virtio")
    else:
        etree.SubElement(disk, "target", dev="sda", bus="sata")
    letters = "bcdef"
    if len(placement.cds) > len(letters):
        raise VmError(f"at most {len(letters)} CDs fit", where=placement.name)
    for letter, path in zip(letters, placement.cds, strict=False):
        cd = etree.SubElement(devices, "disk", type="file", device="cdrom")
        etree.SubElement(cd, "driver", name="qemu", type="raw")
        etree.SubElement(cd, "source", file=str(path))
        etree.SubElement(cd, "target", dev=f"sd{letter}", bus="sata")
        etree.SubElement(cd, "readonly")
    etree.SubElement(devices, "controller", type="usb", model="qemu-xhci")
    etree.SubElement(devices, "input", type="tablet", bus="usb")
    serial = etree.SubElement(devices, "serial", type="file")
    etree.SubElement(serial, "source", path=str(placement.serial))
    etree.SubElement(serial, "target", type="isa-serial", port="0")
    if profile.tpm:
        tpm = etree.SubElement(devices, "tpm", model="tpm-crb")
        # Not libvirt's own swtpm: the state lies where the guest's disk does (vm.windows.tpm).
        backend = etree.SubElement(tpm, "backend", type="external")
        etree.SubElement(backend, "source", type="unix", mode="connect", path=str(placement.tpm_socket))
    etree.SubElement(devices, "graphics", type="vnc", socket=str(placement.display))
    video = etree.SubElement(devices, "video")
    etree.SubElement(video, "model", type="vga", vram="16384", heads="1")
    for device in placement.devices:
        if device.is_hosts:
            device.add_to(devices)
    etree.SubElement(devices, "memballoon", model="none")
    etree.SubElement(devices, "panic", model="hyperv" if kvm else "isa")


def _command_line(root: etree._Element, profile: WindowsProfile, placement: Placement) -> None:
    """User networking on loopback alone, which this libvirt cannot express, and the debug console."""
    line = etree.SubElement(root, f"{{{QEMU_NAMESPACE}}}commandline")
    arguments = [
        "-netdev",
        f"user,id=kshsnet,restrict=on,hostfwd=tcp:127.0.0.1:{placement.ssh_port}-:22",
        "-device",
        "e1000e,netdev=kshsnet,romfile=,addr=0x1d",
        "-chardev",
        f"file,id=kshsdbg,path={option_value(placement.debug_console)}",
        "-device",
        "isa-debugcon,iobase=0xe9,chardev=kshsdbg",
    ]
    for device in placement.devices:
        arguments += device.arguments()
    if placement.ram is not None:
        share = "on" if placement.ram_shared else "off"
        backend = f"memory-backend-file,id=kshsram,size={profile.memory_mib}M"
        arguments += ["-object", f"{backend},mem-path={option_value(placement.ram)},share={share}"]
        arguments += ["-machine", "memory-backend=kshsram"]
    if placement.incoming:
        arguments += ["-incoming", "defer"]
    if placement.plugin is not None:
        arguments += ["-plugin", placement.plugin]
    for argument in arguments:
        etree.SubElement(line, f"{{{QEMU_NAMESPACE}}}arg", value=argument)
