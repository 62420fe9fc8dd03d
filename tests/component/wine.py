# SPDX-License-Identifier: Apache-2.0
"""Wine prefixes and sessions on the host, for tests of the real binaries.

A prefix takes seconds and 700 MB to make, so one is kept per Wine version in the user's cache and every
worker gets a copy of hard links.  Nothing here is shared between workers but that template.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from platformdirs import user_cache_path

from tests.component.channel import LocalChannel

#: Where the agent and what it installs lie in the guest.
FOLDER = "C:\\kshs"

#: Seconds within which any verb must end on a busy host.
VERB_TIMEOUT = 60.0

_REGISTRY = ("system.reg", "user.reg", "userdef.reg")


@dataclass(frozen=True)
class Completed:
    """What a program in the guest did."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object that a verb prints; anything else on stdout fails the test."""
        value = json.loads(self.stdout)
        assert isinstance(value, dict), self.stdout
        return value


def tool(name: str) -> str:
    """The path of a program of Wine; a missing one fails the test and says how to get it."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(
            f"{name} is not installed, the component tests need it: apt-get install wine wine64",
            pytrace=False,
        )
    return found


@functools.cache
def started() -> tuple[str, ...]:
    """What stands before every program of Wine on this host, so that its addresses are the same each time.

    Debian's wine64 has no preloader and is linked at 0x7d000000, below the 0x7ffe0000 where NT's shared
    user data must lie.  Newer kernels put a program's heap anywhere in the GiB above it, and one process in
    some thousands dies at birth because its heap lies there (docs/guests.md, point 13).
    """
    steady = [tool("setarch"), platform.machine(), "--addr-no-randomize"]
    if subprocess.run([*steady, "true"], capture_output=True, check=False).returncode:
        # A container's seccomp profile may forbid personality(2).
        warnings.warn(
            "setarch is not allowed here: now and then a program of Wine dies at birth", stacklevel=2
        )
        return ()
    return tuple(steady)


@functools.cache
def on_one_cpu() -> tuple[str, ...]:
    """What stands before a program that stays, with all that it starts, on one processor: this worker's.

    Most of what a program of Wine does is to ask the session's server and to wait for it.  Where both run on
    the same processor nothing has to be woken up on another one, which takes two thirds of the time of both,
    in a virtual machine above all.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    allowed = sorted(os.sched_getaffinity(0))
    cpu = allowed[(int(worker) if worker.isdigit() else os.getpid()) % len(allowed)]
    pinned = ("taskset", "--cpu-list", str(cpu))
    return (
        pinned if subprocess.run([*pinned, "true"], capture_output=True, check=False).returncode == 0 else ()
    )


def program(name: str, *, one_cpu: bool = False) -> list[str]:
    """The beginning of a command line that runs a program of Wine."""
    return [*(on_one_cpu() if one_cpu else ()), *started(), tool(name)]


def version() -> str:
    """The installed Wine's version, as a file name's part."""
    text = subprocess.run(
        [*program("wine"), "--version"], capture_output=True, text=True, timeout=60, check=True
    ).stdout.strip()
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")


