# SPDX-License-Identifier: Apache-2.0
"""How one speaks to a Windows guest over SSH: its shell is cmd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PureWindowsPath

from vm.errors import VmError
from vm.windows import cmdline


@dataclass(frozen=True)
class Windows:
    """Windows with Win32-OpenSSH, whose default shell is cmd.exe."""

    name: str = "windows"

    def command_line(self, argv: Sequence[str]) -> str:
        """Each word reaches the program as it is; sshd gives the line to cmd between quotes of its own.

        Raises:
            VmError: see `vm.windows.cmdline.join`.
        """
        return cmdline.join(argv)

    def windows_program(self, argv: Sequence[str]) -> str:
        """The program itself."""
        return self.command_line(argv)

    def background(self, command: str, log: str) -> str:
        """`start` in a window of its own, which survives the session's console."""
        inner = cmdline.escape(f'"{command} >>{cmdline.argument(log)} 2>&1"')
        return f'start "kshs" /b cmd /d /c {inner}'

    def sftp_path(self, path: str) -> str:
        r"""Win32-OpenSSH spells ``C:\x`` as ``/C:/x``."""
        windows = PureWindowsPath(path)
        if not windows.drive or not windows.root:
            raise VmError(f"a path with a drive was expected, not {path!r}")
        return "/".join(["", windows.drive, *windows.parts[1:]])

    def set_clock(self, epoch: float) -> str:
        """cmd's own commands, in the order of en-US; the guest's time zone is UTC."""
        moment = datetime.fromtimestamp(epoch, UTC)
        return f"date {moment:%m-%d-%Y} & time {moment:%H:%M:%S}"

    @property
    def warm_up(self) -> Sequence[str]:
        """A first command, which loads what each later one needs."""
        return ("ver",)

    @property
    def settle(self) -> str:
        """Nothing: a fork's memory holds what its disk does not."""
        return "ver"

    @property
    def shut_down(self) -> str:
        """Windows' own, without a question to programs."""
        return "shutdown /s /t 0 /f"

    @property
    def runs_on_linux(self) -> bool:
        """No."""
        return False

    @property
    def session_logs(self) -> Sequence[str]:
        """None: nothing shows what drivers print where no debugger is attached."""
        return ()

    @property
    def out_of_memory(self) -> str | None:
        """None: Windows ends no process for that."""
        return None

    @property
    def bugchecks(self) -> str | None:
        """None: they stop the machine, which the hypervisor tells."""
        return None

    @property
    def faults(self) -> str | None:
        """None: one stops the machine."""
        return None

    @property
    def programs(self) -> str | None:
        """None: what crashes stops the machine, and nothing is recorded by a program."""
        return None
