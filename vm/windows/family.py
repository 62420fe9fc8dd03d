# SPDX-License-Identifier: Apache-2.0
"""How one speaks to a Windows guest over SSH: its shell is cmd."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PureWindowsPath

from vm.errors import VmError

_SPECIAL = frozenset('&|<>^()"%!')


@dataclass(frozen=True)
class Windows:
    """Windows with Win32-OpenSSH, whose default shell is cmd.exe."""

    name: str = "windows"

    def command_line(self, argv: Sequence[str]) -> str:
        """Quoted as the C runtime reads it, and with cmd's own characters kept from cmd.

        Raises:
            VmError: a percent sign or a line break, for which cmd has no quoting on its command line.
        """
        for word in argv:
            if any(character in word for character in "%\r\n"):
                raise VmError(f"cmd cannot be given the word {word!r}", hint="put it into a file")
        line = subprocess.list2cmdline(argv)
        if '"' not in line:
            return "".join(f"^{c}" if c in _SPECIAL else c for c in line)
        # cmd strips the outermost pair of quotes of `cmd /c "..."`, which is how sshd starts it.
        return line

    def windows_program(self, argv: Sequence[str]) -> str:
        """The program itself."""
        return self.command_line(argv)

    def background(self, command: str, log: str) -> str:
        """`start` in a window of its own, which survives the session's console."""
        return f'start "kshs" /b cmd /d /c "{command} >>{log} 2>&1"'

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
        """Ends the guest in an orderly way."""
        return "shutdown /s /t 0 /f"
