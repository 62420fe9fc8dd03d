# SPDX-License-Identifier: Apache-2.0
"""One virtual machine: its description for libvirt, and the handle on it while it runs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shlex
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu
from lxml import etree
from lxml.builder import E
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from vm.accel import Accelerator
from vm.errors import VmError
from vm.events import GuestEvents

QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
# norandmaps: with newer kernels a heap may lie where Wine needs NT's shared user data (docs/guests.md).
KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet mitigations=off nokaslr norandmaps no_timer_check audit=0 net.ifnames=0 panic=-1 "
    "random.trust_bootloader=on rng_core.default_quality=1000"
)

_PAUSED = {
    libvirt.VIR_DOMAIN_PAUSED_USER: "somebody paused the virtual machine",
    libvirt.VIR_DOMAIN_PAUSED_IOERROR: (
        "QEMU paused the virtual machine, for its disk cannot be written: is the host's full?"
    ),
}

_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "blocked",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "shutting down",
    libvirt.VIR_DOMAIN_SHUTOFF: "ended",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "suspended by its guest",
}


@dataclass(frozen=True)
class LinuxGuest:
    """A guest that QEMU boots by its kernel; the hardware of a template and of its forks is the same."""

    name: str
    uuid: str
    emulator: str
    machine: str
    accelerator: Accelerator
    memory_mib: int
    kernel: Path
    initrd: Path
    disk: Path
    ram: Path
    ram_shared: bool
    """True: what the guest writes reaches the file (a template in the making). False: it stays ours."""
    port: int
    """On the host's loopback, forwarded to the guest's SSH server."""
    evidence: Path
    incoming: bool
    """Wait for a saved state instead of booting."""
    cpus: int = 1
    plugin: str | None = None
    """Of QEMU's translator, as its option wants it (`vm.plugin.build.Plugin.argument`)."""

    def xml(self) -> str:
        """The description.  Devices that libvirt cannot describe go through QEMU's own arguments."""
        kvm = self.accelerator.kind == "kvm"
        # qemu64: Wine dies under `max` on QEMU 7.2.  One processor by default: two are slower under TCG.
        cpu = (
            E.cpu(mode="host-passthrough")
            if kvm
            else E.cpu(E.model("qemu64", fallback="forbid"), mode="custom", match="exact", check="none")
        )
        features = E.features(E.acpi(), E.apic(), E.vmport(state="off"))
        if not kvm:
            features.append(E.tcg(etree.fromstring("<tb-cache unit='MiB'>128</tb-cache>")))
        serial = E.serial(E.source(path=str(self.evidence / "serial.log")), E.target(port="0"), type="file")
        domain = etree.Element("domain", type="kvm" if kvm else "qemu", nsmap={"qemu": QEMU_NAMESPACE})
        domain.extend(
            [
                E.name(self.name),
                E.uuid(self.uuid),
                E.memory(str(self.memory_mib), unit="MiB"),
                E.vcpu(str(self.cpus)),
                E.os(
                    E.type("hvm", arch="x86_64", machine=self.machine),
                    E.kernel(str(self.kernel)),
                    E.initrd(str(self.initrd)),
                    E.cmdline(KERNEL_ARGUMENTS),
                ),
                features,
                cpu,
                E.clock(E.timer(name="hpet", present="no"), offset="utc"),
                E.on_poweroff("destroy"),
                E.on_reboot("destroy"),
                E.on_crash("preserve"),
                E.devices(
                    E.emulator(self.emulator),
                    E.disk(
                        E.driver(name="qemu", type="qcow2", cache="unsafe", discard="unmap"),
                        E.source(file=str(self.disk)),
                        E.target(dev="vda", bus="virtio"),
                        type="file",
                        device="disk",
                    ),
                    E.controller(type="usb", model="none"),
                    serial,
                    E.video(E.model(type="none")),
                    E.memballoon(model="none"),
                    E.rng(E.backend("/dev/urandom", model="random"), model="virtio"),
                    E.panic(model="isa"),
                ),
                self._qemu_arguments(),
            ]
        )
        return etree.tostring(domain, encoding="unicode")

    def _qemu_arguments(self) -> etree._Element:
        share = "on" if self.ram_shared else "off"
        forward = f"hostfwd=tcp:127.0.0.1:{self.port}-:22"
        arguments = [
            "-object",
            f"memory-backend-file,id=ram0,size={self.memory_mib}M,mem-path={option_value(self.ram)},share={share}",
            "-machine",
            "memory-backend=ram0",
            "-netdev",
            f"user,id=net0,restrict=on,{forward}",
            "-device",
            "virtio-net-pci,netdev=net0,romfile=,addr=0x1d",
            "-chardev",
            f"file,id=debugcon,path={option_value(self.evidence / 'debugcon.log')}",
            "-device",
            "isa-debugcon,iobase=0xe9,chardev=debugcon",
        ]
        if self.incoming:
            arguments += ["-incoming", "defer"]
        if self.plugin is not None:
            arguments += ["-plugin", self.plugin]
        line = etree.Element(f"{{{QEMU_NAMESPACE}}}commandline")
        for argument in arguments:
            etree.SubElement(line, f"{{{QEMU_NAMESPACE}}}arg", value=argument)
        return line


