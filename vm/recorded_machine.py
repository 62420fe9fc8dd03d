# SPDX-License-Identifier: Apache-2.0
"""The machine that is recorded and replayed: QEMU without libvirt, whose every input goes into a log.

Under ``-icount`` the guest's clock is its count of instructions, and with ``rr=record`` QEMU logs whatever
does not follow from them: packets, times of the host, moments of interrupts (docs/system/replay.rst of QEMU).
A replay is the same machine with the same state at its beginning; so there is one description for all of its
lives, and what differs stands in `Life`.  Whatever the log cannot hold is left out: a second processor, the
virtio random number generator, pvpanic's news (the machine's end is seen all the same).
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vm.domain import KERNEL_ARGUMENTS, option_value
from vm.errors import VmError
from vm.image import Image
from vm.monitor import Monitor
from vm.replay_qemu import ReplayQemu

SERIAL, BLOCKS, DEBUGCON = "serial.log", "agent.frames", "debugcon.log"
"""What the guest writes to its two serial ports and to port 0xe9; a replay writes them again."""
SECOND_PORT = "/dev/ttyS1"
"""In the guest; nothing but what is to be compared goes there."""
OUTPUT = "qemu.log"
_START = 60.0
_END = 120.0


@dataclass(frozen=True)
class Life:
    """What differs between making the state, recording and replaying.

    ``icount`` is the value of QEMU's option; ``port``, on the host's loopback, is forwarded to the guest's
    SSH server, None where the network is the log's; ``state`` is a snapshot of the disk to go on from;
    ``paused`` waits with the first instruction.
    """

    icount: str
    disk: Path
    evidence: Path
    port: int | None = None
    state: str | None = None
    paused: bool = False


def arguments(image: Image, memory_mib: int, name: str, monitor: Path, life: Life) -> list[str]:
    """QEMU's command line, without its program."""
    forward = f",hostfwd=tcp:127.0.0.1:{life.port}-:22" if life.port is not None else ""
    words = ["-name", f"guest={name}", "-nodefaults", "-no-user-config", "-display", "none"]
    words += ["-machine", "q35,accel=tcg,vmport=off,hpet=off", "-cpu", "qemu64", "-smp", "1"]
    words += ["-m", str(memory_mib), "-kernel", str(image.kernel), "-initrd", str(image.initrd)]
    words += ["-append", KERNEL_ARGUMENTS]
    disk = option_value(life.disk)
    words += ["-drive", f"file={disk},format=qcow2,if=none,id=direct,cache=unsafe,discard=unmap"]
    words += ["-drive", "driver=blkreplay,if=none,image=direct,id=replayed"]
    words += ["-device", "virtio-blk-pci,drive=replayed"]
    words += ["-netdev", f"user,id=net0,restrict=on{forward}"]
    words += ["-device", "virtio-net-pci,netdev=net0,romfile=,addr=0x1d"]
    words += ["-object", "filter-replay,id=replay0,netdev=net0"]
    for number, file in enumerate((SERIAL, BLOCKS)):
        words += ["-chardev", f"file,id=serial{number},path={option_value(life.evidence / file)}"]
        words += ["-serial", f"chardev:serial{number}"]
    words += ["-chardev", f"file,id=debugcon,path={option_value(life.evidence / DEBUGCON)}"]
    words += ["-device", "isa-debugcon,iobase=0xe9,chardev=debugcon"]
    words += ["-qmp", f"unix:{option_value(monitor)},server=on,wait=off", "-icount", life.icount]
    if life.state is not None:
        words += ["-loadvm", life.state]
    if life.paused:
        words += ["-S"]
    return words


