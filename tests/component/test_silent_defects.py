# SPDX-License-Identifier: Apache-2.0
"""Defects of which the contract says nothing: every scenario passes, and a comparison of runs says each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from drivers.components import ROOT as DRIVERS
from tests.seeded.table import Defect, rebuilt, silent

pytestmark = pytest.mark.component

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = ROOT / "harness" / "catalogue" / "characteristics.toml"
CONFTEST = """
from pathlib import Path
from tests.seeded.local_guest import LocalProvider


def pytest_kshs_provider(config):
    return LocalProvider(Path({tree!r}))
"""


def kshs(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def run_of(defect: Defect | None, folder: Path) -> Path:
    """Results of a run of the scenarios against sources with a change."""
    folder.mkdir()
    tree = folder / "drivers"
    shutil.copytree(DRIVERS, tree, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    if defect is not None:
        defect.apply(tree)
    (folder / "conftest.py").write_text(CONFTEST.format(tree=str(tree)))
    (folder / "scenarios").mkdir()  # beside the conftest.py, which pytest would not see otherwise
    shutil.copy(SCENARIOS, folder / "scenarios")
    done = kshs(folder, "run", "scenarios", "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"recipe":"local"' in (folder / "out" / "results.jsonl").read_text(encoding="utf-8")
    return folder / "out"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_of(None, tmp_path_factory.mktemp("sound") / "run")


def compared(before: Path, now: Path) -> tuple[int, dict[str, Any]]:
    done = kshs(now.parent, "compare", str(before), str(now), "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, found


@pytest.mark.parametrize("defect", silent(), ids=lambda defect: defect.id)
def test_a_silent_defect_is_said_as_a_changed_characteristic(
    defect: Defect, sound: Path, tmp_path: Path
) -> None:
    code, found = compared(sound, run_of(defect, tmp_path / "run"))
    scenario, field = defect.characteristic
    assert code == 1, found
    assert found["alike"] and [one["what"] for one in found["differences"]] == ["ks.sys"]
    assert {one["kind"] for one in found["findings"]} == {"changed characteristic"}
    fields = {
        (one["key"].rpartition("::")[2], change["field"])
        for one in found["findings"]
        for change in one["changes"]
    }
    assert (scenario, field) in fields


def test_another_binary_that_does_the_same_is_no_news(sound: Path, tmp_path: Path) -> None:
    code, found = compared(sound, run_of(rebuilt(), tmp_path / "run"))
    assert [one["what"] for one in found["differences"]] == ["ks.sys"]
    assert (code, found["findings"]) == (0, [])
