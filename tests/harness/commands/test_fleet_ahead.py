# SPDX-License-Identifier: Apache-2.0
"""What cells hold, collected in another process: once for repeats, and here where that one has died."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.commands import fleet_items
from harness.commands.fleet_ahead import Ahead
from harness.commands.fleet_items import Collected
from harness.commands.nightly import Cell
from harness.commands.run import Selection
from harness.config import Config
from harness.errors import UsageError
from harness.fleet.staging import FoundItem
from harness.suite_settings import SuiteConfig


def cells(*suites: str, repeats: int = 2) -> Sequence[Cell]:
    return [
        Cell(f"wine.avshs.{suite}.{n}", "wine", "avshs", suite, SuiteConfig(rule=[suite]), 1, 1, False, n)
        for n in range(1, repeats + 1)
        for suite in suites
    ]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for each collection: the process in which it was made."""
    log = tmp_path / "calls"
    log.touch()

    def collect(selection: Selection, config: Config) -> Collected:
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        (rule,) = selection.rules
        if rule == "none":
            raise UsageError("nothing was selected", hint="look")
        return Collected([FoundItem(f"f.toml::{rule}", Path("/f.toml"), rule, {}, 0.5, scenario=True)])

    monkeypatch.setattr(fleet_items, "collect", collect)
    return log


def test_repeats_are_collected_once_and_elsewhere(calls: Path) -> None:
    night = cells("H4", "none", "H5")
    with Ahead(night, Config(), None) as ahead:
        for cell in night:
            if cell.suite == "none":
                with pytest.raises(UsageError, match=r"^nothing was selected \(look\)$"):
                    ahead.of(cell)
            else:
                assert [one.name for one in ahead.of(cell).items] == [cell.suite]
    made = calls.read_text().split()
    assert len(made) == 3 and len(set(made)) == 1 and str(os.getpid()) not in made
    assert multiprocessing.active_children() == []


def test_what_another_process_cannot_say_is_collected_here(
    calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, made = os.getpid(), fleet_items.collect

    def collect(selection: Selection, config: Config) -> Collected:
        if os.getpid() != here:
            signal.pause()
        return made(selection, config)

    monkeypatch.setattr(fleet_items, "collect", collect)
    night = cells("H4")
    with Ahead(night, Config(), None) as ahead:
        os.kill(ahead._process.pid, signal.SIGKILL)
        assert [one.name for one in ahead.of(night[0]).items] == ["H4"]
        assert ahead.of(night[1]) is ahead.of(night[0])
    assert calls.read_text().split() == [str(here)]


def test_how_long_scenarios_take_is_that_of_the_store() -> None:
    items = [FoundItem(f"f.toml::{name}", Path("/x/f.toml"), name, {}, 0.5, scenario=True) for name in "ab"]
    test = FoundItem("test_f.py::a", Path("/x/f.toml"), "a", {}, 0.5, scenario=False)
    found = fleet_items.timed(Collected([*items, test]), {"f.toml::a": 3.0, "g.toml::b": 4.0})
    assert [one.seconds for one in found.items] == [3.0, 0.5, 0.5]
