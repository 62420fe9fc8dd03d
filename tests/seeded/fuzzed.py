# SPDX-License-Identifier: Apache-2.0
"""Which of the seeded defects `kshs fuzz` finds that are not in the contract's plain text, and how soon.

``python -m tests.seeded.fuzzed --seconds N [--sequences N] [--blind] [--guest NAME [--coverage]] [--seed S]
[--out FILE] [DEFECT...]``: a campaign for each defect of tests/seeded/beyond.toml, up to its first find,
which is confirmed and not made smaller, on Wine on this host or in guests; a line of JSON for each, and the
sum at the end.  ``--table FILE...`` makes a table of such files (docs/performance.md).

Wall time says little on a busy machine; ``--sequences`` is a budget that does not depend on it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import drivers.build
from drivers.abi import load as load_abi
from drivers.components import ROOT
from harness.fuzzing.keeping import FINDS, State
from harness.fuzzing.setup import Asked, campaign
from tests.seeded.local_guest import LocalProvider
from tests.seeded.table import Defect, beyond, defects


@dataclass(frozen=True)
class Budget:
    """What each campaign may take, and how it is steered.

    `guest` is None for Wine on this host; `coverage`: by what drivers execute, too, which needs a guest.
    """

    seconds: float = 600.0
    sequences: int | None = None
    seed: int = 1
    blind: bool = False
    guest: str | None = None
    coverage: bool = False


def tree_of(defect: Defect, folder: Path) -> Path:
    """The sources with the defect in them, built."""
    tree = folder / "drivers"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    defect.apply(tree)
    drivers.build.build(source=tree)
    return tree


def provider_of(tree: Path, budget: Budget) -> Any:
    """Gives guests with the binaries of that tree."""
    if budget.guest is None:
        return LocalProvider(tree)
    from harness import config
    from harness.guests.package import find_target
    from harness.guests.provider import VmProvider

    settings = config.load(None)
    return VmProvider(
        settings.vm,
        find_target("avshs", settings),
        budget.guest,
        source=tree,
        way=settings.leases_of(budget.guest),
        devices=settings.devices_of(budget.guest),
        counted=budget.coverage,
    )


def fuzz(tree: Path, folder: Path, budget: Budget) -> dict[str, Any]:
    """One campaign, up to its first find."""
    from harness.fuzzing.counted import Counted

    folder.mkdir(parents=True)
    provider = provider_of(tree, budget)
    try:
        provider.prepare(lambda text: None)
        state = State(budget.seed, budget.seconds, "avshs", provider.target_digest(), budget.guest or "local")
        asked = Asked(
            timeout_ms=8_000, finds=1, sequences=budget.sequences, steered=not budget.blind, smaller=0.0
        )
        coverage = Counted(provider, load_abi()) if budget.coverage else None
        with campaign(
            provider, load_abi(), folder, state, lambda text: None, asked, coverage=coverage
        ) as work:
            work.run()
    finally:
        provider.close()
    found = [json.loads(file.read_text()) for file in (folder / FINDS).glob("*/find.json")]
    first = found[0] if found else {}
    return {
        "found": first.get("cause"),
        "verdict": first.get("verdict"),
        "steps": first.get("steps"),
        "after_seconds": first.get("after_seconds"),
        "after_sequences": first.get("after_sequences"),
        "sequences": state.sequences,
        "bulk_sequences": state.bulk_sequences,
        "seconds": round(state.seconds, 1),
        "host_cpu_seconds": round(state.host_cpu_seconds, 1),
        "coverage_blocks": state.coverage_blocks,
        "unconfirmed": state.unconfirmed,
        "errors": state.errors,
    }


def records(wanted: list[Defect], budget: Budget) -> Iterator[dict[str, Any]]:
    """One a defect; the next one is built meanwhile."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(1) as pool:
        builds = {one.id: pool.submit(tree_of, one, Path(name) / one.id) for one in wanted}
        for defect in wanted:
            tree = builds[defect.id].result()
            home = Path(name) / defect.id
            yield {"defect": defect.id, **fuzz(tree, home / "out", budget)}
            shutil.rmtree(home, ignore_errors=True)


def table(files: Iterable[Path]) -> str:
    """Rows of a table of Markdown: of each defect after how many sequences it was found, a column a file."""
    columns = []
    for file in files:
        lines = (json.loads(line) for line in file.read_text().splitlines())
        columns.append({line["defect"]: line for line in lines if "defect" in line})
    rows = []
    for name in dict.fromkeys(name for column in columns for name in column):
        cells = [_cell(column.get(name)) for column in columns]
        rows.append(f"| `{name}` | {' | '.join(cells)} |")
    hits = [sum(bool(line.get("found")) for line in column.values()) for column in columns]
    sums = [f"{hit} of {len(column)}" for hit, column in zip(hits, columns, strict=True)]
    return "\n".join([*rows, f"| found | {' | '.join(sums)} |"])


def _cell(line: dict[str, Any] | None) -> str:
    if line is None:
        return "not run"
    if line.get("found"):
        return f"{line['after_sequences']:,}"
    return f"not in {line['sequences']:,}"


def main(arguments: list[str]) -> int:
    """Prints a line for each defect as it comes, and the sum."""
    parser = argparse.ArgumentParser(prog="python -m tests.seeded.fuzzed", description=__doc__)
    parser.add_argument("defects", nargs="*", metavar="DEFECT")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--sequences", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--blind", action="store_true")
    parser.add_argument("--guest", help="recipe of the guests; Wine on this host without it")
    parser.add_argument("--coverage", action="store_true", help="needs --guest")
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--table", type=Path, nargs="+", metavar="FILE", help="of these --out files; runs none"
    )
    given = parser.parse_args(arguments)
    if given.table:
        print(table(given.table))
        return 0
    if given.coverage and given.guest is None:
        parser.error("--coverage needs --guest: nobody counts blocks on this host")
    budget = Budget(given.seconds, given.sequences, given.seed, given.blind, given.guest, given.coverage)
    by_name = {one.id: one for one in defects()}
    if unknown := [name for name in given.defects if name not in by_name]:
        parser.error(f"no such defect: {', '.join(unknown)}")
    wanted = [by_name[name] for name in given.defects or beyond()]
    tried = hits = 0
    for record in records(wanted, budget):
        line = json.dumps(record)
        print(line, flush=True)
        if given.out is not None:
            with given.out.open("a") as out:
                out.write(f"{line}\n")
        tried += 1
        hits += record.get("found") is not None
    print(f"{hits} of {tried} defects beyond the plain text, {given.seconds:g} s each at most")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
