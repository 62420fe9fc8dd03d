# SPDX-License-Identifier: Apache-2.0
"""What the C sources of the drivers must not say, because no compiler of ours objects to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import drivers.build

ROOT = drivers.build.ROOT
SOURCES = sorted([*ROOT.glob("*/*.c"), *ROOT.glob("*/*.h")])

#: Names that mingw-w64's headers have and Microsoft's do not.  By `__MINGW32__` sources tell the two apart.
MINGW_ONLY = re.compile(r"\b(?:WINBOOL|__mingw_\w+|__MINGW_\w+|_?MINGW_\w+|__CRT_INLINE|__MSVCRT_\w+)\b")


def code(path: Path) -> str:
    """A file without its comments."""
    return re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def callers(pattern: str, folder: str = "*") -> set[str]:
    """The files of the drivers in which the pattern occurs outside of comments."""
    found = re.compile(pattern)
    return {
        f"{path.parent.name}/{path.name}"
        for path in SOURCES
        if path.match(f"{folder}/*") and found.search(code(path))
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_name_that_only_mingw_has(path: Path) -> None:
    assert MINGW_ONLY.findall(code(path)) == []


def test_an_irp_of_our_own_is_freed_in_one_way() -> None:
    assert callers(r"\bIoFreeIrp\b") == {"common/kshs_irp.h"}
    assert callers(r"\bIoAllocateIrp\b") == {
        "ksclient/irp.c",
        "refks/object.c",
        "refks/syncio.c",
        "wdmsup/power.c",
    }


def test_an_irp_ends_in_one_way() -> None:
    """`kshs_complete` knows which statuses are none; the others end with one of their own."""
    assert callers(r"\bIoCompleteRequest\b") == {"common/kshs_compat.h", "refks/queue.c", "ksclient/call.c"}