def environment(prefix: Path) -> dict[str, str]:
    """Of every process of a session: no display, no helpers that want to be installed, errors only."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("WINE") and name != "DISPLAY"
    }
    return kept | {
        "WINEPREFIX": str(prefix),
        "WINEARCH": "win64",
        "WINEDLLOVERRIDES": "mscoree=;mshtml=;winemenubuilder.exe=",
        "WINEDEBUG": "fixme-all,err+all",
    }


def processes(prefix: Path) -> dict[int, str]:
    """Every process that belongs to a prefix, by its environment: process id and command line."""
    wanted = f"WINEPREFIX={prefix}".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                command = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                )
                found[int(entry.name)] = command
    found.pop(os.getpid(), None)
    return found


def end(prefix: Path, grace: float = 10.0) -> dict[int, str]:
    """Ends a prefix's session and answers what had to be killed, which is nothing if all is well."""
    for option in ("-k", "-w"):
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [*program("wineserver"), option], env=environment(prefix), timeout=grace, check=False
            )
    deadline = time.monotonic() + grace
    while (left := processes(prefix)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left


def throw_away(prefix: Path) -> None:
    """Ends a prefix's session at once; nothing is written to its registry any more."""
    while left := processes(prefix):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def template() -> Path:
    """The prefix of the installed Wine version from which all are copied; made once, under a lock."""
    home = user_cache_path("kshs") / f"component-prefix-{version()}"
    home.mkdir(parents=True, exist_ok=True)
    made = home / "template"
    with FileLock(home / "lock"):
        if (home / "complete").exists():
            return made
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        done = subprocess.run(
            [*program("wine"), "wineboot", "-i"],
            env=environment(made),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        end(made)
        if done.returncode != 0 or not (made / "system.reg").is_file():
            pytest.fail(f"wineboot cannot make a prefix in {made}: {done.stderr[-2000:]}", pytrace=False)
        (home / "complete").touch()
    return made


@contextlib.contextmanager
def copy_of(made: Path) -> Iterator[Path]:
    """A prefix of one's own, beside the template so that hard links are possible; removed in the end."""
    home = made.parent
    _remove_copies_of_the_dead(home)
    prefix = Path(tempfile.mkdtemp(prefix=f"copy-{os.getpid()}-", dir=home))
    try:
        # Wine replaces files and does not write into them; the registry is copied all the same.
        shutil.copytree(
            made,
            prefix,
            symlinks=True,
            dirs_exist_ok=True,
            copy_function=os.link,
            ignore=_registry_only_at_top(made),
        )
        for name in _REGISTRY:
            shutil.copy2(made / name, prefix / name)
        yield prefix
    finally:
        end(prefix)
        shutil.rmtree(prefix, ignore_errors=True)


def _registry_only_at_top(made: Path) -> Any:
    return lambda folder, names: set(_REGISTRY) & set(names) if Path(folder) == made else set()


def _remove_copies_of_the_dead(home: Path) -> None:
    for left in home.glob("copy-*-*"):
        pid = int(left.name.split("-")[1])
        if not Path(f"/proc/{pid}").exists():
            end(left)
            shutil.rmtree(left, ignore_errors=True)


@dataclass
class WineGuest:
    """One Wine session on one prefix, worked through `kshsctl.exe` as a real guest is.

    `one_cpu`: all of it runs on one processor (`on_one_cpu`), as all of a guest of the recipe wine does.  Not
    for tests of what runs at the same time.
    """

    prefix: Path
    agent: Path
    one_cpu: bool = True
    _hold: LocalChannel | None = None
    _channels: list[LocalChannel] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.put(self.agent, "kshsctl.exe")

    @property
    def folder(self) -> Path:
        """C:\\kshs on the host's side."""
        return self.prefix / "drive_c" / "kshs"

    @property
    def drivers(self) -> Path:
        """system32\\drivers on the host's side."""
        return self.prefix / "drive_c" / "windows" / "system32" / "drivers"

    def put(self, file: Path, name: str | None = None) -> str:
        """Copies a file into C:\\kshs and answers its name in the guest; ``name`` may have folders."""
        given = name or file.name
        target = self.folder / given.replace("\\", "/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copyfile(file, target)
        return f"{FOLDER}\\{given}"

    def run(self, *argv: str, stdin: bytes = b"", timeout: float = VERB_TIMEOUT) -> Completed:
        """Any program in the guest."""
        # Files and not pipes: the first program starts the services, which keep what it had open.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            code = subprocess.run(
                [*program("wine", one_cpu=self.one_cpu), *argv],
                env=environment(self.prefix),
                input=stdin,
                stdout=out,
                stderr=errors,
                timeout=timeout,
                check=False,
            ).returncode
            out.seek(0)
            errors.seek(0)
            return Completed(code, out.read().decode(), errors.read().decode(errors="replace"))

    def kshsctl(self, *arguments: str, timeout: float = VERB_TIMEOUT) -> Completed:
        """One verb of the agent."""
        return self.run(f"{FOLDER}\\kshsctl.exe", *arguments, timeout=timeout)

    def must(self, *arguments: str) -> dict[str, Any]:
        """One verb that has to succeed; its JSON."""
        done = self.kshsctl(*arguments)
        assert done.exit_code == 0, (
            f"kshsctl {' '.join(arguments)}: exit {done.exit_code}\n{done.stdout}{done.stderr}"
        )
        return done.json

    def channel(self, *arguments: str) -> LocalChannel:
        """A verb whose stdin and stdout are the caller's; `serve` if none is named."""
        argv = [*program("wine", one_cpu=self.one_cpu), f"{FOLDER}\\kshsctl.exe", *(arguments or ("serve",))]
        channel = LocalChannel(argv, environment(self.prefix))
        self._channels.append(channel)
        return channel

    @property
    def holding(self) -> bool:
        """Whether a session is up."""
        return self._hold is not None and self._hold.exit_code is None

    def hold(self) -> None:
        """Keeps the services alive until `stop`."""
        if self.holding:
            return
        self._hold = self.channel("hold")
        # Only then is it the first program of the session, to whose stderr the services write.
        told = b""
        while not told.endswith(b"\n"):
            more = self._hold.read(4096, VERB_TIMEOUT)
            assert more, f"hold ended: {self._hold.stderr_tail()}"
            told += more

    def words(self) -> str:
        """What the session's services wrote for people, on the stderr of the program that began it."""
        return self._hold.stderr_tail() if self._hold else ""

    def throw_away(self) -> None:
        """Ends the session of a prefix that is of no more use."""
        throw_away(self.prefix)
        for channel in self._channels:
            channel.kill()
        self._channels.clear()
        self._hold = None

    def stop(self) -> None:
        """Ends the session; a process that survives that is a failure."""
        for channel in self._channels:
            channel.end_of_input()
        left = end(self.prefix)
        for channel in self._channels:
            channel.kill()
        self._channels.clear()
        self._hold = None
        assert not left, f"processes outlived the end of the session: {left}"
