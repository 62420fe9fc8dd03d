# SPDX-License-Identifier: Apache-2.0
"""The virtual machine while a Windows guest is made: started, watched from outside, saved, ended."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from vm.domain import Domain
from vm.errors import VmError
from vm.files import private_directory, remove_tree
from vm.hypervisor import Hypervisor
from vm.ports import with_free_port
from vm.windows import domain as description
from vm.windows.devices import GuestDevice
from vm.windows.profile import Firmware, WindowsProfile
from vm.windows.tpm import Tpm

_KEY_EVERY = 1.0
_ONE_REBOOT = 3.0  # seconds; no system is up and down again in less
PROMPT_SECONDS = 60.0
"""For how long after power-on the key is pressed: UEFI media wait five seconds for it, after the firmware."""


@dataclass(frozen=True)
class Hardware:
    """What stays the same over all starts of one guest."""

    profile: WindowsProfile
    disk: Path
    variables: Path
    cds: tuple[Path, ...] = ()
    devices: tuple[GuestDevice, ...] = ()

    @property
    def tpm(self) -> Path:
        """The folder of its TPM's state, beside the disk; there where the profile has one."""
        return self.disk.with_name("tpm")


class Machine:
    """One running machine; a context manager that ends it.

    Args:
        hv: the open hypervisor.
        hardware: what it is made of.
        folder: for its consoles, ``com1.log`` and ``debugcon.log``.
        incoming: it waits for `load`; else it stands before its first instruction.
        ram: a file that is its memory.
        ram_shared: whether what it writes there reaches the file.
        plugin: of QEMU's translator, as its option wants it (`vm.plugin.build.Plugin.argument`).

    Raises:
        VmError: libvirt or QEMU refuses it.
    """

    def __init__(
        self,
        hv: Hypervisor,
        hardware: Hardware,
        folder: Path,
        *,
        incoming: bool = False,
        ram: Path | None = None,
        ram_shared: bool = False,
        plugin: str | None = None,
    ) -> None:
        self._hv = hv
        self.folder = private_directory(folder)
        name, unique = hv.new_identity()
        self._sockets = private_directory(hv.slot / "leases" / name)
        firmware = description.firmware_pair() if hardware.profile.firmware is Firmware.UEFI else None

        self._tpm: Tpm | None = None

        def start(port: int) -> Domain:
            # swtpm serves one QEMU and ends with it, so each attempt has its own.
            self._end_tpm()
            if hardware.profile.tpm:
                self._tpm = Tpm(hardware.tpm, self._sockets)
            self.placement = description.Placement(
                name,
                hardware.disk,
                self.folder,
                port,
                hardware.cds,
                uuid=unique,
                nvram=hardware.variables,
                ram=ram,
                ram_shared=ram_shared,
                incoming=incoming,
                devices=hardware.devices,
                sockets=self._sockets,
                plugin=plugin,
            )
            xml = description.build(
                hardware.profile,
                self.placement,
                accelerator=hv.accelerator.kind,
                emulator=hv.emulator,
                firmware=firmware,
            )
            return hv.start(xml, name, unique)

        try:
            self.domain, self.port = with_free_port(start)
        except BaseException:
            self._end_tpm()
            raise
        self._begun = time.monotonic()
        self._next_key = 0.0

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def resume(self) -> None:
        """Lets it run."""
        self.domain.resume()
        self._begun = time.monotonic()

    def press_key(self) -> None:
        """Presses the space bar now and then while UEFI media may ask for "any key".

        The user's ISO stays as it is.  The first restart ends it: from then on the disk boots, and a key at
        the prompt would start Setup once more.
        """
        now = time.monotonic()
        if now < self._next_key or now - self._begun > PROMPT_SECONDS or self.reboots:
            return
        self._next_key = now + _KEY_EVERY
        with contextlib.suppress(VmError):
            # QEMU may take no key at this moment; the next second brings another.
            self.domain.press("spc")

    @property
    def reboots(self) -> int:
        """Restarts of the guest since this machine was started.

        QEMU may tell of one restart twice, when firmware resets the machine once more.
        """
        count, last = 0, float("-inf")
        for event in self.domain.events.all:
            if event.kind == "rebooted":
                count += event.at - last > _ONE_REBOOT
                last = event.at
        return count

    @property
    def ended(self) -> str | None:
        """How it ended: the hypervisor's words, None while it runs."""
        for event in self.domain.events.all:
            if event.kind == "stopped":
                return event.detail
        return None

    @property
    def shut_down(self) -> bool:
        """Whether the guest itself turned it off."""
        return self.ended == "the guest shut down"

    def save(self, target: Path) -> None:
        """Writes memory and devices into `target`; the machine stands still then.

        Raises:
            VmError: QEMU could not.
        """
        partial = target.with_suffix(".part")
        self.domain.suspend()
        self.domain.save_all(partial)
        partial.replace(target)

    def load(self, source: Path) -> None:
        """The reverse, in a machine that was made with `incoming`."""
        self.domain.load_all(source)

    def end(self) -> None:
        """Ends it at once, in whatever state; never raises."""
        with contextlib.suppress(VmError):
            self.domain.kill()
        self._end_tpm()
        self._hv.forget(self.domain)
        remove_tree(self._sockets)

    def _end_tpm(self) -> None:
        tpm, self._tpm = self._tpm, None
        if tpm is not None:
            with contextlib.suppress(VmError):
                tpm.end()
