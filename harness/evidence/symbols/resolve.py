# SPDX-License-Identifier: Apache-2.0
"""Symbols of addresses: image, PDB, function bounds, lines; and what is left where one of them is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.evidence.image import DebugIdentity
from harness.evidence.names import masked
from harness.evidence.symbols import llvm
from harness.evidence.symbols.files import Identity, ImageFile, SymbolFiles
from harness.evidence.symbols.pdb import PdbFunctions, PdbUnreadableError, pdb_functions


@dataclass(frozen=True, slots=True)
class Line:
    """A function at an address, and where in the sources; ``inlined``: into the next one."""

    function: str
    file: str | None
    line: int | None
    inlined: bool = False

    def __str__(self) -> str:
        if self.file is None:
            return self.function
        return f"{self.function} ({self.file}:{self.line})" if self.line else f"{self.function} ({self.file})"


@dataclass(frozen=True, slots=True)
class Symbol:
    """What is known of an offset in a driver.

    ``function`` is the function that the code belongs to, ``start`` where it begins (RVA), also known from
    the image alone; ``lines`` begin with what was inlined last; ``why`` says what is missing.
    """

    function: str | None = None
    start: int | None = None
    lines: tuple[Line, ...] = ()
    pdb: Path | None = None
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "function": self.function,
            "start": None if self.start is None else f"{self.start:#x}",
            "lines": [
                {"function": one.function, "file": one.file, "line": one.line, "inlined": one.inlined}
                for one in self.lines
            ],
            "pdb": None if self.pdb is None else str(self.pdb),
            "why_not": self.why or None,
        }


@dataclass
class _Files:
    """The image and the PDB of one driver, as far as they were found."""

    image: ImageFile | None = None
    pdb: Path | None = None
    functions: PdbFunctions | None = None
    why: str = ""
    size: int | None = None


@dataclass
class Symbols:
    """Symbols from the files of a user; each driver's files are looked for once."""

    files: SymbolFiles
    program: Path | None = field(default_factory=llvm.symbolizer)
    _known: dict[Identity, _Files] = field(default_factory=dict, init=False)

    def at(self, identity: Identity, offsets: Sequence[int]) -> list[Symbol]:
        """The symbols of offsets in one driver, in their order; never raises for want of symbols."""
        found = self._of(identity)
        plain = [self._plain(found, offset) for offset in offsets]
        inside = [index for index, symbol in enumerate(plain) if symbol.function is not None]
        if not inside or found.pdb is None:
            return plain
        why = ""
        answers: list[tuple[llvm.Place, ...]] = []
        if self.program is None:
            why = "llvm-symbolizer is not installed: lines without what was inlined"
        elif found.image is None:
            why = "the image is not there: lines without what was inlined"
        else:
            try:
                answers = llvm.places(
                    self.program, found.image, found.pdb, [offsets[index] for index in inside]
                )
            except HarnessError as error:
                why = str(error)
        for number, index in enumerate(inside):
            lines = _lines(answers[number], plain[index].function) if answers else ()
            plain[index] = _with_lines(plain[index], lines, found, offsets[index], why)
        return plain

    def follows_a_call(self, identity: Identity, offset: int) -> bool | None:
        """Whether the instruction before an offset is a call (x64); None where the image is not there.

        What is no return address on a stack is told by it from one.
        """
        image = self._of(identity).image
        before = None if image is None or offset < 8 else image.read(offset - 7, 7)
        if before is None:
            return None
        return before[-5] == 0xE8 or any(
            before[-size] == 0xFF and before[-size + 1] >> 3 & 7 == 2 for size in (2, 3, 4, 6, 7)
        )

    def _plain(self, found: _Files, offset: int) -> Symbol:
        """By the bounds of functions alone."""
        if found.size is not None and not 0 <= offset < found.size:
            return Symbol(why="the offset lies outside of the driver")
        function = None if found.functions is None else found.functions.around(offset)
        if function is not None:
            return Symbol(masked(function.name), function.rva, pdb=found.pdb)
        table = None if found.image is None else found.image.functions
        bounds = None if table is None else table.around(offset)
        why = found.why or "the offset lies in no function of the PDB"
        return Symbol(start=None if bounds is None else bounds[0], pdb=found.pdb, why=why)

    def _of(self, identity: Identity) -> _Files:
        if identity not in self._known:
            self._known[identity] = self._find(identity)
        return self._known[identity]

    def _find(self, identity: Identity) -> _Files:
        image, why = self.files.image(identity)
        facts = None if image is None else image.facts
        debug: DebugIdentity | None = identity.debug or (None if facts is None else facts.debug)
        size = identity.size if facts is None or facts.size is None else facts.size
        found = _Files(image, None, None, why, size)
        if debug is None:
            found.why = why or f"{identity.name} names no PDB"
            return found
        found.pdb, found.why = self.files.pdb(debug, identity.name)
        if found.pdb is not None:
            try:
                found.functions = pdb_functions(found.pdb)
            except PdbUnreadableError as error:
                found.pdb, found.why = None, str(error)
        return found


def _lines(places: Sequence[llvm.Place], function: str | None) -> tuple[Line, ...]:
    """The symbolizer's answer, if it speaks of the function that the PDB has at that address."""
    if not places or masked(places[-1].function) != function:
        return ()
    last = len(places) - 1
    return tuple(
        Line(masked(place.function), place.file, place.line, inlined=number < last)
        for number, place in enumerate(places)
    )


def _with_lines(symbol: Symbol, lines: tuple[Line, ...], found: _Files, offset: int, why: str) -> Symbol:
    if not lines and found.functions is not None and symbol.function is not None:
        place = found.functions.line(offset)
        file, line = place if place is not None else (None, None)
        lines = (Line(symbol.function, file, line),)
    return Symbol(symbol.function, symbol.start, lines, symbol.pdb, why)
