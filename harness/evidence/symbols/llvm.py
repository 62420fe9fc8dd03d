# SPDX-License-Identifier: Apache-2.0
"""llvm-symbolizer: lines, and what was inlined where.

It takes any PDB of the right name that it finds, at the path that the image names, beside the image or in
the current
directory, and never compares the GUID; beyond the end of an image it names the last symbol.  So it is run in
a
directory that holds the image and the PDB alone, the image names that PDB, and addresses are checked before.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.evidence.symbols.files import ImageFile
from harness.guest_text import one_line

_NAMES = ("llvm-symbolizer", *(f"llvm-symbolizer-{version}" for version in range(25, 12, -1)))
_SECONDS = 120.0
_MAX_TEXT = 4096
#: Inlined functions at one address, innermost first.
_MAX_INLINED = 32


#: Drivers of which answers are kept, and answers of one of them.
_MAX_KNOWN = 32
_MAX_PLACES = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """One function at an address; file and line are None where the PDB does not tell."""

    function: str
    file: str | None
    line: int | None


_answers: dict[Any, dict[int, tuple[Place, ...]]] = {}


def symbolizer() -> Path | None:
    """The installed llvm-symbolizer, also under the names with a version."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    return None if found is None else Path(found)


def places(program: Path, image: ImageFile, pdb: Path, offsets: Sequence[int]) -> list[tuple[Place, ...]]:
    """What is at each offset of an image: inlined functions first, the function itself last; empty: nothing.

    Raises:
        HarnessError: llvm-symbolizer cannot be run, or said what is not understood.
    """
    copy = image.copy_with_pdb_named(b"m.pdb")
    if copy is None:
        raise HarnessError("has no room for the name of its PDB", str(image.path))
    known = _known_of(program, copy, pdb)
    found = {offset: known[offset] for offset in offsets if offset in known}
    unknown = sorted(set(offsets) - set(found))
    if unknown:
        found.update(zip(unknown, _ask(program, copy, pdb, unknown), strict=True))
        known.update(found)
    return [found[offset] for offset in offsets]


def _known_of(program: Path, image: bytes, pdb: Path) -> dict[int, tuple[Place, ...]]:
    """What was asked of the same files before: a driver hangs and crashes at few places, each time anew.

    Raises:
        HarnessError: the PDB is not there any more.
    """
    try:
        now = pdb.stat()
    except OSError as error:
        raise HarnessError(f"cannot be read: {error.strerror}", str(pdb)) from None
    file = (pdb.absolute(), now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)
    files = (program, hashlib.sha256(image).digest(), file)
    if files not in _answers and len(_answers) == _MAX_KNOWN:
        _answers.clear()
    known = _answers.setdefault(files, {})
    if len(known) > _MAX_PLACES:
        known.clear()
    return known


def _ask(program: Path, copy: bytes, pdb: Path, offsets: Sequence[int]) -> list[tuple[Place, ...]]:
    with tempfile.TemporaryDirectory(prefix="kshs-symbols-") as name:
        directory = Path(name)
        (directory / "m.sys").write_bytes(copy)
        (directory / "m.pdb").symlink_to(pdb.absolute())
        command = [str(program), "--relative-address", "--output-style=JSON", "--obj=m.sys"]
        try:
            done = subprocess.run(
                [*command, *map(hex, offsets)],
                cwd=directory,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": name},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise HarnessError(f"did not end within {_SECONDS:.0f} s", program.name) from None
        except OSError as error:
            raise HarnessError(f"cannot be run: {error.strerror}", str(program)) from None
    try:
        answers = json.loads(done.stdout)
        found = [_places(answer["Symbol"]) for answer in answers]
    except (ValueError, LookupError, TypeError, AttributeError):
        said = one_line(done.stderr.decode("utf-8", "replace"), 200)
        raise HarnessError(f"gave no answer (exit code {done.returncode}) {said}", program.name) from None
    if len(found) != len(offsets):
        raise HarnessError(f"gave {len(found)} answers to {len(offsets)} questions", program.name)
    return found


def _places(symbols: Sequence[Any]) -> tuple[Place, ...]:
    found = []
    for symbol in symbols[-_MAX_INLINED:]:
        function = one_line(str(symbol["FunctionName"] or ""), _MAX_TEXT)
        file = one_line(str(symbol["FileName"] or ""), _MAX_TEXT)
        line = int(symbol["Line"] or 0)
        if function:
            found.append(Place(function, file or None, line or None))
    return tuple(found)
