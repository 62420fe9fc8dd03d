# SPDX-License-Identifier: Apache-2.0
"""What a fork of a guest costs at least: bare QEMU, its monitor, and one SSH connect.

The machine must be the same to the last device, or it could not take up the saved state.  So the
command line is that of a lease, with what only libvirt needs taken out of it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from vm.ports import free_port
from vm.ssh import Endpoint, connect
from vm.template import overlay

if TYPE_CHECKING:
    from vm.lease import Lease

_CONNECT_TIMEOUT = 60.0
_MONITOR_TIMEOUT = 20.0


def bare_command(argv: Sequence[str], *, old: Path, new: Path, old_port: int, new_port: int) -> list[str]:
    """The command line of a lease's QEMU without libvirt: its monitor is a socket, its files are in `new`.

    Args:
        argv: as /proc shows it.
        old: directory of the lease.
        new: directory for the bare machine; its monitor is ``monitor`` there.
        old_port, new_port: forwarded to the guest's SSH server.
    """
    bare: list[str] = []
    words = iter(argv)
    for word in words:
        if word in ("-add-fd", "-name", "-sandbox"):
            next(words, None)
            continue
        if word.startswith("{") and "master-key" in word:  # its -object goes, too
            bare.pop()
            continue
        if word.startswith("socket,id=charmonitor,"):
            word = f"socket,id=charmonitor,path={new / 'monitor'},server=on,wait=off"
        elif word.startswith("file,id=charserial0,"):
            word = f"file,id=charserial0,path={new / 'serial.log'}"
        word = word.replace(f"hostfwd=tcp:127.0.0.1:{old_port}-", f"hostfwd=tcp:127.0.0.1:{new_port}-")
        bare.append(word.replace(f"{old}/", f"{new}/"))
    return bare


class BareForks:
    """Forks the template of a lease by bare QEMU, one after the other.

    Args:
        lease: a live one; only looked at.
        directory: for the forks' files; short, since a socket lies in it.

    Raises:
        HarnessError: the guest's QEMU does not run on this host.
    """

    def __init__(self, lease: Lease, directory: Path) -> None:
        if lease.pid is None:
            raise HarnessError("the guest's QEMU does not run on this host, so nothing can be compared")
        raw = Path(f"/proc/{lease.pid}/cmdline").read_bytes()
        self._argv = [word.decode() for word in raw.rstrip(b"\0").split(b"\0")]
        self._template = lease.template
        self._port = lease.endpoint.port
        self._old = lease.evidence_dir
        self._directory = directory

    def seconds(self) -> float:
        """From the fork asked for to the guest's SSH server having let us in."""
        port = free_port()
        new = self._directory
        argv = bare_command(self._argv, old=self._old, new=new, old_port=self._port, new_port=port)
        for name in ("disk.qcow2", "monitor", "serial.log", "debugcon.log"):
            (new / name).unlink(missing_ok=True)
        began = time.monotonic()
        overlay(new / "disk.qcow2", self._template.disk, "qcow2")
        machine = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            with _monitor(new / "monitor", machine) as monitor:
                monitor.ask("qmp_capabilities")
                shared = {"capability": "x-ignore-shared", "state": True}
                monitor.ask("migrate-set-capabilities", capabilities=[shared])
                monitor.ask("migrate-incoming", uri=f"exec:cat '{self._template.state}'")
                while (status := monitor.ask("query-migrate").get("status")) != "completed":
                    if status in ("failed", "cancelled"):
                        raise HarnessError("bare QEMU does not take up the template's state")
                    time.sleep(0.005)
                monitor.ask("cont")
                connect(self._endpoint(port), _CONNECT_TIMEOUT).close()
            return time.monotonic() - began
        finally:
            machine.kill()
            machine.communicate()

    def _endpoint(self, port: int) -> Endpoint:
        return self._template.endpoint(port)


class _Monitor:
    """QEMU's monitor (QMP) on a socket."""

    def __init__(self, link: socket.socket) -> None:
        self._file = link.makefile("rwb")
        self._file.readline()  # its greeting

    def ask(self, command: str, **arguments: Any) -> Any:
        request: dict[str, Any] = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        self._file.write(json.dumps(request).encode() + b"\n")
        self._file.flush()
        while True:
            line = self._file.readline()
            if not line:
                raise HarnessError(f"bare QEMU ended during {command}")
            answer = json.loads(line)
            if "error" in answer:
                raise HarnessError(f"bare QEMU refuses {command}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]


@contextlib.contextmanager
def _monitor(path: Path, machine: subprocess.Popen[bytes]) -> Iterator[_Monitor]:
    deadline = time.monotonic() + _MONITOR_TIMEOUT
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(_MONITOR_TIMEOUT)
        while True:
            try:
                link.connect(str(path))
                break
            except OSError:
                if machine.poll() is not None or time.monotonic() > deadline:
                    said = machine.stderr.read() if machine.stderr and machine.poll() is not None else b""
                    text = said.decode(errors="replace").strip()
                    raise HarnessError(
                        f"bare QEMU does not start: {text[-300:] or 'no reason given'}"
                    ) from None
                time.sleep(0.002)
        yield _Monitor(link)
