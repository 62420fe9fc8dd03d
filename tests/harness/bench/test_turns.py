# SPDX-License-Identifier: Apache-2.0
"""Two builds, or two targets, in turns: what is started for each, and what becomes of the samples."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.bench import suite, turns
from harness.commands.bench import compared
from harness.errors import HarnessError, UsageError


def _suite(seconds: float, passed: Mapping[str, float], peak: float = 100.0) -> suite.SuiteRun:
    return suite.SuiteRun(seconds, 1.0, sum(passed.values()), peak, 0.5, len(passed), 1, passed)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another checkout whose program writes figures of its own."""
    folder = tmp_path / "other"
    (folder / "harness").mkdir(parents=True)
    program = folder / ".venv/bin/kshs"
    program.parent.mkdir(parents=True)
    figures = {"lease_s": 0.5, "requests_per_s_single": 100.0, "requests_per_s_pipelined": 200.0}
    program.write_text(f"#!/bin/sh\npwd >&2\ncat >\"$4\" <<'E'\n{json.dumps(figures)}\nE\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


def test_builds_are_run_in_turns_and_compared_by_what_both_have(
    other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[tuple[str, int]] = []

    def run(arguments: Sequence[str], *, workers: int = 0, program: suite.Program) -> suite.SuiteRun:
        theirs = program.folder == other
        if "-k" in arguments:
            return _suite(1.0, {})
        order.append(("theirs" if theirs else "ours", workers))
        passed = {"a": 2.0, "b": 2.0} if theirs else {"a": 1.0, "b": 1.0, "new": 9.0}
        return _suite(40.0 if theirs else 20.0, passed, 300.0 if workers else 200.0)

    monkeypatch.setattr(turns.suite, "run", run)
    real = turns._own_figures
    mine = {"lease_s": 0.25, "requests_per_s_single": 200.0, "requests_per_s_pipelined": 800.0}
    monkeypatch.setattr(
        turns, "_own_figures", lambda side: real(side) if side.program.folder == other else mine
    )
    found = turns.builds(turns.checkout(other), [], 2, lambda _: None)
    assert order == [
        *(("ours", 0), ("ours", 2), ("theirs", 0), ("theirs", 2)),
        *(("theirs", 0), ("theirs", 2), ("ours", 0), ("ours", 2)),
    ]
    ratios = {key: row["ratio"] for key, row in found["figures"].items()}
    assert set(ratios) == set(turns.BUILD_KEYS)
    assert found["common_scenarios"] == 2 and ratios["common_guest_s"] == 0.5, "without the new one"
    assert ratios["suite_guest_s"] == 2.75
    assert (ratios["lease_s"], ratios["requests_per_s_pipelined"], ratios["suite_s"]) == (0.5, 4.0, 0.5)
    assert found["figures"]["further_guest_mib"]["ours"] == 100.0
    table = compared(found)
    assert [str(column.header) for column in table.columns][2:] == [found["theirs"], "this build", "ratio"]
    assert table.row_count == len(turns.BUILD_KEYS)


@pytest.mark.parametrize(("seconds", "met"), [(2.4, True), (2.5, False)])
def test_a_target_may_cost_a_fifth_more(monkeypatch: pytest.MonkeyPatch, seconds: float, met: bool) -> None:
    def run(arguments: Sequence[str], **_: Any) -> suite.SuiteRun:
        sample = "--target=avshs" in arguments
        return _suite(1.0, {"a": 2.0, "only here": 5.0} if sample else {"a": seconds})

    monkeypatch.setattr(turns.suite, "run", run)
    found = turns.targets("camera.toml", ["--guest=wine"], 3, lambda _: None)
    assert found["common_scenarios"] == 1
    assert found["goal"]["met"] is met
    assert len(found["figures"]["common_guest_s"]["ours_samples"]) == 3

    monkeypatch.setattr(turns.suite, "run", lambda arguments, **_: _suite(1.0, {arguments[-1]: 1.0}))
    with pytest.raises(HarnessError, match="no scenario passes on both"):
        turns.targets("camera.toml", [], 1, lambda _: None)


def test_what_is_no_other_checkout_is_told(tmp_path: Path, other: Path) -> None:
    with pytest.raises(UsageError, match="no checkout of kshs"):
        turns.checkout(tmp_path)
    (other / ".venv/bin/kshs").unlink()
    with pytest.raises(UsageError, match=r"no \.venv/bin/kshs"):
        turns.checkout(other)
    ours = tmp_path / "ours"
    ours.symlink_to(Path(turns.__file__).parents[2])
    if (ours / ".venv/bin/kshs").is_file():
        with pytest.raises(UsageError, match="the checkout that measures"):
            turns.checkout(ours)


def test_a_build_whose_benchmark_fails_is_named(other: Path) -> None:
    (other / ".venv/bin/kshs").write_text("#!/bin/sh\necho no guest >&2\nexit 3\n")
    with pytest.raises(HarnessError, match="ended with exit code 3: no guest"):
        turns._own_figures(turns.checkout(other))


def test_a_program_is_started_with_its_own_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert "PYTHONPATH" not in suite.Program(("kshs",), tmp_path).environment()
    ours = suite.this_one().environment()["PYTHONPATH"].split(":")
    assert Path(ours[0]) == Path(suite.__file__).parents[2] and ours[1] == "/elsewhere"


@pytest.mark.parametrize(("counted", "met"), [(1.05, True), (1.2, False)])
def test_coverage_is_measured_in_turns(monkeypatch: pytest.MonkeyPatch, counted: float, met: bool) -> None:
    order: list[bool] = []

    def run(arguments: Sequence[str], *, workers: int = 0, program: suite.Program) -> suite.SuiteRun:
        with_it = "--coverage" in arguments
        if "-k" in arguments:
            return _suite(1.0, {})
        order.append(with_it)
        return _suite(10.0, {"a": counted} if with_it else {"a": 1.0, "skipped-with-it": 9.0})

    monkeypatch.setattr(turns.suite, "run", run)
    found = turns.coverage([], 2, lambda _: None)
    assert order == [True, False, False, True]
    assert (found["goal"]["met"], found["common_scenarios"]) == (met, 1)
    assert found["goal"]["got"] == f"{counted:.2f} x"
    assert compared(found).row_count == 2
