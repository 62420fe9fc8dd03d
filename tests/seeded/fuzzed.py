# SPDX-License-Identifier: Apache-2.0
"""Which of the seeded defects `kshs fuzz` finds that are not in the contract's plain text, and how soon.

``python -m tests.seeded.fuzzed --seconds N [--blind] [--seed S] [--out FILE] [DEFECT...]``: a campaign for
each defect, on Wine on this host; a line of JSON for each, and the sum at the end (docs/performance.md).
What tests/seeded/plain.toml catches is in the plain text, and is left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import drivers.build
from drivers.abi import load as load_abi
from drivers.components import ROOT
from harness.fuzzing.keeping import FINDS, State
from harness.fuzzing.setup import Asked, campaign
from harness.language import scenario_file
from harness.verdict import Verdict
from tests.seeded.hunt import run
from tests.seeded.local_guest import LocalProvider
from tests.seeded.table import Defect, defects

PLAIN = Path(__file__).with_name("plain.toml")


def tree_of(defect: Defect, folder: Path) -> Path:
    """The sources with the defect in them, built."""
    tree = folder / "drivers"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    defect.apply(tree)
    drivers.build.build(source=tree)
    return tree


def plain(provider: LocalProvider, folder: Path) -> str | None:
    """The first scenario of the plain text that does not pass."""
    scenarios = [each.scenario for each in scenario_file.load_located(PLAIN)]
    impatient = [one.model_copy(update={"timeout_ms": 2_500}) for one in scenarios]
    for result in run(provider, impatient, folder):
        if result.verdict not in (Verdict.PASSED, Verdict.SKIPPED):
            return result.id
    return None


def fuzz(
    provider: LocalProvider, folder: Path, seconds: float, seed: int, sequences: int | None, *, blind: bool
) -> dict[str, Any]:
    """One campaign, up to its first find."""
    folder.mkdir()
    state = State(seed, seconds, "avshs", provider.target_digest(), "local")
    asked = Asked(timeout_ms=8_000, finds=1, sequences=sequences, steered=not blind)
    with campaign(provider, load_abi(), folder, state, lambda text: None, asked) as work:
        work.run()
    found = [json.loads(file.read_text()) for file in (folder / FINDS).glob("*/find.json")]
    first = found[0] if found else {}
    return {
        "found": first.get("cause"),
        "verdict": first.get("verdict"),
        "steps": first.get("steps"),
        "after_seconds": first.get("after_seconds"),
        "after_sequences": first.get("after_sequences"),
        "sequences": state.sequences,
        "seconds": round(state.seconds, 1),
        "unconfirmed": state.unconfirmed,
        "errors": state.errors,
    }


def records(
    wanted: list[Defect],
    seconds: float,
    seed: int,
    sequences: int | None,
    known: dict[str, str | None],
    *,
    blind: bool,
) -> Iterator[dict[str, Any]]:
    """One a defect; the next one is built meanwhile."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(1) as pool:
        builds = {one.id: pool.submit(tree_of, one, Path(name) / one.id) for one in wanted}
        for defect in wanted:
            tree = builds[defect.id].result()
            provider = LocalProvider(tree)
            home = Path(name) / defect.id
            caught = known[defect.id] if defect.id in known else plain(provider, home)
            record: dict[str, Any] = {"defect": defect.id, "plain": caught}
            if caught is None:
                record |= fuzz(provider, home / "out", seconds, seed, sequences, blind=blind)
            yield record
            shutil.rmtree(home, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Prints a line for each defect as it comes, and the sum."""
    parser = argparse.ArgumentParser(prog="python -m tests.seeded.fuzzed", description=__doc__)
    parser.add_argument("defects", nargs="*", metavar="DEFECT")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--sequences", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--blind", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--known", type=Path, help="an earlier --out, for what is in the plain text")
    given = parser.parse_args(arguments)
    known: dict[str, str | None] = {}
    if given.known is not None:
        lines = map(json.loads, given.known.read_text().splitlines())
        known = {line["defect"]: line["plain"] for line in lines if "defect" in line}
    by_name = {one.id: one for one in defects()}
    wanted = [by_name[name] for name in given.defects] or list(by_name.values())
    tried = hits = 0
    for record in records(wanted, given.seconds, given.seed, given.sequences, known, blind=given.blind):
        line = json.dumps(record)
        print(line, flush=True)
        if given.out is not None:
            with given.out.open("a") as out:
                out.write(f"{line}\n")
        tried += record["plain"] is None
        hits += record.get("found") is not None
    print(f"{hits} of {tried} defects beyond the plain text, {given.seconds:g} s each")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
