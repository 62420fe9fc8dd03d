# SPDX-License-Identifier: Apache-2.0
"""What the offsets of a module mean: functions, and lines where there is a PDB that is proven to be its own.

Lines are asked for each instruction, not each row of the line table: only so is code that was inlined known
by its own lines as well as by the line that calls it.  Sources: Microsoft's "PE Format" for the table for
unwinding; llvm-objdump and llvm-symbolizer of LLVM for instructions and lines.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.coverage.images import CodeImage
from harness.errors import HarnessError
from harness.evidence.names import masked
from harness.evidence.symbols import SymbolFiles, llvm
from harness.evidence.symbols.pdb import Checksum, PdbUnreadableError, pdb_functions, pdb_sources
from harness.guest_text import one_line

_OBJDUMPS = ("llvm-objdump", *(f"llvm-objdump-{version}" for version in range(25, 12, -1)))
_SECONDS = 120.0
_INSTRUCTION = re.compile(rb"^\s*([0-9a-f]+):", re.MULTILINE)
#: Offsets that llvm-symbolizer is asked for at once: they are arguments of its command line.
_AT_ONCE = 10_000
_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Function:
    """A function: its name (empty: nobody knows it), and its offsets."""

    name: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of a source file, as the PDB calls the file."""

    file: str
    line: int


@dataclass
class ModuleSymbols:
    """What is known of one module.

    `why_no_lines` says why `lines` is empty.  `instructions` are offsets, ascending; `at` has, for each of
    them, the places in `lines` of the lines that it belongs to.  `checksums` are those of source files, by
    the names that the PDB has.
    """

    functions: tuple[Function, ...] = ()
    lines: tuple[SourceLine, ...] = ()
    instructions: tuple[int, ...] = ()
    at: tuple[tuple[int, ...], ...] = ()
    why_no_lines: str | None = None
    pdb: str | None = None
    exports: dict[str, int] = field(default_factory=dict)
    checksums: dict[str, Checksum] = field(default_factory=dict)

    def lines_of(self, begin: int, end: int) -> set[int]:
        """Places in `lines` of all instructions that begin in a range of offsets."""
        first, last = bisect_left(self.instructions, begin), bisect_left(self.instructions, end)
        return {line for lines in self.at[first:last] for line in lines}

    def functions_of(self, begin: int, end: int) -> range:
        """Places in `functions` of those that a range of offsets lies in."""
        last = bisect_left(self.functions, end, key=lambda function: function.begin)
        first = bisect_right(self.functions, begin, key=lambda function: function.begin) - 1
        if first < 0 or begin >= self.functions[first].end:
            first += 1
        return range(first, last)


def symbols_of(name: str, image: CodeImage, files: SymbolFiles) -> ModuleSymbols:
    """Of a module; what cannot be had is left out, with the reason."""
    found = ModuleSymbols(exports=image.exports)
    debug = image.facts.debug if image.facts is not None else None
    if debug is None:
        found.why_no_lines = f"{name} names no PDB"
    else:
        pdb, found.why_no_lines = files.pdb(debug, name)
        if pdb is not None:
            found.why_no_lines = None
            try:
                _with_pdb(found, image, pdb)
                found.pdb = f"{debug.guid}-{debug.age}"
            except (PdbUnreadableError, HarnessError) as error:
                found.why_no_lines = str(error)
    if not found.functions:
        found.functions = tuple(_without_pdb(image))
    return found


def _with_pdb(found: ModuleSymbols, image: CodeImage, pdb: Path) -> None:
    """Functions and lines.

    Raises:
        PdbUnreadableError: it is damaged.
        HarnessError: one of LLVM's tools is missing or failed; the functions are there then.
    """
    functions = [
        Function(one_line(masked(one.name), _MAX_NAME), one.rva, one.rva + one.size)
        for one in pdb_functions(pdb).functions
    ]
    found.functions = tuple(_disjoint(functions))
    found.checksums = pdb_sources(pdb)
    symbolizer = llvm.symbolizer()
    if symbolizer is None:
        raise HarnessError("llvm-symbolizer is not installed", hint="apt-get install -y llvm")
    inside = [offset for offset in instructions(image) if len(found.functions_of(offset, offset + 1))]
    answers: list[tuple[llvm.Place, ...]] = []
    for start in range(0, len(inside), _AT_ONCE):
        answers += llvm.places(symbolizer, image, pdb, inside[start : start + _AT_ONCE])
    numbers: dict[SourceLine, int] = {}
    at = []
    for answer in answers:
        lines = [SourceLine(place.file, place.line) for place in answer if place.file and place.line]
        at.append(tuple(numbers.setdefault(line, len(numbers)) for line in dict.fromkeys(lines)))
    found.instructions, found.at, found.lines = tuple(inside), tuple(at), tuple(numbers)
    if not numbers:
        raise HarnessError(f"{pdb.name} has no lines")


def instructions(image: CodeImage) -> list[int]:
    """Offsets of an image's instructions, by disassembling it from the beginning of each section.

    Raises:
        HarnessError: llvm-objdump is missing or failed.
    """
    program = next(filter(None, map(shutil.which, _OBJDUMPS)), None)
    if program is None:
        raise HarnessError("llvm-objdump is not installed", hint="apt-get install -y llvm")
    command = [program, "-d", "--no-show-raw-insn", "--no-leading-headers", str(image.path)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HarnessError(f"cannot be disassembled: {error}", str(image.path)) from None
    base = image.preferred_base
    found = sorted({int(match[1], 16) - base for match in _INSTRUCTION.finditer(done.stdout)})
    if done.returncode or not found:
        said = one_line(done.stderr.decode("utf-8", "replace"), 200)
        raise HarnessError(f"cannot be disassembled: {said}", str(image.path))
    return found


def _without_pdb(image: CodeImage) -> list[Function]:
    """By the table for unwinding and the exports; leaf functions that are no exports are in neither."""
    by_begin = {offset: name for name, offset in sorted(image.exports.items(), reverse=True)}
    table = image.functions
    bounds = list(zip(table.begins, table.ends, strict=True)) if table is not None else []
    found = [Function(one_line(by_begin.get(begin, ""), _MAX_NAME), begin, end) for begin, end in bounds]
    known = sorted(found, key=lambda function: function.begin)
    begins = sorted({*by_begin, *(function.begin for function in known)})
    for begin, name in by_begin.items():
        place = bisect_right(known, begin, key=lambda function: function.begin) - 1
        if place >= 0 and begin < known[place].end:
            continue
        # Where it ends nobody says: no further than where the next one begins.
        ends = [end for start, end in image.code if start <= begin < end]
        ends += begins[bisect_right(begins, begin) :][:1]
        found.append(Function(one_line(name, _MAX_NAME), begin, min(ends)))
    return list(_disjoint(found))


def _disjoint(functions: Iterable[Function]) -> Sequence[Function]:
    """In the order of their offsets, the first of those that begin at one, and each ended by the next."""
    ordered = sorted(
        {one.begin: one for one in reversed(list(functions))}.values(), key=lambda one: one.begin
    )
    following = [*(one.begin for one in ordered[1:]), 1 << 40]
    return [
        Function(one.name, one.begin, min(one.end, end)) for one, end in zip(ordered, following, strict=True)
    ]
