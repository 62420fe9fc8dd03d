# SPDX-License-Identifier: Apache-2.0
"""Numbers about coverage: how much was reached, by how many, and what by one alone or by nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.coverage.model import ModuleCoverage, RunCoverage, members


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    reached: int
    total: int

    @property
    def percent(self) -> str:
        """With one decimal, rounded down: 100.0 is all of it.  A dash where there is nothing to reach."""
        return f"{self.reached * 1000 // self.total / 10:.1f}%" if self.total else "–"

    def __str__(self) -> str:
        return f"{self.reached} of {self.total} ({self.percent})" if self.total else "none"


@dataclass(frozen=True)
class ModuleFigures:
    """What was reached of one module.

    `lines` and `functions` are sets of the whole run, those behind `by_` of scenarios and tests alone;
    `counts` says of each line how many of these reach it, and `only` which one, where it is one alone.
    """

    module: ModuleCoverage
    lines: int
    by_lines: int
    functions: int
    by_functions: int
    blocks: int
    code_bytes: int
    counts: tuple[int, ...]
    only: dict[int, int]

    @property
    def line_share(self) -> Share:
        """Lines that the run reached."""
        return Share(self.lines.bit_count(), len(self.module.lines))

    @property
    def function_share(self) -> Share:
        """Functions that the run reached."""
        return Share(self.functions.bit_count(), len(self.module.functions))

    @property
    def byte_share(self) -> Share:
        """Bytes of functions that the run reached."""
        return Share(self.code_bytes, self.module.code_bytes)

    @property
    def export_share(self) -> Share:
        """Exported functions that the run reached."""
        exported = [n for n, function in enumerate(self.module.functions) if function.exported]
        return Share(sum(self.functions >> n & 1 for n in exported), len(exported))

    def unreached(self) -> dict[int, list[int]]:
        """By the number of their file, the lines that nothing reached, ascending."""
        found: dict[int, list[int]] = {}
        for number, (file, line) in enumerate(self.module.lines):
            if not self.lines >> number & 1:
                found.setdefault(file, []).append(line)
        return {file: sorted(lines) for file, lines in sorted(found.items())}


def figures(coverage: RunCoverage, module: ModuleCoverage) -> ModuleFigures:
    """Of one module of a run."""
    scenarios = coverage.scenarios
    counts = [0] * len(module.lines)
    only: dict[int, int] = {}
    by_lines = by_functions = 0
    for place, one in enumerate(scenarios):
        blocks = one.blocks.get(module.name, 0)
        lines = module.lines_of(blocks)
        by_lines |= lines
        by_functions |= module.functions_of(blocks)
        for line in members(lines):
            counts[line] += 1
            only[line] = place
    blocks = coverage.blocks(module.name)
    return ModuleFigures(
        module=module,
        lines=module.lines_of(blocks),
        by_lines=by_lines,
        functions=module.functions_of(blocks),
        by_functions=by_functions,
        blocks=blocks.bit_count(),
        code_bytes=module.bytes_of(blocks),
        counts=tuple(counts),
        only={line: place for line, place in only.items() if counts[line] == 1},
    )


def summary(every: Sequence[ModuleFigures]) -> list[str]:
    """A line for each module, for terminals and logs."""
    return [
        f"{one.module.name}: "
        + (f"lines {one.line_share}, " if one.module.lines else "")
        + f"functions {one.function_share}, code {one.byte_share.percent}, {one.blocks} blocks"
        + (f" (no lines: {one.module.why_no_lines})" if one.module.why_no_lines else "")
        for one in every
    ]


def ranges(lines: Sequence[int]) -> str:
    """Line numbers for people: ``3, 7-9``."""
    found: list[list[int]] = []
    for line in lines:
        if found and line == found[-1][1] + 1:
            found[-1][1] = line
        else:
            found.append([line, line])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)
