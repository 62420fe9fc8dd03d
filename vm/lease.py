# SPDX-License-Identifier: Apache-2.0
"""Leases: one clean guest each, handed out and thrown away."""

from __future__ import annotations

import contextlib
import shlex
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from vm import openssh
from vm.domain import Domain
from vm.errors import VmError
from vm.events import GuestEvents
from vm.files import private_directory, remove_tree
from vm.hypervisor import Hypervisor
from vm.keeper import KeptGuest
from vm.ports import with_free_port
from vm.ssh import Endpoint, connect
from vm.template import Template, guest_of, overlay

if TYPE_CHECKING:
    from vm.plugin.block_map import BlockMap
    from vm.shell import Shell


class Lease:
    """A running guest that is this holder's alone; a context manager that releases it."""

    def __init__(
        self,
        hv: Hypervisor,
        template: Template,
        domain: Domain,
        port: int,
        shell: Shell,
        directory: Path,
        evidence: Path,
        counters: BlockMap | None = None,
    ) -> None:
        self.template = template
        self.shell = shell
        self.evidence_dir = evidence
        """``serial.log`` and ``debugcon.log``: what the guest said without being asked."""
        self.counters = counters
        """What the guest executes, where the hypervisor counts it; it can be read of a guest that is gone."""
        self._hv = hv
        self._domain = domain
        self._port = port
        self._directory = directory
        self._released = False

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def id(self) -> str:
        """The guest's name in libvirt; tells the run, too."""
        return self._domain.name

    @property
    def pid(self) -> int | None:
        """Of the guest's QEMU; None where it does not run on this host."""
        return self._domain.pid

    @property
    def family(self) -> str:
        """``wine`` or ``windows``."""
        return self.template.family.name

    @property
    def events(self) -> GuestEvents:
        """What the hypervisor says of this guest."""
        return self._domain.events

    def standstill(self) -> str | None:
        """Why the virtual machine does not run just now; None where it does."""
        return self._domain.standstill()

    def ended(self, patience: float = 0.0) -> bool:
        """Whether the virtual machine is gone; `patience` seconds are given to the news of it."""
        if self._domain.process_ended:
            # What libvirt says of it, and why, is a moment away.
            self.events.wait(lambda events: events.stopped or events.crashed, max(patience, 1.0))
            return True
        return self.events.wait(lambda events: events.stopped, patience)

    def state(self) -> str:
        """What libvirt says that the virtual machine does."""
        return self._domain.state()

    def inject_nmi(self) -> None:
        """Makes a Windows guest that does not answer stop with a bugcheck; see `Domain.inject_nmi`."""
        self._domain.inject_nmi()

    def dump_memory(self, path: Path) -> str:
        """Writes the guest's memory; see `Domain.dump_memory`."""
        return self._domain.dump_memory(path)

    @property
    def endpoint(self) -> Endpoint:
        """Where the guest's SSH server is reached, and the keys of both sides."""
        return self.template.endpoint(self._port)

    def screenshot(self, path: Path) -> bool:
        """Writes what the guest's display shows as PNG; False where it has none, as a wine guest."""
        return self._domain.screenshot(path)

    def new_shell(self) -> Shell:
        """A second connection, for when the first one broke and the guest may still live.

        Raises:
            GuestLost, GuestTimeout: it does not.
        """
        return _shell(self._hv, self.template, self._domain, self._port)

    def keep(self) -> KeptGuest:
        """Leaves the guest running, also when this process has ended, for a person to look at.

        The lease ends with it: nothing of ours speaks to the guest any more.

        Raises:
            VmError: its QEMU has ended, or does not run on this host.
        """
        gdb = self._hv.slot / "gdb.sock"
        stub = f"gdbserver unix:{gdb},server=on,wait=off"
        self._domain.qmp("human-monitor-command", **{"command-line": stub})
        settings = openssh.settings_file(self.endpoint, self._directory)
        evidence = self.evidence_dir
        serial = next(iter(sorted(evidence.glob("com1.log"))), evidence / "serial.log")
        shell = shlex.join(["ssh", "-F", str(settings), openssh.ALIAS])
        kept = KeptGuest(self.id, shell, serial, evidence / "debugcon.log", gdb)
        self._hv.keep(self._domain, kept)
        self._released = True
        self.shell.close()
        return kept

    def release(self) -> None:
        """Ends the guest and removes its disk; evidence that was asked for elsewhere stays."""
        if self._released:
            return
        self._released = True
        self.shell.close()
        self._domain.kill()
        self._hv.forget(self._domain)
        remove_tree(self._directory)


def acquire(
    hv: Hypervisor, template: Template, *, evidence: Path | None = None, set_clock: bool = True
) -> Lease:
    """Forks a guest from the template and connects to it.

    ``evidence``: a directory (made where needed) that outlives the lease; by default it goes with it.
    ``set_clock``: False leaves the guest's clock where the template's stood; it is the caller's to set.

    Raises:
        VmError: the fork does not start.
        GuestLost, GuestTimeout: it starts and does not answer.
    """
    name, unique = hv.new_identity()
    directory = private_directory(hv.slot / "leases" / name)
    consoles = private_directory(evidence if evidence is not None else directory)
    overlay(directory / "disk.qcow2", template.disk, "qcow2")
    counters, plugin = hv.counters(directory)

    def start(port: int) -> Domain:
        guest = guest_of(
            hv, template.image, name, unique, disk=directory / "disk.qcow2", ram=template.ram,
            ram_shared=False, port=port, evidence=consoles, incoming=True, plugin=plugin,
            memory_mib=template.memory_mib, cpus=template.cpus,
        )  # fmt: skip
        return hv.start(guest.xml(), name, unique)

    domain = None
    try:
        domain, port = with_free_port(start)
        domain.load_devices(template.state)
        domain.resume()
        shell = _shell(hv, template, domain, port, set_clock=set_clock)
    except BaseException:
        if domain is not None:
            with contextlib.suppress(VmError):
                domain.kill()
            hv.forget(domain)
        remove_tree(directory)
        raise
    return Lease(hv, template, domain, port, shell, directory, consoles, counters)


def _shell(hv: Hypervisor, template: Template, domain: Domain, port: int, *, set_clock: bool = True) -> Shell:
    transport = connect(template.endpoint(port), hv.config.connect_timeout)
    from vm.shell import Shell  # its library is there by now, and was not needed before

    shell = Shell(transport, template.family, domain.name)
    if set_clock:
        shell.run(template.family.set_clock(time.time()), check=True)
    return shell
