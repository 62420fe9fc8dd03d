# SPDX-License-Identifier: Apache-2.0
"""Which scenarios a change of sources concerns: those that reached a line which is no longer what it was.

What a run reached is compared with the files as they are now: the coverage has the sources that were built.
Comments and spaces are no change.  Whatever cannot be narrowed down concerns more scenarios, never fewer, and
all that is left out is said.
"""

from __future__ import annotations

import difflib
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\n|[^\S\n]+|.""", re.DOTALL | re.VERBOSE
)


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
            self._file(module, lines, f"the text of {path} is not on record, so that all of it counts")
            return
        now = path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
        old, new = code_lines(source.text), code_lines(now)
        regions = list(changes(old, new))
        if not regions:
            self._notes.append(
                f"{path}: nothing has changed in {module.name} but comments and spaces, if that"
            )
        for region in regions:
            self._region(path, module, number, lines, old, region)

    def _region(
        self,
        path: Path,
        module: ModuleCoverage,
        number: int,
        lines: dict[int, int],
        old: Sequence[str],
        region: Region,
    ) -> None:
        begin, end = region.begin, region.end
        where = f"{path}:{ranges(range(begin, end)) or begin}"
        if region.preprocessor:
            self._whole(path, module, lines, f"{where} is the preprocessor's")
            return
        touched = list(range(begin, end)) or [begin - 1, begin]
        function = self._around(module, number, lines, touched)
        if function is None:
            self._whole(path, module, lines, f"{where} lies in no function")
            return
        name, inside = function
        own = {line for line in range(begin, end) if old[line - 1]}
        if own and own <= lines.keys():
            self._lines(module, {lines[line] for line in own}, where, f"{where}, which")
        else:
            # What is put in, and what has no code of its own, changes what is around it.
            self._lines(module, inside, f"{where} in {name}", f"{where}, in {name}, which")

    def _around(
        self, module: ModuleCoverage, number: int, lines: dict[int, int], touched: Sequence[int]
    ) -> tuple[str, set[int]] | None:
        """The function that all of some lines lie in, by its name, and its lines."""
        begins = sorted(
            (function.line, function.name)
            for function in module.functions
            if function.file == number and function.line
        )
        place = bisect_left(begins, (min(touched) + 1, "")) - 1
        if place < 0:
            # Inlined everywhere: no function of its own is left, and its lines are known all the same.
            inlined = {lines[line] for line in touched if line in lines}
            return ("inlined code", inlined) if inlined and len(inlined) == len(touched) else None
        begin, name = begins[place]
        end = begins[place + 1][0] if place + 1 < len(begins) else max(lines) + 1
        inside = {at for line, at in lines.items() if begin <= line < end}
        last = max((line for line in lines if begin <= line < end), default=begin)
        return (name, inside) if max(touched) <= last + 1 else None

    def _whole(self, path: Path, module: ModuleCoverage, lines: dict[int, int], why: str) -> None:
        """A change that no function holds: of a header it may concern every module that was counted."""
        if path.suffix.lower().startswith(".h"):
            self._every(why)
        else:
            self._file(module, lines, why)

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


def code_lines(text: str) -> list[str]:
    """The lines of C without comments, with one space for any that separate."""
    out = []
    for match in _TOKEN.finditer(text):
        piece = match[0]
        if piece.startswith(("//", "/*")):
            out.append(" " + "\n" * piece.count("\n"))
        elif piece != "\n" and piece.isspace():
            out.append(" ")
        else:
            out.append(piece)
    return [" ".join(line.split()) for line in "".join(out).split("\n")]


@dataclass(frozen=True)
class Region:
    """Old lines from `begin` to below `end`, from 1; none of them where something was only put in there.

    `preprocessor` says whether the preprocessor reads any of what was there or is there now.
    """

    begin: int
    end: int
    preprocessor: bool


def changes(old: Sequence[str], new: Sequence[str]) -> Iterator[Region]:
    """What of old lines is other in new ones."""
    theirs, ours = _directives(old), _directives(new)
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for tag, begin, end, first, last in matcher.get_opcodes():
        if tag != "equal" and any([*old[begin:end], *new[first:last]]):
            yield Region(begin + 1, end + 1, any([*theirs[begin:end], *ours[first:last]]))


def _directives(lines: Sequence[str]) -> list[bool]:
    """Of each line, whether it belongs to a directive of the preprocessor, which may go on over lines."""
    found: list[bool] = []
    goes_on = False
    for line in lines:
        found.append(goes_on or line.startswith("#"))
        goes_on = found[-1] and line.endswith("\\")
    return found


def _is_same(source: SourceFile, path: Path) -> bool:
    if source.text is not None and Path(source.shown).resolve() == path.resolve():
        return True
    return source.text is None and _ends_alike(source.shown, path)


def _ends_alike(name: str, path: Path) -> bool:
    """Whether one of two paths is the end of the other."""
    one, other = Path(name).parts, path.parts
    length = min(len(one), len(other))
    return length > 0 and one[-length:] == other[-length:]
