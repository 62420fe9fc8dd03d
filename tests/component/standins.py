# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the programs of Windows that Wine lacks or only pretends to have.

Each is one small program (standin.c) under the program's name, in a folder that the prefix's PATH names
first.  It records its exact command line and ends as it is told.  docs/windows.md has the same table.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import drivers.build
import drivers.components
from drivers import toolchain
from drivers.toolchain import Options

#: Program and the reason why Wine 8's own, if it has one, will not do.
REASONS = {
    "bcdedit": "not in Wine: there is no boot configuration",
    "dism": "in Wine it does nothing and succeeds",
    "icacls": "in Wine it does nothing and succeeds; files have no such access rights there",
    "msiexec": "Wine's own is used in one test; here its exit codes are wanted",
    "netsh": "in Wine it does nothing and succeeds",
    "powercfg": "not in Wine",
    "shutdown": "in Wine it does nothing and succeeds; the tests play the restart",
    "tar": "not in Wine",
    "tzutil": "not in Wine",
    "verifier": "not in Wine",
}

FOLDER = "C:\\standins"
_LIBRARIES = ("-ladvapi32",)


def build(work: Path) -> Path:
    """standin.exe; `work` is an empty folder that keeps it."""
    return build_program(work, "standin")


def build_program(work: Path, name: str, libraries: Sequence[str] = _LIBRARIES) -> Path:
    """NAME.exe from NAME.c beside this file, by the flags of the agent; `work` is an empty folder."""
    source = drivers.components.ROOT
    for folder in ("abi", "common"):
        (work / folder).symlink_to(source / folder, target_is_directory=True)
    shutil.copyfile(Path(__file__).with_name(f"{name}.c"), work / f"{name}.c")
    tools = toolchain.find()
    tools.compile(work, f"{name}.c", f"{name}.o", Options(False, ("abi", "common")))
    tools.compile(work, "common/chkstk.S", "chkstk.o", Options(False, ("abi", "common")))
    tools.link_program(f"{name}.exe", [f"{name}.o", "chkstk.o"], libraries, work)
    return work / f"{name}.exe"


@dataclass(frozen=True)
class Call:
    """One call of a stand-in: which, and its arguments as they stood in the command line."""

    name: str
    arguments: str

    def __str__(self) -> str:
        return f"{self.name} {self.arguments}".rstrip()


class StandIns:
    """The stand-ins of one prefix.

    The prefix's PATH must name `FOLDER`\\bin before the system's folders (see `PATH`).
    """

    PATH = f"{FOLDER}\\bin;C:\\windows\\system32;C:\\windows;C:\\windows\\system32\\wbem"

    def __init__(self, prefix: Path, program: Path) -> None:
        self.home = prefix / "drive_c" / "standins"
        (self.home / "bin").mkdir(parents=True, exist_ok=True)
        for name in REASONS:
            shutil.copyfile(program, self.home / "bin" / f"{name}.exe")

    def answer(self, name: str, code: int, beginning: str = "", text: str = "") -> None:
        """From now on calls of `name` whose arguments begin so end with `code` and print `text`.

        What was said first wins; `reset` forgets all.
        """
        assert name in REASONS, name
        assert "^" not in text, "^ stands for a line end"
        line = "\t".join((str(code & 0xFFFF_FFFF), beginning, text.replace("\n", "^")))
        with (self.home / f"{name}.answers").open("a", encoding="utf-8") as out:
            out.write(f"{line}\n")

    def reset(self) -> None:
        """No answers, no records."""
        for path in [*self.home.glob("*.answers"), self.home / "calls"]:
            path.unlink(missing_ok=True)

    def calls(self, name: str | None = None) -> list[Call]:
        """Every call since `reset` in order, or those of one program."""
        try:
            text = (self.home / "calls").read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        calls = [Call(*line.split("\t", 1)) for line in text.splitlines()]
        return [call for call in calls if name is None or call.name == name]
