# SPDX-License-Identifier: Apache-2.0
"""From what the processes of a run wrote down to the coverage of the run: modules, lines, sources."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.coverage import recorder
from harness.coverage.images import CodeImage
from harness.coverage.model import (
    CoveredBlock,
    CoveredFunction,
    ModuleCoverage,
    Ran,
    RunCoverage,
    SourceFile,
    members,
)
from harness.coverage.symbols import ModuleSymbols, symbols_of
from harness.errors import HarnessError, UsageError
from harness.evidence.symbols import SymbolFiles
from harness.evidence.symbols.pdb import Checksum
from harness.guest_text import one_line
from vm.words import counted

#: How our own build calls the folder in which `drivers` is (`drivers.toolchain`).
OURS = "/kshs/"
#: Bytes of one source file that is kept.
_MAX_SOURCE = 4 << 20
_MAX_FILES = 20_000
_MAX_NAME = 260

#: Whether a file's content is that which was compiled.
Fits = Callable[[bytes], bool]
FindSource = Callable[[str, Fits | None], Path | None]


@dataclass
class _Parts:
    """What all parts say together; blocks are known by module, offset and size."""

    images: dict[str, tuple[str, str]] = field(default_factory=dict)
    blocks: dict[str, dict[tuple[int, int], int]] = field(default_factory=dict)
    ran: dict[tuple[str, str, str], dict[str, int]] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    lost: int = 0


def gather(
    parts: Iterable[Path], symbols: Sequence[Path], find_source: FindSource, run: Mapping[str, Any]
) -> RunCoverage:
    """The coverage of a run.

    Args:
        parts: what each process wrote (`harness.coverage.recorder`); a torn last line is forgiven.
        symbols: files and folders with PDBs.
        find_source: from a file's name in a PDB to the file, by what it must be if that is known.
        run: what is said of the run.

    Raises:
        HarnessError: a part is damaged.
    """
    said = _Parts()
    for part in parts:
        _read(part, said)
    notes = list(said.notes)
    if said.lost:
        notes.append(
            f"{counted(said.lost, 'translation')} found no room among the counters: more was executed than is"
            " on record"
        )
    known = SymbolFiles(path for path in symbols if path.exists())
    modules = []
    for name, (image, digest) in said.images.items():
        try:
            found = CodeImage(Path(image))
        except UsageError as error:
            notes.append(f"{name} is left out: {error}")
            continue
        named = symbols_of(name, found, known)
        modules.append(_module(name, digest, named, said.blocks.get(name, {}), find_source, notes))
    kept = {module.name for module in modules}
    ran = [
        Ran(kind=kind, file=file, id=name, blocks={m: bits for m, bits in blocks.items() if m in kept})  # type: ignore[arg-type]
        for (kind, file, name), blocks in said.ran.items()
    ]
    return RunCoverage(schema=1, run=dict(run), notes=tuple(notes), modules=tuple(modules), ran=tuple(ran))


def _read(part: Path, said: _Parts) -> None:
    numbered: list[tuple[str, int]] = []
    lines = part.read_bytes().split(b"\n")
    for place, line in enumerate(lines):
        if not line:
            continue
        try:
            record = json.loads(line)
            _take(record, numbered, said)
        except (ValueError, LookupError, TypeError) as error:
            if place == len(lines) - 1:  # whoever wrote it was killed
                return
            raise HarnessError(f"line {place + 1} is damaged: {error}", str(part)) from None


def _take(record: Mapping[str, Any], numbered: list[tuple[str, int]], said: _Parts) -> None:
    match record["kind"]:
        case recorder.MODULE:
            said.images.setdefault(record["name"], (record["image"], record["sha256"]))
        case recorder.BLOCKS:
            for module, offset, size in record["blocks"]:
                known = said.blocks.setdefault(module, {})
                numbered.append((module, known.setdefault((int(offset), int(size)), len(known))))
        case recorder.RAN:
            phase = record.get("phase")
            kind = "phase" if phase else "scenario" if record["scenario"] else "test"
            key = (kind, "" if phase else str(record["file"]), str(phase or record["id"]))
            found = said.ran.setdefault(key, {})
            for number in members(int(record["blocks"] or "0", 16)):
                module, block = numbered[number]
                found[module] = found.get(module, 0) | 1 << block
        case recorder.NOTE:
            said.lost = max(said.lost, int(record.get("lost", 0)))
            if "why" in record:
                words = f"{record['module']} is not counted: " if "module" in record else ""
                said.notes[words + str(record["why"])] = None


def _module(
    name: str,
    digest: str,
    symbols: ModuleSymbols,
    blocks: Mapping[tuple[int, int], int],
    find_source: FindSource,
    notes: list[str],
) -> ModuleCoverage:
    paths = list(dict.fromkeys(line.file for line in symbols.lines))
    numbers = {path: number for number, path in enumerate(paths)}
    first = [_first_line(symbols, function.begin, function.end) for function in symbols.functions]
    exported = set(symbols.exports.values())
    return ModuleCoverage(
        name=name,
        sha256=digest,
        pdb=symbols.pdb,
        why_no_lines=symbols.why_no_lines,
        code_bytes=sum(function.end - function.begin for function in symbols.functions),
        files=tuple(_source(name, path, symbols.checksums.get(path), find_source, notes) for path in paths),
        lines=tuple((numbers[line.file], line.line) for line in symbols.lines),
        functions=tuple(
            CoveredFunction(
                name=function.name,
                offset=function.begin,
                size=function.end - function.begin,
                file=None if place is None else numbers[symbols.lines[place].file],
                line=None if place is None else symbols.lines[place].line,
                exported=function.begin in exported,
            )
            for function, place in zip(symbols.functions, first, strict=True)
        ),
        exports=len(symbols.exports),
        blocks=tuple(
            CoveredBlock(
                offset=offset,
                size=size,
                lines=tuple(sorted(symbols.lines_of(offset, offset + size))),
                functions=tuple(symbols.functions_of(offset, offset + size)),
            )
            for offset, size in blocks
        ),
    )


def _first_line(symbols: ModuleSymbols, begin: int, end: int) -> int | None:
    """Of a function: the outermost line of its first instruction that has one."""
    first, last = bisect_left(symbols.instructions, begin), bisect_left(symbols.instructions, end)
    return next((lines[-1] for lines in symbols.at[first:last] if lines), None)


def _source(
    module: str, path: str, checksum: Checksum | None, find_source: FindSource, notes: list[str]
) -> SourceFile:
    """One source; a file that was not compiled into the module is named, and has no text."""
    found = find_source(path, None if checksum is None else checksum.fits)
    if found is None or found.stat().st_size > _MAX_SOURCE:
        return SourceFile(path=path, shown=one_line(path.replace("\\", "/").removeprefix(OURS), _MAX_NAME))
    here, place = Path.cwd().resolve(), found.resolve()
    shown = str(place.relative_to(here) if place.is_relative_to(here) else place)
    content = found.read_bytes()
    if checksum is not None and not checksum.fits(content):
        notes.append(
            f"{module}: {shown} is not the source that it was built from, and is not shown: build the driver"
            " anew, or name the right folder by --sources"
        )
        return SourceFile(path=path, shown=shown)
    return SourceFile(path=path, shown=shown, text=content.decode("utf-8", "replace"))


class Sources:
    """Finds source files by what a PDB calls them.

    Args:
        ours: the folder that our own drivers were built from.
        folders: in which those of a target may be; the file whose path agrees most from its end on is taken,
            of those that fit where that is known.
    """

    def __init__(self, ours: Path, folders: Iterable[Path] = ()) -> None:
        self._ours = ours
        self._by_name: dict[str, list[Path]] = {}
        count = 0
        for folder in dict.fromkeys(folders):
            for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
                count += 1
                if count > _MAX_FILES:
                    return
                if path.suffix.lower() in _SUFFIXES:
                    self._by_name.setdefault(path.name.lower(), []).append(path)

    def __call__(self, path: str, fits: Fits | None = None) -> Path | None:
        """The file; None where there is none."""
        parts = path.replace("\\", "/").split("/")
        own = f"{OURS}{_DRIVERS}/"
        if path.startswith(own) and ".." not in parts:
            found = self._ours / path.removeprefix(own)
            if found.is_file():
                return found
        named = sorted(
            self._by_name.get(parts[-1].lower(), []), key=lambda one: _agreement(parts, one), reverse=True
        )
        fitting = (one for one in named if fits is not None and _fits(fits, one))
        return next(fitting, named[0] if named else None)


def _fits(fits: Fits, path: Path) -> bool:
    try:
        return path.stat().st_size <= _MAX_SOURCE and fits(path.read_bytes())
    except OSError:
        return False


_DRIVERS = "drivers"
_SUFFIXES = frozenset({".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".inl", ".s", ".asm", ".rc"})


def _agreement(parts: Sequence[str], path: Path) -> int:
    """How many names agree, from the last one on."""
    pairs = zip(reversed(parts), reversed(path.parts), strict=False)
    count = 0
    for one, other in pairs:
        if one.lower() != other.lower():
            break
        count += 1
    return count
