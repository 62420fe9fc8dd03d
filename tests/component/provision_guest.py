# SPDX-License-Identifier: Apache-2.0
"""A Wine prefix set up as a Windows guest is: CD as drive D:, COM1 as a pty, stand-ins on the PATH."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
import time
import tty
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.component.standins import StandIns
from tests.component.wine import Completed, WineGuest, copy_of
from vm.windows.milestones import Kind, Milestone, Reader
from vm.windows.payload import Secrets

SECRETS = Secrets(
    password="Pa55-word%with^odd&signs",
    host_key=b"-----BEGIN OPENSSH PRIVATE KEY-----\nnobody looks into it here\n",
    host_public_key="ssh-ed25519 AAAAC3Nza host",
    authorized_key="ssh-ed25519 AAAAC3Nzb kshs",
)

RUN_KEY = "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run"
_ENVIRONMENT = "HKLM\\System\\CurrentControlSet\\Control\\Session Manager\\Environment"
_TIMEOUT = 240.0


class Port:
    """COM1: a pty whose other end is read all the time."""

    def __init__(self) -> None:
        self._host, self._guest = os.openpty()
        tty.setraw(self._guest)
        self.name = os.ttyname(self._guest)
        self._data = b""
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while data := os.read(self._host, 65536):
                with self._lock:
                    self._data += data

    def take(self, wait: float = 0.2) -> bytes:
        """What came since the last call; what is on its way needs a moment."""
        with self._lock:
            size = len(self._data)
        while True:
            time.sleep(wait)
            with self._lock:
                if len(self._data) == size:
                    data, self._data = self._data, b""
                    return data
                size = len(self._data)

    def close(self) -> None:
        os.close(self._guest)
        os.close(self._host)


class ProvisionGuest:
    """A guest at the moment of its first logon.

    `start` plays a start of the machine: what the Run key says is run, as Explorer does.
    """

    def __init__(self, guest: WineGuest, standins: StandIns, port: Port, cd: Path) -> None:
        self.guest = guest
        self.standins = standins
        self.port = port
        self.cd = cd
        self.reader = Reader()
        self.raw = b""

    @property
    def kshs(self) -> Path:
        """C:\\kshs."""
        return self.guest.folder

    @property
    def log(self) -> str:
        return (self.kshs / "provision.log").read_text(encoding="utf-8", errors="replace")

    @property
    def done(self) -> set[str]:
        """The steps that the guest takes for done."""
        return {path.stem for path in (self.kshs / "state").glob("*.done")}

    def insert(self, files: Mapping[str, bytes | Path]) -> None:
        """Another CD."""
        shutil.rmtree(self.cd, ignore_errors=True)
        for name, source in files.items():
            path = self.cd / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source if isinstance(source, bytes) else source.read_bytes())

    def cmd(self, line: str, timeout: float = _TIMEOUT) -> Completed:
        """A command line, by cmd."""
        return self.guest.run("cmd", "/d", "/c", line, timeout=timeout)

    def first_logon(self) -> list[Milestone]:
        """The first-logon command; C:\\kshs is as on a new system."""
        shutil.rmtree(self.kshs, ignore_errors=True)
        self.last = self.cmd("D:\\kshs\\first.cmd D:")
        return self.milestones()

    def start(self) -> list[Milestone]:
        """What happens when the machine starts and has logged on."""
        command = self.value(RUN_KEY, "kshs")
        assert command, "nothing goes on after this start: no Run value"
        self.last = self.cmd(command)
        return self.milestones()

    def milestones(self) -> list[Milestone]:
        """Since the last call."""
        data = self.port.take()
        self.raw += data
        return self.reader.feed(data)

    def value(self, key: str, name: str) -> str | None:
        """A registry value's text as reg shows it."""
        done = self.guest.run("reg", "query", key, "/v", name)
        if done.exit_code:
            return None
        match = re.search(rf"^\s*{re.escape(name)}\s+REG_\w+\s+(.*?)\s*$", done.stdout, re.MULTILINE)
        assert match, done.stdout
        return match[1]

    def put_value(self, key: str, name: str, kind: str, data: str) -> None:
        done = self.guest.run("reg", "add", key, "/v", name, "/t", kind, "/d", data, "/f")
        assert done.exit_code == 0, done

    def reset(self) -> None:
        """As new for the next test: no C:\\kshs but the agent, no records, nothing on the port."""
        agent = (self.kshs / "kshsctl.exe").read_bytes() if (self.kshs / "kshsctl.exe").exists() else None
        shutil.rmtree(self.kshs, ignore_errors=True)
        self.kshs.mkdir()
        if agent is None:
            self.guest.put(self.guest.agent, "kshsctl.exe")
        else:
            (self.kshs / "kshsctl.exe").write_bytes(agent)
        self.standins.reset()
        self.port.take()
        self.reader = Reader()
        self.raw = b""


def words(milestones: list[Milestone]) -> list[str]:
    """The milestones as text, without the lines of logs."""
    return [str(milestone) for milestone in milestones if milestone.kind is not Kind.LOG]


@contextlib.contextmanager
def provision_guest(template: Path, agent: Path, standin: Path, cd: Path) -> Iterator[ProvisionGuest]:
    """A prefix of its own, and all that belongs to it; `cd` is a folder for the CD's files."""
    port = Port()
    try:
        with copy_of(template) as prefix:
            guest = WineGuest(prefix, agent)
            standins = StandIns(prefix, standin)
            cd.mkdir(parents=True, exist_ok=True)
            (prefix / "dosdevices" / "d:").symlink_to(cd)
            try:
                for arguments in (
                    ("HKLM\\Software\\Wine\\Ports", "/v", "COM1", "/d", port.name),
                    (_ENVIRONMENT, "/v", "PATH", "/d", StandIns.PATH),
                ):
                    done = guest.run("reg", "add", *arguments, "/f")
                    assert done.exit_code == 0, done
                guest.stop()  # ports and the environment are read when a session begins
                guest.hold()
                yield ProvisionGuest(guest, standins, port, cd)
            finally:
                guest.stop()
    finally:
        port.close()
