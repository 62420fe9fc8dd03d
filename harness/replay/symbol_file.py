# SPDX-License-Identifier: Apache-2.0
"""What gdb is to know of a driver: an ELF file with the functions and lines of its PDB.

gdb reads no PDB.  What it can use of one, names and lines of the code, is written as assembler here, with a
byte of nothing for every byte of the driver, and clang makes ELF and DWARF of it.  There are no types and no
local variables in it, and no rules for the stack's frames.

Where a function was inlined, the table of lines of a PDB has the line before it, so that a write in it would
be shown at a line that writes nothing.  So llvm-symbolizer, where it is there, is asked for each instruction.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.coverage.images import CodeImage
from harness.coverage.symbols import instructions
from harness.errors import HarnessError
from harness.evidence.symbols import llvm
from harness.evidence.symbols.pdb import PdbFunctions, pdb_functions
from harness.guest_text import one_line

#: Bytes of code, at most: what is beyond has no symbols.
_MOST = 64 << 20
_SECONDS = 120.0
#: Of a driver, that are asked for at most: more take minutes.
_MOST_INSTRUCTIONS = 300_000
#: They are words of a command line.
_AT_ONCE = 10_000
#: DWARF 4, "7.5.3 Abbreviations Tables": one compilation unit, with its lines and its range.
_UNIT = """\
.section .debug_abbrev,"",@progbits
.byte 1, 0x11, 0
.byte 0x10, 0x17, 0x11, 0x01, 0x12, 0x07, 0x03, 0x08, 0x13, 0x05
.byte 0, 0, 0
.section .debug_info,"",@progbits
.long .Lend - .Lbegin
.Lbegin:
.short 4
.long .debug_abbrev
.byte 8, 1
.long .Llines
.quad .Lcode
.quad {size}
.asciz {name}
.short 0x0c
.Lend:
.section .debug_line,"",@progbits
.Llines:
"""


Lines = Sequence[tuple[int, str, int]]


def write(pdb: Path, into: Path, image: Path | None = None) -> bool:
    """Writes the ELF file; its ``.text`` lies where the driver's image begins.  False: the PDB has no code.

    Args:
        pdb: of the driver.
        into: the file.
        image: the driver itself, where there is one: inlined code has its own lines then.

    Raises:
        HarnessError: clang does not make one.
        PdbUnreadableError: this is no PDB, or a damaged one.
    """
    known = pdb_functions(pdb)
    size = max((one.rva + one.size for one in known.functions), default=0)
    if not 0 < size <= _MOST:
        return False
    lines = _with_inlined(known, pdb, image) if image is not None else known.lines
    source = into.with_suffix(".s")
    source.write_text("\n".join(_lines(known, lines, pdb.stem, size)) + "\n", encoding="utf-8")
    command = ["clang", "--target=x86_64-linux-gnu", "-gdwarf-4", "-c", str(source), "-o", str(into)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HarnessError(f"makes no symbols for gdb: {error}", "clang") from None
    finally:
        source.unlink(missing_ok=True)
    if done.returncode != 0:
        said = one_line(done.stdout.decode("utf-8", "replace"), 200)
        raise HarnessError(f"makes no symbols for gdb: {said}", str(pdb))
    return True


def _with_inlined(known: PdbFunctions, pdb: Path, image: Path) -> Lines:
    """The lines of a PDB, and between them those of inlined code; only the former where nobody tells.

    A line of the PDB stays where it begins, also in front of inlined code: breakpoints are set at it.
    """
    program = llvm.symbolizer()
    places: list[tuple[llvm.Place, ...]] = []
    try:
        code = CodeImage(image)
        asked = [rva for rva in instructions(code) if known.around(rva) is not None]
        if program is None or len(asked) > _MOST_INSTRUCTIONS:
            return known.lines
        for start in range(0, len(asked), _AT_ONCE):
            places += llvm.places(program, code, pdb, asked[start : start + _AT_ONCE])
    except HarnessError:
        return known.lines
    found = {rva: (file, line) for rva, file, line in known.lines}
    told: tuple[str, int] | None = None
    for rva, at in zip(asked, places, strict=True):
        inner = at[0] if at else None
        here = (inner.file, inner.line) if inner is not None and inner.file and inner.line else None
        if rva in found:
            told = found[rva]
        elif here is not None and here != told:
            told = found[rva] = here
    return sorted((rva, *line) for rva, line in found.items())


def _lines(known: PdbFunctions, lines: Lines, name: str, size: int) -> Iterator[str]:
    """The assembler's."""
    files: dict[str, int] = {}
    at: dict[int, list[str]] = {}
    names: dict[str, int] = {}
    for one in known.functions:
        names[one.name] = names.get(one.name, 0) + 1
        symbol = quoted(one.name if names[one.name] == 1 else f"{one.name}.{names[one.name]}")
        at.setdefault(one.rva, []).extend(
            [f".type {symbol}, @function", f".size {symbol}, {one.size}", f"{symbol}:"]
        )
    for rva, file, line in lines:
        if not 0 <= rva < size:
            continue
        if file not in files:
            files[file] = len(files) + 1
            yield f".file {files[file]} {quoted(file)}"
        at.setdefault(rva, []).append(f".loc {files[file]} {line} 0")
    yield '.section .text,"ax",@progbits'
    yield ".Lcode:"
    places = sorted(at)
    # A line of DWARF belongs to bytes that follow it, and clang takes no fill for any.
    yield from _fill(places[0] if places else size)
    for rva, following in zip(places, [*places[1:], size], strict=True):
        yield from at[rva]
        yield from _fill(following - rva)
    yield from _UNIT.format(size=size, name=quoted(name)).splitlines()


def _fill(count: int) -> Iterator[str]:
    if count > 0:
        yield ".byte 0"
    if count > 1:
        yield f".zero {count - 1}"


def quoted(text: str) -> str:
    """As the assembler and gdb's command language take it, whatever a PDB holds."""
    plain = "".join(c if c.isprintable() and c not in '"\\' else "_" for c in text.replace("\\", "/"))
    return f'"{plain}"'
