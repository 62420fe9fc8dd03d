# SPDX-License-Identifier: Apache-2.0
"""The coverage of a run as it is kept: coverage.json (docs/coverage.md).

Sets of blocks, lines and functions are whole numbers in which bit n stands for number n; in the file they are
hexadecimal text.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from harness.errors import UsageError

FILE = "coverage.json"
#: Bytes of the largest file that is read: a hundred times what the catalogue makes.
_LARGEST = 512 << 20


def _bits(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if not isinstance(value, str):
        raise ValueError("a set is hexadecimal text")
    bits = int(value or "0", 16)
    if bits < 0:
        raise ValueError("a set is not negative")
    return bits


Bits = Annotated[int, BeforeValidator(_bits), PlainSerializer(lambda bits: f"{bits:x}", return_type=str)]


def members(bits: int) -> Iterator[int]:
    """The numbers in a set, ascending."""
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


class _Kept(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class SourceFile(_Kept):
    """A source file: as the PDB calls it, and its text when the run was (None: not found).

    `shown` is its path: from the directory in which the run was, where it lies there.
    """

    path: str
    shown: str
    text: str | None = None


class CoveredFunction(_Kept):
    """A function: its name (empty: nobody knows it), offset and bytes, and where its lines begin."""

    name: str
    offset: int
    size: int
    file: int | None = None
    line: int | None = None
    exported: bool = False


class CoveredBlock(_Kept):
    """A block that was executed: its offset, its bytes, and the lines and functions that it belongs to."""

    offset: int
    size: int
    lines: tuple[int, ...] = ()
    functions: tuple[int, ...] = ()


class ModuleCoverage(_Kept):
    """A module: what is there of it, and what of its blocks was executed at all.

    `lines` are pairs of a number in `files` and a line there; every one that has code.  `code_bytes` are
    those of its functions.
    """

    name: str
    sha256: str
    pdb: str | None = None
    why_no_lines: str | None = None
    code_bytes: int
    files: tuple[SourceFile, ...] = ()
    lines: tuple[tuple[int, int], ...] = ()
    functions: tuple[CoveredFunction, ...] = ()
    exports: int = 0
    blocks: tuple[CoveredBlock, ...] = ()

    @functools.cached_property
    def _lines_of(self) -> list[int]:
        return [sum(1 << line for line in set(block.lines)) for block in self.blocks]

    @functools.cached_property
    def _functions_of(self) -> list[int]:
        return [sum(1 << number for number in set(block.functions)) for block in self.blocks]

    def lines_of(self, blocks: int) -> int:
        """The lines of a set of blocks."""
        return _united(self._lines_of[number] for number in members(blocks))

    def functions_of(self, blocks: int) -> int:
        """The functions of a set of blocks."""
        return _united(self._functions_of[number] for number in members(blocks))

    def bytes_of(self, blocks: int) -> int:
        """How many bytes of its functions a set of blocks covers, each counted once.

        What lies in no function that is known (a leaf that is not exported, say) is in `code_bytes` neither.
        """
        spans = [(self.blocks[n].offset, self.blocks[n].size) for n in members(blocks)]
        executed = _merged((offset, offset + size) for offset, size in spans)
        known = _merged((one.offset, one.offset + one.size) for one in self.functions)
        total = place = 0
        for begin, end in executed:
            while place < len(known) and known[place][1] <= begin:
                place += 1
            for first, last in known[place:]:
                if first >= end:
                    break
                total += min(end, last) - max(begin, first)
        return total


class Ran(_Kept):
    """What a scenario, a test in Python or a phase (what is no scenario's) has executed of each module."""

    kind: Literal["scenario", "test", "phase"]
    file: str = ""
    id: str
    blocks: dict[str, Bits]

    @property
    def key(self) -> str:
        """Its node id."""
        return f"{self.file}::{self.id}" if self.kind == "scenario" else self.id


class RunCoverage(_Kept):
    """A whole run; `notes` are sentences on what could not be counted."""

    schema_: Literal[1] = Field(1, alias="schema", serialization_alias="schema")
    run: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    modules: tuple[ModuleCoverage, ...] = ()
    ran: tuple[Ran, ...] = ()

    def module(self, name: str) -> ModuleCoverage | None:
        """Of a name."""
        return next((module for module in self.modules if module.name == name), None)

    def blocks(self, module: str, only: Iterable[Ran] | None = None) -> int:
        """Everything of a module that ran, or that some of what ran have executed."""
        return _united(one.blocks.get(module, 0) for one in (self.ran if only is None else only))

    @property
    def scenarios(self) -> list[Ran]:
        """What is no phase."""
        return [one for one in self.ran if one.kind != "phase"]

    def as_json(self) -> str:
        """The file's text."""
        return self.model_dump_json(by_alias=True) + "\n"


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that do not touch, ascending."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        elif begin < end:
            found.append((begin, end))
    return found


def _united(sets: Iterable[int]) -> int:
    found = 0
    for one in sets:
        found |= one
    return found


def read(place: Path) -> RunCoverage:
    """The coverage of a run: from its folder, or from the file itself.

    Raises:
        UsageError: there is none, or it is damaged or of another schema.
    """
    path = place / FILE if place.is_dir() else place
    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError("is too large for the coverage of a run", str(path))
        found = RunCoverage.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"there is no coverage: {error.strerror}", str(path), "make it with: kshs run --coverage"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        why = ": ".join(filter(None, (".".join(map(str, first["loc"][:4])), first["msg"])))
        raise UsageError(
            f"is no coverage that this kshs reads: {why}", str(path), "make it anew with: kshs run --coverage"
        ) from None
    _check(found, path)
    return found


def _check(found: RunCoverage, path: Path) -> None:
    """That numbers stand for something.

    Raises:
        UsageError: one of them does not.
    """
    sizes: Mapping[str, int] = {module.name: len(module.blocks) for module in found.modules}
    wrong = any(
        not (0 <= file < len(module.files) and line > 0)
        for module in found.modules
        for file, line in module.lines
    )
    wrong = wrong or any(
        any(not 0 <= line < len(module.lines) for line in block.lines)
        or any(not 0 <= number < len(module.functions) for number in block.functions)
        for module in found.modules
        for block in module.blocks
    )
    wrong = wrong or any(bits >> sizes.get(name, 0) for one in found.ran for name, bits in one.blocks.items())
    placed: list[CoveredBlock | CoveredFunction] = []
    for module in found.modules:
        placed += [*module.blocks, *module.functions]
    wrong = wrong or any(one.offset < 0 or one.size < 0 for one in placed)
    hint = "make it anew with: kshs run --coverage"
    if wrong:
        raise UsageError("is damaged: a number in it stands for nothing", str(path), hint)
    if len(sizes) < len(found.modules):
        raise UsageError("is damaged: two modules in it have one name", str(path), hint)
