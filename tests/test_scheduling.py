# SPDX-License-Identifier: Apache-2.0
"""Tests go to workers as it is written down, and what is written down is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import scheduling
from tests.scheduling import rank_of, scope_of

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("begin", scheduling.LONG)
def test_what_begins_first_is_there(begin: str) -> None:
    file, _, name = begin.partition("::")
    found = [path for path in ROOT.glob(f"{file}*") if path.name.startswith("test_") or path.is_dir()]
    assert found, begin
    assert not name or f"def {name}" in found[0].read_text("utf-8"), begin


@pytest.mark.parametrize("name", scheduling.ALONE)
def test_what_shares_nothing_is_there_and_has_no_fixture_of_its_module(name: str) -> None:
    file, _, test = name.partition("::")
    text = (ROOT / file).read_text("utf-8")
    assert f"def {test}" in text
    assert test or 'scope="module"' not in text, "one of each would be made for every worker"


def test_all_tests_with_guests_lie_in_one_folder() -> None:
    """The Makefile gives the session of guests no other, so that it need not look through all tests."""
    marked = {path for path in (ROOT / "tests").rglob("test_*.py") if "mark.e2e" in path.read_text("utf-8")}
    folder = set((ROOT / "tests" / "e2e").glob("test_*.py"))
    assert marked - {Path(__file__)} <= folder


def test_a_file_is_one_scope_but_for_what_shares_nothing() -> None:
    one, other = (f"tests/seeded/test_defects.py::test_it[{name}]" for name in "ab")
    assert scope_of(one) != scope_of(other)
    assert scope_of("tests/vm/test_slots.py::test_a") == scope_of("tests/vm/test_slots.py::test_b[x::y]")
    whole = "tests/e2e/test_main_job.py"
    assert scope_of(f"{whole}::test_every_rule_was_shown") == whole
    assert scope_of(f"{whole}::test_an_altered_driver_fails_by_the_rule_it_breaks[x]") != whole


def test_the_longest_come_first() -> None:
    order = ("tests/vm/test_slots.py", "tests/component/test_verbs.py", "tests/e2e/test_killed.py")
    assert sorted(order, key=rank_of) == list(reversed(order))


def test_workers_share_a_file_s_tests_only_where_they_stand_alone(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real scheduler of xdist with two workers."""
    pytester.makeconftest(
        "import os, pytest\n"
        "from tests import scheduling\n"
        "def pytest_configure(config):\n"
        "    config.pluginmanager.register(scheduling.Hooks())\n"
        "@pytest.fixture\n"
        "def worker():\n"
        "    return os.environ['PYTEST_XDIST_WORKER']\n"
    )
    text = "import pathlib\ndef test_{0}(worker):\n    pathlib.Path('{0}').write_text(worker)\n"
    for file in ("tests/vm/test_x.py", "tests/vm/test_y.py"):
        path = pytester.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(text.format(f"{path.stem}_{number}") for number in range(3)))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = pytester.runpytest_subprocess("-n2", "--dist", "loadscope", "--rootdir", str(pytester.path))
    done.assert_outcomes(passed=6)
    workers = {file: (pytester.path / file).read_text() for file in ("test_x_0", "test_x_1", "test_x_2")}
    assert len(set(workers.values())) == 1, workers
