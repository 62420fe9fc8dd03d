# SPDX-License-Identifier: Apache-2.0
"""Builds a defect's variant of the sources and runs scenarios against it.

``python -m tests.seeded.hunt [DEFECT...]`` looks for the first scenario that catches each defect and writes
docs/seeded-defects.md (only when no defect is named).
"""

from __future__ import annotations

import functools
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from drivers.abi import load
from drivers.components import ROOT
from harness.agent.journal import Journal
from harness.contract import capabilities
from harness.language import scenario_file
from harness.language.model import Rule, Scenario
from harness.results.record import ScenarioResult
from harness.running.runner import Runner
from harness.verdict import Verdict
from tests.seeded.local_guest import LocalProvider
from tests.seeded.table import PAGE, Catch, Defect, defects, page

#: The contract's plain text as scenarios: what they catch is not for a fuzzer to find.
PLAIN = Path(__file__).with_name("plain.toml")
#: Milliseconds that a step may take here: the guest is this host, and nothing is emulated.
SHORT_MS = 2500


@functools.cache
def catalogue() -> tuple[Scenario, ...]:
    """Every scenario, in the order of the files; read once in a process."""
    return tuple(
        located.scenario
        for file in sorted(scenario_file.CATALOGUE.glob("*.toml"))
        for located in scenario_file.load_located(file)
    )


def ordered(scenarios: Iterable[Scenario], defect: Defect) -> list[Scenario]:
    """Those of the defect's rules first, so that the first failure comes early; nothing is left out.

    The invariants, IO, are judged in every scenario: what completes requests in odd ways comes first for it.
    """

    def rank(scenario: Scenario) -> int:
        served = [rule.value for rule in scenario.rules] + ["IO"] * ("completion" in scenario.tags)
        return next((served.index(rule) for rule in defect.rules if rule in served), len(Rule))

    return sorted(scenarios, key=rank)


def speaks_of(defect: Defect, result: ScenarioResult, rules: tuple[str, ...]) -> bool:
    """Whether a bad end is the defect's: its verdict, and one of its rules.

    A driver that crashes or hangs leaves no record whose fields could name IO; the verdict does.
    """
    if result.verdict.value not in defect.verdicts:
        return False
    return bool({*rules, *result.rules} & set(defect.rules)) or (
        "IO" in defect.rules and result.verdict.is_driver_fault and result.verdict is not Verdict.FAILED
    )


def rules_named(result: ScenarioResult) -> tuple[str, ...]:
    """The rules that the report names: of the fields that differ, or else those of the scenario."""
    fields = {comparison.rule for step in result.steps for comparison in step.mismatches if comparison.rule}
    return tuple(sorted(fields - {"expectation"} or set(result.rules)))


@contextmanager
def running(provider: LocalProvider, folder: Path) -> Iterator[Runner]:
    """A runner whose guest serves one scenario after the other, until one spoils it."""
    runner = Runner(
        provider, load(), Journal(folder / "journal.jsonl"), fits=capabilities.missing, margin=5.0
    )
    try:
        yield runner
    finally:
        runner.close()


def run(provider: LocalProvider, scenarios: Iterable[Scenario], folder: Path) -> Iterator[ScenarioResult]:
    """Each scenario's result, as soon as it is there."""
    with running(provider, folder) as runner:
        for scenario in scenarios:
            yield runner.run(scenario, file="catalogue")


@contextmanager
def variant(defect: Defect, folder: Path) -> Iterator[Runner]:
    """The same, with the defect's variant of the sources, which is built for it in this folder."""
    tree = folder / "drivers"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    defect.apply(tree)
    with running(LocalProvider(tree), folder) as runner:
        yield runner


def hunt(
    defect: Defect, scenarios: Iterable[Scenario], runner: Runner
) -> tuple[Catch | None, dict[str, str]]:
    """The first scenario that fails as the defect says it must, and all that ended badly otherwise."""
    impatient = (one.model_copy(update={"timeout_ms": min(one.timeout_ms, SHORT_MS)}) for one in scenarios)
    others: dict[str, str] = {}
    for result in (runner.run(scenario, file="catalogue") for scenario in impatient):
        if result.verdict in (Verdict.PASSED, Verdict.SKIPPED):
            continue
        rules = rules_named(result)
        if speaks_of(defect, result, rules):
            return Catch(result.id, result.verdict.value, rules), others
        others[result.id] = f"{result.verdict.value} [{', '.join(rules)}] {result.reason}"
    return None, others


def plainly(runner: Runner) -> str | None:
    """The first scenario of the contract's plain text (plain.toml) that fails; None where none does."""
    scenarios = [each.scenario for each in scenario_file.load_located(PLAIN)]
    impatient = [one.model_copy(update={"timeout_ms": SHORT_MS}) for one in scenarios]
    for result in (runner.run(scenario, file=PLAIN.name) for scenario in impatient):
        if result.verdict not in (Verdict.PASSED, Verdict.SKIPPED):
            return result.id
    return None


def main(names: list[str]) -> int:
    """Looks for every scenario anew."""
    everything = catalogue()
    wanted = [defect for defect in defects() if not names or defect.id in names]
    caught: dict[str, Catch] = {}

    def one(defect: Defect) -> None:
        with tempfile.TemporaryDirectory() as folder, variant(defect, Path(folder)) as runner:
            catch, others = hunt(defect, ordered(everything, defect), runner)
        if catch is not None:
            caught[defect.id] = catch
        print(f"{defect.id}: {catch or others}", flush=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, wanted))
    if not names:
        PAGE.write_text(page(caught), encoding="utf-8")
    return int(len(caught) < len(wanted))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