def option_value(path: Path) -> str:
    """A path as a value of an option: QEMU's option parser ends a value at a comma unless it is doubled."""
    return str(path).replace(",", ",,")


class Domain:
    """A running virtual machine.

    Raises:
        VmError: from every method, where libvirt or QEMU refuses.
    """

    def __init__(
        self, handle: libvirt.virDomain, name: str, uuid: str, events: GuestEvents, pid: int | None
    ) -> None:
        self._handle = handle
        self.name = name
        self.uuid = uuid
        self.events = events
        self.pid = pid
        """Of QEMU; None where it does not run on this host."""

    def qmp(self, command: str, **arguments: Any) -> Any:
        """One command of QEMU's monitor (QMP); gives what it returns."""
        request = json.dumps({"execute": command, "arguments": arguments})
        try:
            answer = json.loads(libvirt_qemu.qemuMonitorCommand(self._handle, request, 0))
        except libvirt.libvirtError as error:
            raise self._failed(command, error) from None
        if "error" in answer:
            raise VmError(f"QEMU refuses {command}: {answer['error'].get('desc')}", self.name)
        return answer.get("return")

    def resume(self) -> None:
        """Lets the guest run."""
        self._call("resume")

    def suspend(self) -> None:
        """Stops the guest's processor."""
        self._call("suspend")

    def save_devices(self, state: Path, timeout: float = 60) -> None:
        """Writes all but the memory, which is in its file already; the guest must be suspended."""
        self._ignore_shared_memory()
        self.qmp("migrate", uri=f"exec:cat > {shlex.quote(str(state))}")
        self._migrated(timeout)

    def load_devices(self, state: Path, timeout: float = 60) -> None:
        """The reverse, for a guest that was started with ``incoming``."""
        self._ignore_shared_memory()
        self.qmp("migrate-incoming", uri=f"exec:cat {shlex.quote(str(state))}")
        self._migrated(timeout)

    def save_all(self, state: Path, timeout: float = 600) -> None:
        """Writes memory and devices; the guest must be suspended."""
        self.qmp("migrate", uri=f"exec:cat > {shlex.quote(str(state))}")
        self._migrated(timeout)

    def load_all(self, state: Path, timeout: float = 600) -> None:
        """The reverse, for a guest that was started with ``incoming``."""
        self.qmp("migrate-incoming", uri=f"exec:cat {shlex.quote(str(state))}")
        self._migrated(timeout)

    def press(self, key: str) -> None:
        """Presses a key for a moment; ``key`` is one of QEMU's QKeyCode names."""
        self.qmp("send-key", keys=[{"type": "qcode", "data": key}])

    def _ignore_shared_memory(self) -> None:
        capability = {"capability": "x-ignore-shared", "state": True}
        self.qmp("migrate-set-capabilities", capabilities=[capability])

    def _migrated(self, timeout: float) -> None:
        def unfinished(status: str | None) -> bool:
            return status not in ("completed", "failed", "cancelled")

        try:
            status = Retrying(
                retry=retry_if_result(unfinished), wait=wait_fixed(0.005), stop=stop_after_delay(timeout)
            )(lambda: self.qmp("query-migrate").get("status"))
        except RetryError:
            raise VmError(f"its state was not transferred within {timeout:.0f} s", self.name) from None
        if status != "completed":
            raise VmError(f"QEMU could not transfer its state ({status})", self.name)

    def await_no_connection(self, timeout: float = 10) -> None:
        """Until the guest has seen the end of every connection that came through its forwarded port."""

        def established() -> bool:
            table = self.qmp("human-monitor-command", **{"command-line": "info usernet"})
            states = re.findall(r"TCP\[(\w+)\]", table)
            return any(state not in ("HOST_FORWARD", "TIME_WAIT", "CLOSED") for state in states)

        with contextlib.suppress(RetryError):
            Retrying(retry=retry_if_result(bool), wait=wait_fixed(0.02), stop=stop_after_delay(timeout))(
                established
            )

    def screenshot(self, path: Path) -> bool:
        """Writes what the guest's display shows as PNG; whether it has one."""
        try:
            self.qmp("screendump", filename=str(path), format="png")
        except VmError as error:
            if "no console" in error.message:
                return False
            raise
        return True

    def state(self) -> str:
        """What libvirt says that the virtual machine does (running, paused, crashed), with its reason."""
        try:
            state, reason = self._handle.state()
        except libvirt.libvirtError as error:
            return f"unknown: {error.get_error_message() or error}"
        return f"{_STATES.get(state, f'state {state}')} (reason {reason})"

    @property
    def process_ended(self) -> bool:
        """Whether QEMU is gone from this host, which libvirt may notice a while later."""
        if self.pid is None:
            return False
        try:
            return self.uuid.encode() not in Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return True

    def inject_nmi(self) -> None:
        """Sends the guest's processors an NMI: a Windows that does not answer stops with a bugcheck."""
        try:
            self._handle.injectNMI()
        except libvirt.libvirtError as error:
            raise self._failed("an NMI cannot be sent", error) from None

    def dump_memory(self, path: Path) -> str:
        """Writes the guest's memory, as a Windows crash dump where its kernel lets QEMU; says the format.

        The first needs QEMU's vmcoreinfo device and its driver in the guest; the second, an ELF core that is
        compressed by page, needs nothing.
        """
        formats = (
            (libvirt.VIR_DOMAIN_CORE_DUMP_FORMAT_WIN_DMP, "Windows crash dump"),
            (libvirt.VIR_DOMAIN_CORE_DUMP_FORMAT_KDUMP_ZLIB, "kdump, zlib"),
        )
        failed: VmError | None = None
        for form, words in formats:
            try:
                self._handle.coreDumpWithFormat(str(path), form, libvirt.VIR_DUMP_MEMORY_ONLY)
                return words
            except libvirt.libvirtError as error:
                failed = self._failed(f"its memory cannot be written as {words}", error)
                path.unlink(missing_ok=True)
        assert failed is not None
        raise failed

    def standstill(self) -> str | None:
        """Why the virtual machine does not run just now, through no doing of its guest; None: it runs."""
        if self.pid is not None and _is_stopped(self.pid):
            return f"QEMU was stopped by a signal or a debugger (process {self.pid})"
        with contextlib.suppress(libvirt.libvirtError):
            state, reason = self._handle.state()
            if state == libvirt.VIR_DOMAIN_PAUSED:
                return _PAUSED.get(reason, f"the virtual machine was paused (reason {reason})")
        return None

    def kill(self, timeout: float = 10) -> None:
        """Ends the virtual machine at once.

        QEMU is killed by its process id, after which libvirt tidies up by itself: libvirt's own destroy
        takes one to two seconds longer.  Where the process is not on this host, libvirt does it.
        """
        self.events.expect_end()
        if self.pid is not None:
            kill_process(self.pid, self.uuid, timeout)
            return
        with contextlib.suppress(libvirt.libvirtError):
            self._handle.destroy()

    def _call(self, method: str) -> None:
        try:
            getattr(self._handle, method)()
        except libvirt.libvirtError as error:
            raise self._failed(method, error) from None

    def _failed(self, what: str, error: libvirt.libvirtError) -> VmError:
        return VmError(f"{what}: {error.get_error_message() or error}", self.name)


def _is_stopped(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return fields[fields.rindex(")") + 2] in "Tt"  # behind the name, in which anything may stand


def kill_process(pid: int, mark: str, timeout: float = 10) -> bool:
    """Kills a process whose command line holds ``mark``, and waits for its end; whether it was there.

    The process is held by a descriptor before it is looked at, so that its number cannot come to mean
    another one in between.
    """
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if mark.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return False
        signal.pidfd_send_signal(process, signal.SIGKILL)
        if not select.select([process], [], [], timeout)[0]:
            raise VmError(f"process {pid} does not end", hint="look at it with ps")
    except (ProcessLookupError, FileNotFoundError):
        return False
    finally:
        os.close(process)
    return True