class Machine:
    """A running one; a context manager that ends it.

    Args:
        qemu: that can replay.
        image: kernel and first file system.
        memory_mib: of the guest.
        name: of the guest.
        directory: for its sockets, short (unix(7)).
        life: see there.
        more: further arguments.

    Raises:
        VmError: it does not start; from every method, where QEMU refuses or is gone.
    """

    def __init__(
        self,
        qemu: ReplayQemu,
        image: Image,
        memory_mib: int,
        name: str,
        directory: Path,
        life: Life,
        more: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.life = life
        self._log = life.evidence / OUTPUT
        socket = directory / "qmp.sock"
        socket.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            self._process = qemu.start(
                [*arguments(image, memory_mib, name, socket, life), *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.monitor: Monitor | None = None
        try:
            self._await(socket)
            self.monitor = Monitor(socket, name)
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Of QEMU."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether QEMU is gone."""
        return self._process.poll() is not None

    @property
    def exit_code(self) -> int | None:
        """Of QEMU, once it is gone."""
        return self._process.poll()

    def command(self, name: str, timeout: float = 60.0, **arguments: Any) -> Any:
        """One command of QEMU's monitor; gives what it returns."""
        if self.monitor is None:
            raise VmError("its monitor is closed", self.name)
        try:
            return self.monitor.command(name, timeout, **arguments)
        except VmError as error:
            if self.ended:
                error.message += f"; it said: {self.said}"
            raise

    def human(self, line: str, timeout: float = 60.0) -> str:
        """One line of the monitor for people.

        Raises:
            VmError: also where what it prints is an error: that monitor has no other way to say so.
        """
        if self.monitor is None:
            raise VmError("its monitor is closed", self.name)
        said = self.monitor.human(line, timeout).strip()
        if said.startswith("Error"):
            raise VmError(f"QEMU refuses {line}: {said.removeprefix('Error: ')}", self.name)
        return said

    @property
    def said(self) -> str:
        """The last that QEMU itself has said."""
        with contextlib.suppress(OSError):
            lines = self._log.read_text(errors="replace").strip().splitlines()
            return lines[-1][:300] if lines else "nothing"
        return "nothing"

    @property
    def instructions(self) -> int:
        """How many the guest has executed since the recording began; only while recorded or replayed."""
        return int(self.command("query-replay")["icount"])

    def break_at(self, instructions: int) -> None:
        """A replay stops there, by itself, when it runs."""
        self.command("replay-break", icount=instructions)

    def state(self) -> str:
        """In QEMU's word: running, paused, internal-error ..."""
        return str(self.command("query-status")["status"])

    def await_line(self, text: str, timeout: float) -> None:
        """Until the guest has written this to its console.

        Raises:
            VmError: it has not within so many seconds, or is gone.
        """
        end, console = time.monotonic() + timeout, self.life.evidence / SERIAL
        while not (console.exists() and text.encode() in console.read_bytes()):
            if self.wait(0.1):
                raise VmError(f"QEMU ended while the guest booted: {self.said}", self.name)
            if time.monotonic() > end:
                raise VmError(f"the guest is not up within {timeout:.0f} s", self.name)

    def await_no_connection(self, timeout: float = 10.0) -> None:
        """Until the guest has seen the end of every connection that came through its forwarded port."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            states = re.findall(r"TCP\[(\w+)\]", self.human("info usernet"))
            if all(state in ("HOST_FORWARD", "TIME_WAIT", "CLOSED") for state in states):
                return
            self.wait(0.02)

    def quit(self) -> None:
        """Ends it in an orderly way, with which alone the log of a recording is whole."""
        with contextlib.suppress(VmError):
            self.command("quit")
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self.kill()
            raise VmError(f"does not end within {_END:.0f} s", self.name) from None
        self._close()

    def kill(self) -> None:
        """Ends it at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close()

    def wait(self, timeout: float) -> bool:
        """Whether it has ended by itself within so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        return self.ended

    def _close(self) -> None:
        monitor, self.monitor = self.monitor, None
        if monitor is not None:
            monitor.close()

    def _await(self, socket: Path) -> None:
        """Until the monitor's socket is there; its bind follows the start of QEMU, and makes no event."""
        end = time.monotonic() + _START
        watched = os.pidfd_open(self._process.pid)
        try:
            while not socket.exists():
                if select.select([watched], [], [], 0.02)[0]:
                    self._process.wait()
                    raise VmError(f"QEMU does not start: {self.said}", self.name)
                if time.monotonic() > end:
                    raise VmError(f"QEMU has no monitor within {_START:.0f} s", self.name)
        finally:
            os.close(watched)
