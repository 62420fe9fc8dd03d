# SPDX-License-Identifier: Apache-2.0
"""Several hosts out of one machine: network namespaces, each with a user and a cache of its own.

Each is joined to the first one by a cable (veth).  A net is cut by sending what
goes to the other end to a card that is not there: nothing arrives, and nobody is told.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.command import command_line, environment
from vm.config import VmConfig

PATIENCE = 600.0
PORT = 8786
#: Users of the hosts, by number: none of these has a name.  Each process of tests has its own, since it
#: kills all that the user of a host runs.
_FIRST_USER = 1_000_000 + 16 * os.getpid()


#: Where all hosts find the first one.
BOSS = "10.213.7.1"


def _here(number: int) -> str:
    """The first host's end of a cable."""
    return f"10.213.8.{4 * number + 1}"


def _there(number: int) -> str:
    """The other end."""
    return f"10.213.8.{4 * number + 2}"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@dataclass
class SimulatedHost:
    """One host: its namespace, its user, and what it has on the disk."""

    name: str
    user: int
    namespace: str
    address: str
    folder: Path
    log: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def words(self, *words: str | Path) -> list[str]:
        """A command line of kshs in its namespace, as its user, who may read everything and write his own."""
        alone = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"]
        alone += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        command = alone if self.user else []
        return ["ip", "netns", "exec", self.namespace, *command, *command_line(*words)]

    def environment(self) -> dict[str, str]:
        home = str(self.folder)
        # The first one builds nothing anew that who runs the tests has built.
        cache = f"{home}/c" if self.user else str(VmConfig().cache_dir.parent)
        return environment(
            HOME=home, XDG_CACHE_HOME=cache, XDG_DATA_HOME=f"{home}/d", TMPDIR=f"{home}/t",
            PYTHONUNBUFFERED="1", PYTHONDONTWRITEBYTECODE="1",
        )  # fmt: skip

    def start(self, *words: str | Path, cwd: Path | None = None, **more: Any) -> subprocess.Popen[Any]:
        return subprocess.Popen(
            self.words(*words),
            cwd=cwd or self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            **more,
        )

    def run(self, *words: str | Path, cwd: Path | None = None) -> tuple[int, str]:
        process = self.start(*words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, said

    def work(self, url: str) -> None:
        with self.log.open("ab") as log:
            self.workers.append(self.start("worker", "--scheduler", url, stdout=log, stderr=log))

    def processes(self) -> list[int]:
        """All that runs as its user, or below its folder."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and entry.stat().st_uid == self.user and self.user:
                    state = (entry / "stat").read_text().rpartition(") ")[2][:1]
                    found += [int(entry.name)] if state != "Z" else []
        return found

    def kill(self) -> None:
        """SIGKILL of everything at once, as when the current fails; nothing can tidy up."""
        for _ in range(3):
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for worker in self.workers:
            worker.wait(30)


class Net:
    """The hosts of a test; the first one is called boss, and is root."""

    def __init__(self, folder: Path, names: Sequence[str], settings: Callable[[SimulatedHost], str]) -> None:
        self._mark = f"k{os.getpid() % 100_000}"
        self.hosts: dict[str, SimulatedHost] = {}
        self._short = Path(tempfile.mkdtemp(prefix="kshs-n", dir="/tmp"))  # short: socket paths are limited
        self._short.chmod(0o755)
        self._folder = folder
        self._names = ["boss", *names]
        self._settings = settings
        self.started: list[subprocess.Popen[Any]] = []

    @property
    def url(self) -> str:
        return f"tls://{BOSS}:{PORT}"

    def __enter__(self) -> Net:
        try:
            self._make()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make(self) -> None:
        for number, name in enumerate(self._names):
            namespace = f"{self._mark}{name}"
            ip("netns", "add", namespace)
            ip("-n", namespace, "link", "set", "lo", "up")
            if number == 0:
                ip("-n", namespace, "addr", "add", f"{BOSS}/32", "dev", "lo")
            else:
                self._plug(name, namespace, number)
            folder = self._short / name
            for below in ("", "t"):
                (folder / below).mkdir(mode=0o700)
            user = _FIRST_USER + number if number else 0
            host = SimulatedHost(name, user, namespace, _there(number), folder, self._folder / f"{name}.log")
            self.hosts[name] = host
            (folder / "kshs.toml").write_text(self._settings(host))
            for path in (folder, folder / "t", folder / "kshs.toml"):
                os.chown(path, user, user)

    def _plug(self, name: str, namespace: str, number: int) -> None:
        boss = f"{self._mark}boss"
        ip("-n", boss, "link", "add", "name", name, "type", "veth", "peer", "name", "eth", "netns", namespace)
        for where, device, address in ((boss, name, _here(number)), (namespace, "eth", _there(number))):
            ip("-n", where, "addr", "add", f"{address}/30", "dev", device)
            ip("-n", where, "link", "set", "dev", device, "up")
        ip("-n", namespace, "route", "add", "default", "via", _here(number))

    def start(
        self, host: str, *words: str | Path, log: Path, cwd: Path | None = None
    ) -> subprocess.Popen[Any]:
        with log.open("ab") as file:
            process = self.hosts[host].start(*words, cwd=cwd, stdout=file, stderr=file)
        self.started.append(process)
        return process

    def cut(self, host: str) -> None:
        """Nothing gets through any more, and nobody is told."""
        for where, device, address in self._ends(host):
            nowhere = ["lladdr", "02:00:00:00:00:99", "nud", "permanent"]
            ip("-n", where, "neigh", "replace", address, "dev", device, *nowhere)

    def mend(self, host: str) -> None:
        for where, device, address in self._ends(host):
            ip("-n", where, "neigh", "del", address, "dev", device)

    def _ends(self, host: str) -> list[tuple[str, str, str]]:
        number = self._names.index(host)
        there = self.hosts[host].namespace
        return [(f"{self._mark}boss", host, _there(number)), (there, "eth", _here(number))]

    def left(self) -> list[str]:
        """Guests, sockets and disks of guests, and leases on hosts."""
        found = []
        for host in self.hosts.values():
            found += [str(path) for path in host.folder.rglob("*.sock")]
            found += [str(path) for path in host.folder.glob("r/*/leases/*")]
            found += [str(path) for path in host.folder.glob("c/kshs/host/spool/*")]
            found += [str(path) for path in host.folder.glob("c/kshs/host/incoming/*")]
        return found

    def close(self) -> None:
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait(30)
        for host in self.hosts.values():
            if host.user:
                host.kill()
        for name in self._names:
            subprocess.run(["ip", "netns", "del", f"{self._mark}{name}"], capture_output=True, check=False)
        subprocess.run(["rm", "-rf", str(self._short)], check=True)


def until(what: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """What it gives as soon as that is anything."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing came within {patience:g} s")
