"""Every seeded defect fails the catalogue by the rule that it breaks; the sound sources pass all of it."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.abi import load
from drivers.build import ROOT
from harness import capabilities, scenario_file
from harness.journal import Journal
from harness.results import ScenarioResult
from harness.runner import Runner
from tests.seeded.local_guest import LocalProvider

pytestmark = pytest.mark.component

TABLE = Path(__file__).with_name("defects.toml")


@dataclass(frozen=True)
class Defect:
    id: str
    file: str
    find: str
    replace: str
    rules: tuple[str, ...]
    verdicts: tuple[str, ...] = ("failed",)

    def apply(self, tree: Path) -> None:
        path = tree / self.file
        text = path.read_text(encoding="utf-8")
        assert text.count(self.find) == 1, f"{self.id}: 'find' must stand once in {self.file}: mend the table"
        path.write_text(text.replace(self.find, self.replace), encoding="utf-8")


def defects() -> list[Defect]:
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))["defect"]
    return [
        Defect(**{**row, "rules": tuple(row["rules"]), "verdicts": tuple(row.get("verdicts", ("failed",)))})
        for row in table
    ]


def run_catalogue(provider: LocalProvider, folder: Path) -> Iterator[ScenarioResult]:
    runner = Runner(provider, load(), Journal(folder / "journal.jsonl"), fits=capabilities.missing)
    try:
        for file in sorted(scenario_file.CATALOGUE.glob("*.toml")):
            for located in scenario_file.load_located(file):
                yield runner.run(located.scenario, file=str(file))
    finally:
        runner.close()


def rules_named(result: ScenarioResult) -> set[str]:
    """The rules that the report would name: the scenario's, and those of the fields that differ."""
    fields = {comparison.rule for step in result.steps for comparison in step.mismatches if comparison.rule}
    return fields | set(result.rules)


def test_the_sound_sources_pass_all(tmp_path: Path) -> None:
    results = list(run_catalogue(LocalProvider(), tmp_path))
    assert {result.id: result.reason for result in results if not result.verdict.is_good} == {}
    assert sum(result.verdict.value == "passed" for result in results) >= 60


@pytest.mark.parametrize("defect", defects(), ids=lambda defect: defect.id)
def test_a_seeded_defect_is_found(defect: Defect, tmp_path: Path) -> None:
    tree = tmp_path / "drivers"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    defect.apply(tree)
    seen: dict[str, str] = {}
    for result in run_catalogue(LocalProvider(tree), tmp_path):
        if result.verdict.is_good:
            continue
        seen[result.id] = f"{result.verdict.value} [{', '.join(sorted(rules_named(result)))}] {result.reason}"
        if result.verdict.value in defect.verdicts and rules_named(result) & set(defect.rules):
            print(f"caught by {result.id}: {seen[result.id]}")
            return
    pytest.fail(
        f"no scenario ended as {defect.verdicts} for a rule of {defect.rules}; what did end badly: {seen}"
    )
