# SPDX-License-Identifier: Apache-2.0
"""The connection to libvirt, and the slot of the runtime directory that goes with it."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

import libvirt
import libvirt_qemu

from vm import accel, keeper, reaper, remote, slots
from vm.commands import qemu_version, require
from vm.config import VmConfig
from vm.domain import Domain
from vm.errors import InputError, VmError
from vm.events import GuestEvents
from vm.family import family
from vm.files import write_whole
from vm.keeper import KeptGuest
from vm.progress import Progress

if TYPE_CHECKING:
    from vm.plugin.block_map import BlockMap
    from vm.plugin.build import Plugin

EMBEDDED = "qemu:///embed"
COUNTERS = "coverage.map"
"""The file of a guest's counters, in its own directory."""

_QEMU_CONF = """\
# Written by kshs: no service manager, no other daemon, nothing shared with the host's libvirt.
security_driver = "none"
user = "+{uid}"
group = "+{gid}"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = [ ]
namespaces = [ ]
clear_emulator_capabilities = 0
stdio_handler = "file"
seccomp_sandbox = 0
max_core = 0
# Else libvirt asks QEMU for some two hundred properties of the processor, one by one: 0.2 s of each start.
capability_filters = [ "cpu-unavailable-features" ]
"""

_ONCE_A_PROCESS = {
    "Too many drivers": "sixteen times is all in one process: use another",
    "already open with path": "one runtime_dir is all in one process, even when it was closed: use another",
}
"""What the embedded driver does not do twice, by libvirt's words."""

_STOPPED = {
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: "the guest shut down",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED: "destroyed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED: "the guest crashed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED: "QEMU ended by itself",
}
_LIFECYCLE = {
    libvirt.VIR_DOMAIN_EVENT_STARTED: "started",
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: "suspended",
    libvirt.VIR_DOMAIN_EVENT_RESUMED: "resumed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED: "stopped",
    libvirt.VIR_DOMAIN_EVENT_CRASHED: "crashed",
}


class _EventLoop:
    """libvirt's event loop: one thread for the life of the process, as libvirt wants it."""

    _started: ClassVar[bool] = False
    _lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def start(cls) -> None:
        with cls._lock:
            if cls._started:
                return
            # Errors reach us as exceptions; libvirt would print them as well.
            libvirt.registerErrorHandler(lambda _context, _error: None, None)
            libvirt.virEventRegisterDefaultImpl()
            threading.Thread(target=cls._run, name="libvirt-events", daemon=True).start()
            cls._started = True

    @staticmethod
    def _run() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()


