# SPDX-License-Identifier: Apache-2.0
"""Which scenarios a change of sources concerns: those that reached a line which is no longer what it was.

What a run reached is compared with the files as they are now: the coverage has the sources that were built.
Comments and spaces are no change.  Whatever cannot be narrowed down concerns more scenarios, never fewer, and
all that is left out is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.coverage.c_text import Function, Region, Shape, changes, code_lines, is_same_course
from harness.coverage.figures import ranges
from harness.coverage.model import ModuleCoverage, RunCoverage, SourceFile
from harness.errors import UsageError
from vm.words import counted

#: Files of which a driver is made, by their ends.
_CODE = frozenset(
    {
        ".c",
        ".cc",
        ".cpp",
        ".cxx",
        ".h",
        ".hh",
        ".hpp",
        ".inl",
        ".s",
        ".asm",
        ".def",
        ".inf",
        ".inx",
        ".rc",
        ".mc",
    }
)
_SCENARIOS = ".toml"
#: Of these, those that are compiled by themselves: whatever others say may concern every module.
_COMPILED = frozenset({".c", ".cc", ".cpp", ".cxx", ".s", ".asm"})


@dataclass
class Chosen:
    """What a change concerns.

    `scenarios` are node ids in the order of the run, each with the reasons; `notes` say what was left out and
    what could not be narrowed down.
    """

    scenarios: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def choose(coverage: RunCoverage, files: Sequence[Path]) -> Chosen:
    """The scenarios that changes of some files concern.

    Raises:
        UsageError: a file is not there and no line of it is on record either: its name is wrong.
    """
    picking = _Picking(coverage)
    for path in files:
        picking.take(path)
    return picking.chosen()


@dataclass(frozen=True)
class _Compared:
    """One source in one module: where its lines are among those of the module, and its text then and now."""

    path: Path
    module: ModuleCoverage
    number: int
    lines: dict[int, int]
    old: Sequence[str]
    new: Sequence[str]
    was: Shape
    now: Shape

    def name(self, body: Function) -> str:
        """Of a function: there is none where it was inlined everywhere."""
        for function in self.module.functions:
            is_here = function.file == self.number and function.line is not None
            if is_here and body.begin <= (function.line or 0) <= body.closed:
                return function.name
        return "inlined code"


class _Picking:
    def __init__(self, coverage: RunCoverage) -> None:
        self._coverage = coverage
        self._ran = coverage.scenarios
        self._reasons: dict[int, list[str]] = {}
        self._notes: list[str] = []
        self._lines_reached: dict[str, list[int]] = {}

    def take(self, path: Path) -> None:
        """One file."""
        known = [
            (module, number)
            for module in self._coverage.modules
            for number, source in enumerate(module.files)
            if _is_same(source, path)
        ]
        if not known and not path.exists():
            raise UsageError(
                "there is no such file, and no line of it is on record", str(path), "check --changed"
            )
        if known:
            for module, number in known:
                self._source(path, module, number)
        elif path.suffix.lower() in _CODE:
            self._every(f"no line of {path} is on record, so that any driver may depend on it")
        elif path.suffix.lower() == _SCENARIOS and self._of_file(path):
            self._add(self._of_file(path), f"it stands in {path}")
        else:
            self._notes.append(f"left out: {path} is no source of a driver, and has no scenario that ran")

    def chosen(self) -> Chosen:
        """All of it, and how many are left out."""
        found = Chosen(notes=self._notes)
        for place in sorted(self._reasons):
            found.scenarios[self._ran[place].key] = list(dict.fromkeys(self._reasons[place]))
        rest = len(self._ran) - len(found.scenarios)
        found.notes.append(
            f"left out: {counted(rest, 'scenario')} of {len(self._ran)} that ran with --coverage and reached"
            " nothing that has changed; of what did not run then nothing is known"
        )
        found.notes += self._coverage.notes
        return found

    # ---- one source of one module ------------------------------------------------

    def _source(self, path: Path, module: ModuleCoverage, number: int) -> None:
        source = module.files[number]
        lines = {line: place for place, (file, line) in enumerate(module.lines) if file == number}
        if source.text is None:
            why = f"the text of {path} is not on record, so that all of it counts"
            if _is_compiled(path):
                self._lines(module, range(len(module.lines)), why, f"{why}, and the module")
            else:
                self._every(why)
            return
        now = path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
        old, new = code_lines(source.text), code_lines(now)
        compared = _Compared(path, module, number, lines, old, new, Shape(old), Shape(new))
        regions = list(changes(old, new))
        if not regions:
            self._notes.append(
                f"{path}: nothing has changed in {module.name} but comments and spaces, if that"
            )
        for region in regions:
            self._region(compared, region)

    def _region(self, of: _Compared, region: Region) -> None:
        begin, end = region.begin, region.end
        where = f"{of.path}:{ranges(range(begin, end)) or begin}"
        if region.preprocessor:
            self._whole(of, f"{where} is the preprocessor's")
            return
        body = of.was.body(begin, end)
        if body is None or of.now.body(region.new_begin, region.new_end) is None:
            self._outside(of, region, where)
            return
        inside = {place for line, place in of.lines.items() if body.opened <= line <= body.closed}
        if not inside:
            # Nothing of it is left in the code: what it says went into whoever calls it.
            self._whole(of, f"{where} lies in a function without code of its own")
            return
        own = {line for line in range(begin, end) if of.old[line - 1]}
        if own and own <= of.lines.keys() and is_same_course(of.old, of.new, region):
            self._lines(of.module, {of.lines[line] for line in own}, where, f"{where}, which")
        else:
            # What is put in, what has no code of its own, and what decides what else is executed, changes
            # what is around it.
            name = of.name(body)
            self._lines(of.module, inside, f"{where} in {name}", f"{where}, in {name}, which")

    def _outside(self, of: _Compared, region: Region, where: str) -> None:
        """In no body: a function's head concerns whoever is in the file, data whoever is in the module."""
        is_head = of.was.is_of_functions(region.begin, region.end) and of.now.is_of_functions(
            region.new_begin, region.new_end
        )
        if is_head or not _is_compiled(of.path):
            self._whole(of, f"{where} lies in no function")
        else:
            why = f"{where} lies in no function, so that all of {of.module.name} may know of it"
            self._lines(
                of.module, range(len(of.module.lines)), why, f"{where} lies in no function, and the module"
            )

    def _whole(self, of: _Compared, why: str) -> None:
        """A change that no function holds: of a header it may concern every module that was counted."""
        if _is_compiled(of.path):
            self._file(of.module, of.lines, why)
        else:
            self._every(why)

    def _file(self, module: ModuleCoverage, lines: dict[int, int], why: str) -> None:
        self._lines(module, set(lines.values()), why, f"{why}, and the file")

    # ---- who reaches what --------------------------------------------------------

    def _lines(self, module: ModuleCoverage, wanted: Iterable[int], why: str, subject: str) -> None:
        bits = sum(1 << line for line in set(wanted))
        found = [place for place, reached in enumerate(self._reached(module)) if reached & bits]
        self._add(found, why)
        if found:
            return
        phases = [
            ran.id
            for ran in self._coverage.ran
            if ran.kind == "phase" and module.lines_of(ran.blocks.get(module.name, 0)) & bits
        ]
        if phases:
            # Every run does it: one scenario is enough to see it.
            self._add([0] if self._ran else [], f"{why}, which every run executes while {phases[0]}")
        else:
            self._notes.append(f"left out: {subject} no scenario reached in {module.name}")

    def _reached(self, module: ModuleCoverage) -> list[int]:
        """The lines that each scenario reached."""
        if module.name not in self._lines_reached:
            self._lines_reached[module.name] = [
                module.lines_of(ran.blocks.get(module.name, 0)) for ran in self._ran
            ]
        return self._lines_reached[module.name]

    def _every(self, why: str) -> None:
        self._notes.append(f"{why}: every scenario counts")
        self._add(range(len(self._ran)), why)

    def _add(self, places: Iterable[int], why: str) -> None:
        for place in places:
            self._reasons.setdefault(place, []).append(why)

    def _of_file(self, path: Path) -> list[int]:
        return [place for place, ran in enumerate(self._ran) if ran.file and _ends_alike(ran.file, path)]


def _is_compiled(path: Path) -> bool:
    return path.suffix.lower() in _COMPILED


def _is_same(source: SourceFile, path: Path) -> bool:
    if source.text is not None and Path(source.shown).resolve() == path.resolve():
        return True
    return source.text is None and _ends_alike(source.shown, path)


def _ends_alike(name: str, path: Path) -> bool:
    """Whether one of two paths is the end of the other."""
    one, other = Path(name).parts, path.parts
    length = min(len(one), len(other))
    return length > 0 and one[-length:] == other[-length:]
