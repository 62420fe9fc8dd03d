# SPDX-License-Identifier: Apache-2.0
"""Rules of an NT kernel that Wine does not look at, kept by single files of the drivers.

The files run in a program with a small kernel around them (`kernel/kernel.c`) that has the assertions of
a checked kernel: IRPs that look in flight are not freed, no IRP ends with STATUS_PENDING or -1, memory that
may be paged out is not touched at a raised IRQL, and nobody waits for what nobody signals.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import drivers.build
from drivers import toolchain
from drivers.toolchain import Options
from tests.component.wine import WineGuest

pytestmark = pytest.mark.component

HERE = Path(__file__).parent / "kernel"

#: Each program, and the files of the drivers that it runs.
PROGRAMS = {
    "test_irps": ("ksclient/irp.c",),
    "test_syncio": ("refks/syncio.c", "refks/guard.c"),
    "test_seen": ("avshs/seen.c",),
    "test_pending": ("refks/request.c", "refks/guard.c", "refks/late.c"),
}


def build_program(work: Path, name: str) -> Path:
    """NAME.exe from kernel/NAME.c, the kernel around it and the drivers' files; `work` is an empty folder."""
    tools = toolchain.find()
    sources = PROGRAMS[name]
    folder = sources[0].split("/")[0]
    (work / "drivers").symlink_to(drivers.build.ROOT, target_is_directory=True)
    (work / "kernel").symlink_to(HERE, target_is_directory=True)
    includes = (f"drivers/{folder}", "drivers/abi", "drivers/common", "kernel")
    # The kernel is in the program itself, so nothing is imported from one.
    inside = Options(True, includes, ("_NTOSKRNL_", "_NTHAL_", "_NTHALDLL_"))
    objects = []
    for source in (f"kernel/{name}.c", "kernel/kernel.c", *(f"drivers/{source}" for source in sources)):
        objects.append(f"{Path(source).stem}.o")
        tools.compile(work, source, objects[-1], inside)
    tools.compile(work, "kernel/win32.c", "win32.o", Options(False, ("kernel",)))
    tools.compile(work, "drivers/common/chkstk.S", "chkstk.o", Options(False, includes))
    tools.link_program(f"{name}.exe", [*objects, "win32.o", "chkstk.o"], ("-lntdll",), work)
    return work / f"{name}.exe"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("test_irps", ()),
        ("test_syncio", ("nt",)),
        ("test_syncio", ("wine",)),
        ("test_seen", ()),
        ("test_pending", ()),
    ],
)
def test_the_rules_are_kept(
    plain_guest: WineGuest, tmp_path: Path, name: str, arguments: tuple[str, ...]
) -> None:
    program = plain_guest.put(build_program(tmp_path, name))
    done = plain_guest.run(program, *arguments)
    assert (done.exit_code, done.stdout.split("\n")[0].strip()) == (0, "held"), done


def test_every_file_of_the_kernel_is_run() -> None:
    """A program that nobody starts would prove nothing."""
    assert {path.stem for path in HERE.glob("test_*.c")} == PROGRAMS.keys()
