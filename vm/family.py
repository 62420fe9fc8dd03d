# SPDX-License-Identifier: Apache-2.0
"""What differs between the families of guests when one speaks to them over SSH."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import Protocol

from vm.errors import VmError
from vm.windows.family import Windows


class Family(Protocol):
    """One family; stateless."""

    @property
    def name(self) -> str:
        """``wine`` or ``windows``."""

    def command_line(self, argv: Sequence[str]) -> str:
        """A command of the guest's shell."""

    def windows_program(self, argv: Sequence[str]) -> str:
        """A command line that runs an .exe, whose paths are Windows paths."""

    def background(self, command: str, log: str) -> str:
        """A command line that starts ``command`` so that it outlives the connection, with stdin kept open."""

    def sftp_path(self, path: str) -> str:
        """Where SFTP finds the file that the guest calls ``path``."""

    def set_clock(self, epoch: float) -> str:
        """A command line that sets the guest's clock to ``epoch`` seconds."""

    @property
    def warm_up(self) -> Sequence[str]:
        """Command lines after which a fresh boot is worth keeping as a template."""

    @property
    def settle(self) -> str:
        """A command line that writes back what the guest's kernel holds."""

    @property
    def shut_down(self) -> str:
        """A command line that ends the guest in an orderly way."""

    @property
    def runs_on_linux(self) -> bool:
        """Whether Linux is the machine's kernel, and drivers are loaded into a process there.

        Then no driver can stop the machine, nor keep it from answering, and a panic is not a driver's.
        """

    @property
    def session_logs(self) -> Sequence[str]:
        """Files that hold what services and drivers have printed, oldest first; none where there are none."""

    @property
    def out_of_memory(self) -> str | None:
        """A command line that prints what the kernel ended for want of memory; None: it ends nothing."""

    @property
    def bugchecks(self) -> str | None:
        """A command line that prints what bugchecks the guest had; None where one stops the machine."""

    @property
    def faults(self) -> str | None:
        """A command line that prints what faults began to be recorded; None where one stops the machine."""

    @property
    def programs(self) -> str | None:
        """A command line that prints how each running program was started; None: it cannot be asked."""


