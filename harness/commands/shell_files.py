# SPDX-License-Identifier: Apache-2.0
"""Files that go into a person's guest before its shell opens, and come out of it when it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

from harness.errors import HarnessError, UsageError
from harness.guest_text import one_line
from harness.guests.kshsctl import DIRECTORY
from vm.errors import VmError

if TYPE_CHECKING:
    from vm.shell import Shell

#: Bytes of one file that comes out.
_LIMIT = 4 << 30


def going_in(files: Sequence[Path]) -> dict[str, Path]:
    r"""Files of this host by where they will lie in the guest: in ``C:\kshs``, under their names.

    Raises:
        UsageError: one of them is no file, or two have one name.
    """
    found: dict[str, Path] = {}
    for file in files:
        if not file.is_file():
            raise UsageError("there is no such file", str(file), "check --put")
        place = rf"{DIRECTORY}\{file.name}"
        if place.lower() in map(str.lower, found):
            raise UsageError("two files of this name would lie in one place", str(file), "check --put")
        found[place] = file
    return found


def coming_out(paths: Sequence[str], into: Path) -> dict[str, Path]:
    r"""Files of the guest, by path or by their name in ``C:\kshs``, and where they will lie on this host.

    Raises:
        UsageError: a path names no file, or something is there already.
    """
    found: dict[str, Path] = {}
    for path in paths:
        windows = PureWindowsPath(path)
        if not windows.name or windows.name in (".", "..") or (windows.drive and not windows.root):
            raise UsageError("this names no file of a guest", one_line(path, 200), "check --get")
        local = into / windows.name
        if local.exists() or local in found.values():
            raise UsageError("this is there already, and nothing is written over", str(local), "check --get")
        found[str(PureWindowsPath(DIRECTORY) / windows)] = local
    return found


def fetch(shell: Shell, files: Mapping[str, Path]) -> list[str]:
    """Copies files out; a line of each that is there now.

    Raises:
        HarnessError: some are not; the others are.
    """
    came, missing = [], []
    for remote, local in files.items():
        try:
            shell.get(remote, local, limit=_LIMIT)
            came.append(f"{local}: {local.stat().st_size:,} bytes")
        except (VmError, OSError) as error:
            missing.append(one_line(str(error), 300))
    if missing:
        raise HarnessError("; ".join([*missing, *came]), hint="what --get named was not all there")
    return came
