# SPDX-License-Identifier: Apache-2.0
"""How guests, connections and hosts are broken for real while a request is inside the driver."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from harness.errors import HarnessError
from harness.selftest.case import Scene

#: Seconds for a command that breaks the guest.
_COMMAND = 90.0
_DAY = 86400

#: Fills the guest's memory until Linux ends a process, for which the one that hosts drivers is put forward.
_FILL = """
for p in $(pidof winedevice.exe); do echo 1000 >/proc/$p/oom_score_adj; done
n=0
until dmesg | grep -q 'Out of memory: Killed process' || [ $n -ge 150 ]; do
  for f in /dev/shm/kshs /tmp/kshs; do dd if=/dev/zero bs=1M count=4 2>/dev/null >>$f; done
  n=$((n+1))
done
rm -f /dev/shm/kshs /tmp/kshs
dmesg | grep -q 'Out of memory: Killed process'
"""


def in_flight(act: Callable[[Scene], None]) -> Callable[[Scene], None]:
    """A provocation that is to happen once the request is inside the driver."""
    return lambda scene: scene.when_in_flight(act)


def kill_qemu(scene: Scene) -> None:
    """What a host does that runs out of memory."""
    os.kill(_qemu(scene), signal.SIGKILL)


def stop_qemu(scene: Scene) -> None:
    """What kill -STOP does, and a host that swaps or is suspended."""
    os.kill(_qemu(scene), signal.SIGSTOP)


def lose_ssh(scene: Scene) -> None:
    """The guest's SSH server dies with all of its connections; its init starts another."""
    shell = scene.guest.lease.new_shell()
    with contextlib.suppress(Exception):  # this command's own connection is among them
        shell.run("kill -9 $(pidof dropbear)", timeout=10)
    shell.close()


def lose_libvirt(scene: Scene) -> None:
    """libvirt's connection to the guest's QEMU breaks; with the embedded driver that socket is ours."""
    lease = scene.guest.id
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if not str(descriptor.readlink()).startswith("socket:"):
                continue
            found = socket.socket(fileno=os.dup(int(descriptor.name)))
            with found:
                peer = found.getpeername() if found.family == socket.AF_UNIX else ""
                # libvirt names the folder of a domain's sockets by its number and the begin of its name.
                if isinstance(peer, str) and peer.endswith("/monitor.sock") and _is_of(peer, lease):
                    found.shutdown(socket.SHUT_RDWR)
                    return
    raise HarnessError("libvirt's connection to QEMU was not found in this process")


def _is_of(path: str, name: str) -> bool:
    folder = Path(path).parent.name.split("-", 2)
    return len(folder) == 3 and bool(folder[2]) and name.startswith(folder[2])


def jump_clock(scene: Scene) -> None:
    """The guest's clock goes a day ahead, and then two days back."""
    shell = scene.guest.lease.new_shell()
    for seconds in (_DAY, -_DAY):
        shell.run(f"date -u -s @{round(time.time()) + seconds} >/dev/null", check=True, timeout=_COMMAND)
    shell.close()


def use_up_memory(scene: Scene) -> None:
    """Linux ends the process that hosts the drivers for want of memory."""
    shell = scene.guest.lease.new_shell()
    with contextlib.suppress(Exception):  # it may end the SSH server as well
        shell.run(["sh", "-c", _FILL], check=True, timeout=_COMMAND)
    shell.close()


def fill_disk(scene: Scene) -> None:
    """The disk of the run's journal is full: every write of it ends with the kernel's own ENOSPC."""
    journal = scene.runner.journal._fd
    kept, full = os.dup(journal), os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(full, journal)
    os.close(full)

    def free() -> None:
        os.dup2(kept, journal)
        os.close(kept)

    scene.undo.append(free)


def _qemu(scene: Scene) -> int:
    pid = scene.guest.lease.pid
    if pid is None:
        raise HarnessError("QEMU does not run on this host")
    return pid
