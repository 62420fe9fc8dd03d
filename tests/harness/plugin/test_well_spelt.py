# SPDX-License-Identifier: Apache-2.0
"""Scenario files that were looked through once: when their names are looked at again, and when not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.plugin import items, well_spelt
from harness.plugin.well_spelt import FOLDER, WellSpelt, forget
from tests.harness.fake_guest import TARGET
from tests.harness.plugin.test_plugin import Run, run  # noqa: F401 - a fixture
from vm.config import VmConfig

pytest_plugins = ["pytester"]
GOOD = b"schema = 1"


@pytest.fixture
def config(tmp_path: Path) -> VmConfig:
    return VmConfig(cache_dir=tmp_path / "cache")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "own.scenario.toml"


def marks(config: VmConfig) -> int:
    return len(list((config.cache_dir / FOLDER).iterdir()))


def test_the_same_file_the_same_target_the_same_program(config: VmConfig, path: Path) -> None:
    spelt = WellSpelt(config, TARGET)
    assert not spelt.knows(path, GOOD)
    spelt.remember(path, GOOD)
    assert WellSpelt(config, TARGET).knows(path, GOOD)
    assert not spelt.knows(path, GOOD + b"\n"), "another content"
    assert not spelt.knows(path.with_name("other.toml"), GOOD), "another place"
    fewer = TARGET.model_copy(update={"name": "another"})
    assert not WellSpelt(config, fewer).knows(path, GOOD), "another target"
    assert forget(config) and not spelt.knows(path, GOOD) and not forget(config)


def test_another_program_looks_again(
    config: VmConfig, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "harness"
    for folder in ("language", "planning", "contract"):
        (root / folder).mkdir(parents=True)
    planner = root / "planning" / "plan.py"
    planner.write_text("one = 1")
    monkeypatch.setattr("harness.__file__", str(root / "__init__.py"))
    well_spelt._program.cache_clear()
    WellSpelt(config, TARGET).remember(path, GOOD)
    assert WellSpelt(config, TARGET).knows(path, GOOD)
    planner.write_text("one = 22")
    well_spelt._program.cache_clear()
    assert not WellSpelt(config, TARGET).knows(path, GOOD)
    monkeypatch.undo()
    well_spelt._program.cache_clear()


def test_marks_do_not_pile_up(config: VmConfig, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(well_spelt, "MOST", 4)
    spelt = WellSpelt(config, TARGET)
    for number in range(6):
        spelt.remember(path, b"%d" % number)
        for age, mark in enumerate(sorted((config.cache_dir / FOLDER).iterdir(), key=_changed)):
            os.utime(mark, (age, age))
    assert marks(config) <= 4 and spelt.knows(path, b"5") and not spelt.knows(path, b"0")


def _changed(mark: Path) -> int:
    return mark.stat().st_mtime_ns


def test_a_cache_that_cannot_be_written(config: VmConfig, path: Path) -> None:
    config.cache_dir.write_text("a file")
    spelt = WellSpelt(config, TARGET)
    spelt.remember(path, GOOD)
    assert not spelt.knows(path, GOOD)


def test_what_has_a_slip_is_looked_at_each_time(
    pytester: pytest.Pytester,
    run: Run,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And what has none, once."""
    monkeypatch.setenv("KSHS_CACHE_DIR", str(tmp_path / "cache"))
    looked = []
    real = items.misspelt
    monkeypatch.setattr(items, "misspelt", lambda *given: looked.append(1) or real(*given))
    good = (
        'schema = 1\n[[scenario]]\nid = "own.good"\ntitle = "of ours"\nrule = "H6"\nopen = ["source"]\n'
        'steps = [{ do = "behaviour", pin = "source", kind = "echo" }, { do = "handshake", on = "source" }]\n'
    )
    slip = good.replace('pin = "source"', 'pin = "sorce"')
    run(scenarios=slip).assert_outcomes(errors=1)
    run(scenarios=None).assert_outcomes(errors=1)
    assert len(looked) == 2
    (pytester.path / "scenarios" / "basic.toml").write_text(good)
    for _ in range(2):
        run(scenarios=None).assert_outcomes(passed=1)
    assert len(looked) == 3
