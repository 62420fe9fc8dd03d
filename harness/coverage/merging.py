# SPDX-License-Identifier: Apache-2.0
"""One coverage of several runs: of other targets, on the same build of what they have in common."""

from __future__ import annotations

from collections.abc import Sequence

from harness.coverage.model import CoveredBlock, ModuleCoverage, Ran, RunCoverage, members
from harness.errors import UsageError
from vm.words import counted


def merge(runs: Sequence[RunCoverage]) -> RunCoverage:
    """What all of them reached together; a scenario that several of them ran has reached what it did in any.

    Raises:
        UsageError: a module of one is of another build than in another, or has lines in one alone.
    """
    modules: dict[str, ModuleCoverage] = {}
    numbers: dict[str, dict[tuple[int, int], int]] = {}
    blocks: dict[str, list[CoveredBlock]] = {}
    ran: dict[tuple[str, str, str], dict[str, int]] = {}
    for run in runs:
        placed: dict[str, list[int]] = {}
        for module in run.modules:
            known = modules.setdefault(module.name, module)
            _check(known, module)
            own, every = numbers.setdefault(module.name, {}), blocks.setdefault(module.name, [])
            for block in module.blocks:
                if own.setdefault((block.offset, block.size), len(every)) == len(every):
                    every.append(block)
            placed[module.name] = [own[block.offset, block.size] for block in module.blocks]
        for one in run.ran:
            found = ran.setdefault((one.kind, one.file, one.id), {})
            for name, bits in one.blocks.items():
                moved = sum(1 << placed[name][number] for number in members(bits))
                found[name] = found.get(name, 0) | moved
    targets = list(dict.fromkeys(str(run.run.get("target")) for run in runs if run.run.get("target")))
    guests = list(dict.fromkeys(str(run.run.get("guest")) for run in runs if run.run.get("guest")))
    return RunCoverage(
        schema=1,
        run={
            "target": ", ".join(targets) or None,
            "guest": ", ".join(guests) or None,
            "started": max((str(run.run.get("started") or "") for run in runs), default="") or None,
            "command": f"kshs coverage of {counted(len(runs), 'run')}",
            "ids": [run.run.get("id") for run in runs],
        },
        notes=tuple(dict.fromkeys(note for run in runs for note in run.notes)),
        modules=tuple(
            module.model_copy(update={"blocks": tuple(blocks[name])}) for name, module in modules.items()
        ),
        ran=tuple(
            Ran.model_validate({"kind": kind, "file": file, "id": name, "blocks": found})
            for (kind, file, name), found in ran.items()
        ),
    )


def _check(one: ModuleCoverage, other: ModuleCoverage) -> None:
    if one.sha256 != other.sha256:
        raise UsageError(
            f"{one.name} is of two builds in these runs ({one.sha256[:12]} and {other.sha256[:12]})",
            hint="run all of them anew with one build",
        )
    if (one.lines, one.functions) != (other.lines, other.functions):
        raise UsageError(
            f"{one.name} has lines or functions in one of these runs that it has not in another",
            hint="run all of them with the same --symbols",
        )