@dataclass(frozen=True)
class Wine:
    """Debian with Wine; the shell is busybox's."""

    name: str = "wine"
    prefix: str = "/root/.wine"
    session_log: str = "/var/log/wine-session.log"
    """What the session's services print: with WINEDEBUG as below, the codes of bugchecks."""

    def command_line(self, argv: Sequence[str]) -> str:
        """POSIX quoting."""
        return shlex.join(argv)

    def windows_program(self, argv: Sequence[str]) -> str:
        """Under Wine; its settings stand in the command so that it does not depend on who runs it."""
        settings = [
            f"WINEPREFIX={self.prefix}",
            "WINEARCH=win64",
            "WINEDLLOVERRIDES=mscoree=;mshtml=;winemenubuilder.exe=",
            # What a bugcheck says, a stack that overflowed (`virtual`), and what drivers print; `timestamp`
            # is for lines that bring no time along.
            "WINEDEBUG=-all,err+ntoskrnl,err+virtual,warn+debugstr,+timestamp",
        ]
        return shlex.join(["env", *settings, "/usr/lib/wine/wine64", *argv])

    def background(self, command: str, log: str) -> str:
        """``tail`` holds the pipe to its stdin open for as long as it runs."""
        target = shlex.quote(log)
        inner = f"tail -f /dev/null | {command}"
        return f"setsid sh -c {shlex.quote(inner)} </dev/null >>{target} 2>&1 &"

    def sftp_path(self, path: str) -> str:
        r"""``C:\x`` lies in the prefix; other paths are the guest's own."""
        windows = PureWindowsPath(path)
        if not windows.drive:
            return path
        if windows.drive.upper() != "C:" or not windows.root:
            raise VmError(f"a path on C: was expected, not {path!r}")
        return "/".join([f"{self.prefix}/drive_c", *windows.parts[1:]])

    def set_clock(self, epoch: float) -> str:
        """busybox's date has whole seconds."""
        return f"date -u -s @{round(epoch)} >/dev/null"

    @property
    def warm_up(self) -> Sequence[str]:
        """A session with its services, and one command so that caches are hot."""
        hold = f"tail -f /dev/null | {self.windows_program(['cmd', '/q'])}"
        return (
            "/usr/lib/wine/wineserver64 -p </dev/null >/dev/null 2>&1",
            f"setsid sh -c {shlex.quote(hold)} </dev/null 2>&1 | {self._bounded_log} >/dev/null 2>&1 & "
            # The session's services print where its first program does: nothing else may be that.
            f"n=0; until [ -s {self.session_log} ] || [ $n -ge 600 ]; do usleep 100000; n=$((n+1)); done",
            f"{self.windows_program(['cmd', '/c', 'ver'])} </dev/null",
            f"{self.windows_program(['cmd', '/c', 'ver'])} </dev/null",
        )

    @property
    def _bounded_log(self) -> str:
        """Takes what is piped into it to the session's log, of which there is one older part.

        A driver that prints without end must not fill the guest's disk, and what it said last counts.  `dd`
        counts pieces as they come, a line or more each, of at most 64 KiB.  With the lowest priority it takes
        many at once while the guest's processor is busy.
        """
        log = self.session_log
        turn = f"dd of={log} bs=65536 count=256 2>/dev/null && [ -s {log} ]"
        return f"setsid nice -n 19 sh -c {shlex.quote(f'while {turn}; do mv {log} {log}.1; done')}"

    @property
    def settle(self) -> str:
        """sync(1)."""
        return "sync"

    @property
    def shut_down(self) -> str:
        """busybox's; Wine's server goes first, which writes its registry when it ends."""
        server = "/usr/lib/wine/wineserver64"
        return f"{server} -k; timeout 20 {server} -w; sync; poweroff"

    @property
    def runs_on_linux(self) -> bool:
        """Debian's."""
        return True

    @property
    def session_logs(self) -> Sequence[str]:
        """The log before the present one, and that."""
        return (f"{self.session_log}.1", self.session_log)

    @property
    def out_of_memory(self) -> str | None:
        """What Linux says of each, by its name."""
        return "dmesg | sed -n 's/.*Out of memory: Killed process [0-9]* (\\([^)]*\\)).*/\\1/p' | tail -n 20"

    @property
    def bugchecks(self) -> str | None:
        """The last ones in the session's log."""
        # Wine's own lines: a driver may print the word, too, behind `warn:debugstr`.
        logs, line = " ".join(self.session_logs), "err:ntoskrnl:KeBugCheckEx"
        told = rf"s/^ *[0-9]*\.[0-9]*:\([0-9a-f]*:{line} \)/\1/p"
        return f"cat {logs} 2>/dev/null | sed -n '{told}' | tail -n 20"

    @property
    def faults(self) -> str | None:
        """The last ones in the session's log: Wine says so before it starts the recorder.

        A thread whose stack overflowed it ends at once, and starts no recorder.
        """
        logs = " ".join(self.session_logs)
        overflow = r"s/^ *[0-9]*\.[0-9]*:\([0-9a-f]*:err:virtual:[a-z_]* stack overflow \)/\1/p"
        told = f"/^wine: .*starting debugger/p;{overflow}"
        return f"cat {logs} 2>/dev/null | sed -n '{told}' | tail -n 20"

    @property
    def programs(self) -> str | None:
        """Of Linux; arguments are parted by NUL there, and may hold anything."""
        return "cat /proc/[0-9]*/cmdline 2>/dev/null | tr -c '[:print:]' ' '"


FAMILIES: Mapping[str, Family] = {"wine": Wine(), "windows": Windows()}
"""By name."""


def family(name: str) -> Family:
    """The family of this name.

    Raises:
        VmError: there is no such family.
    """
    known = FAMILIES.get(name)
    if known is None:
        raise VmError(f"there is no guest family {name!r}", hint=f"families: {', '.join(FAMILIES)}")
    return known