class Hypervisor:
    """One connection with its slot; a context manager.

    With the embedded driver the slot is libvirt's root directory.  Slots are numbered and reused, since
    libvirt keeps what it found out about QEMU there (it takes 4 to 8 s to find out).  Each live process
    holds the lock of its own, with the embedded driver until it ends: its root stays the process's.

    libvirt has one embedded driver in a process, so a process has one open hypervisor.

    Raises:
        VmError: on entering, where the connection cannot be made.
    """

    _open_here: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, config: VmConfig) -> None:
        self.config = config
        self._slot: slots.Slot | None = None
        self._connection: libvirt.virConnect | None = None
        self._guests: dict[str, GuestEvents] = {}
        self._domains: dict[str, Domain] = {}
        self._guard = threading.Lock()
        self._counter = 0
        self.plugin: Plugin | None = None
        """With which guests are started from now on; see `count_blocks`."""

    def __enter__(self) -> Hypervisor:
        remote.check(self.config.uri)
        if not Hypervisor._open_here.acquire(blocking=False):
            raise VmError("a process has one hypervisor, and this one has it open", hint="share it")
        try:
            _EventLoop.start()
            reaper.reap(self.config)
            self._slot = slots.keep(self.config) if self._embedded else slots.take(self.config)
            self._connection = self._open()
            self._subscribe()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def _embedded(self) -> bool:
        """Whether libvirt's driver is in this process, below our slot."""
        return self.config.uri.startswith(EMBEDDED) and "root=" not in self.config.uri

    @property
    def slot(self) -> Path:
        """The directory that is this process's alone."""
        if self._slot is None:
            raise VmError("the hypervisor is not open", hint="use it in a with statement")
        return self._slot.directory

    @cached_property
    def accelerator(self) -> accel.Accelerator:
        """What guests run on."""
        return accel.probe(self.config)

    @cached_property
    def emulator(self) -> str:
        """The path of QEMU."""
        return require(self.config.qemu)

    @cached_property
    def qemu_version(self) -> str:
        """As QEMU says it, with the distribution's revision."""
        return qemu_version(self.emulator)

    def count_blocks(self, progress: Progress | None = None) -> None:
        """From now on every guest of this process is started with the plugin that counts what it executes.

        Raises:
            InputError: it cannot be done with guests of this kind, with the reason.
            VmError: the plugin cannot be built, or this QEMU does not take it.
        """
        if self.accelerator.kind != "tcg":
            raise InputError(
                "guests run on KVM, where the processor itself executes their code and nobody can count it",
                "coverage",
                'set accelerator = "tcg" in [vm] of kshs.toml, which is slower',
            )
        if remote.other_host(self.config.uri) is not None:
            raise InputError(
                "guests run on another host, whose memory this one does not share",
                self.config.uri,
                "run kshs there",
            )
        from vm.plugin import build

        self.plugin = build.ensure(self.config, self.emulator, self.qemu_version, progress)

    def counters(
        self, directory: Path, *, drivers_of: str | None = None
    ) -> tuple[BlockMap | None, str | None]:
        """The counters for a guest to be, in a directory of its own, and QEMU's argument for them.

        Args:
            directory: gets the file.
            drivers_of: counts from the first instruction on wherever drivers of this family of guests may
                lie; else nothing is counted until ranges are set.

        Returns:
            None twice where nobody counts.
        """
        if self.plugin is None:
            return None, None
        from vm.plugin import block_map

        file = directory / COUNTERS
        argument = self.plugin.argument(file)
        if drivers_of is None:
            return block_map.BlockMap.create(file), argument
        on_linux = family(drivers_of).runs_on_linux
        half = block_map.USER_HALF if on_linux else block_map.KERNEL_HALF
        return block_map.BlockMap.create(file, half, block_map.WIDE_CAPACITY), argument

    def new_identity(self) -> tuple[str, str]:
        """Name and UUID for the next guest; unique among all runs of this host."""
        with self._guard:
            self._counter += 1
            unique = uuid.uuid4()
            return f"kshs-{self.slot.name}-{unique.hex[:6]}-{self._counter}", str(unique)

    def start(self, description: str, name: str, unique: str) -> Domain:
        """Starts the described domain with its processor stopped.

        Raises:
            VmError: libvirt or QEMU refuses.
        """
        events = GuestEvents()
        with self._guard:
            self._guests[unique] = events
        connection = self._connection
        if connection is None:
            raise VmError("the hypervisor is not open", hint="use it in a with statement")
        try:
            handle = connection.createXML(description, libvirt.VIR_DOMAIN_START_PAUSED)
        except libvirt.libvirtError as error:
            with self._guard:
                del self._guests[unique]
            raise VmError(f"cannot be started: {error.get_error_message() or error}", name) from None
        domain = Domain(handle, name, unique, events, slots.find_process(unique))
        with self._guard:
            self._domains[unique] = domain
        return domain

    def forget(self, domain: Domain) -> None:
        """The domain is dead; its events are of no more interest."""
        with self._guard:
            self._domains.pop(domain.uuid, None)
            self._guests.pop(domain.uuid, None)

    def keep(self, domain: Domain, how: KeptGuest) -> None:
        """The domain outlives this process: a keeper has it from now on.

        Raises:
            VmError: its QEMU is not on this host, or has ended.
        """
        if domain.pid is None or domain.process_ended:
            raise VmError("cannot be kept: its QEMU does not run on this host", domain.name)
        keeper.start(self.slot, domain.pid, how)
        self.forget(domain)

    def _close(self) -> None:
        """Ends every guest of this process and gives the slot back."""
        with self._guard:
            domains = list(self._domains.values())
            self._domains.clear()
            self._guests.clear()
        for domain in domains:
            with contextlib.suppress(VmError):
                domain.kill()
        connection, self._connection = self._connection, None
        if connection is not None:
            # libvirt tidies up after a killed QEMU in its own time, a second or more where process 1 collects
            # its children late.  Nobody waits for that: the slot is emptied here, and the names are unique.
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.release()
        self._open_here.release()

    def _open(self) -> libvirt.virConnect:
        uri = self.config.uri
        if self._embedded:
            etc = self.slot / "etc"
            etc.mkdir(mode=0o700, exist_ok=True)
            write_whole(etc / "qemu.conf", _QEMU_CONF.format(uid=os.getuid(), gid=os.getgid()))
            uri = f"{EMBEDDED}?root={self.slot}"
        try:
            connection = libvirt.open(uri)
            connection.getVersion()
        except libvirt.libvirtError as error:
            said = error.get_error_message() or str(error)
            # Each opening of the embedded driver registers it anew, in a table of sixteen places.
            hint = next(
                (hint for words, hint in _ONCE_A_PROCESS.items() if words in said), "run: kshs doctor"
            )
            raise VmError(f"libvirt cannot be reached: {said}", uri, hint) from None
        return connection

    def _subscribe(self) -> None:
        assert self._connection is not None
        self._connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle, None
        )
        self._connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._on_reboot, None
        )
        libvirt_qemu.qemuMonitorEventRegister(self._connection, None, "GUEST_PANICKED", self._on_panic, None)

    def _on_lifecycle(
        self,
        _connection: libvirt.virConnect,
        domain: libvirt.virDomain,
        event: int,
        detail: int,
        _opaque: Any,
    ) -> None:
        kind = _LIFECYCLE.get(event)
        if kind is None:
            return
        text = _STOPPED.get(detail, f"detail {detail}") if kind == "stopped" else ""
        self._record(domain, kind, text)

    def _on_reboot(self, _connection: libvirt.virConnect, domain: libvirt.virDomain, _opaque: Any) -> None:
        self._record(domain, "rebooted", "")

    def _on_panic(
        self,
        _connection: libvirt.virConnect,
        domain: libvirt.virDomain,
        _event: str,
        _seconds: int,
        _micros: int,
        details: str | None,
        _opaque: Any,
    ) -> None:
        self._record(domain, "panicked", details or "")

    def _record(self, domain: libvirt.virDomain, kind: str, detail: str) -> None:
        with self._guard:
            events = self._guests.get(domain.UUIDString())
        if events is not None:
            events.record(kind, detail)
