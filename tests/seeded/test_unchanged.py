# SPDX-License-Identifier: Apache-2.0
"""Nothing is left out that a change can have touched."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.seeded import leaving_out, unchanged
from tests.seeded.table import defects, representatives
from tests.seeded.unchanged import Known, digest, inputs, same_as_main

pytest_plugins = ["pytester"]

TESTS = """
import pytest
from tests.seeded import leaving_out, unchanged

@pytest.mark.seeded
@pytest.mark.parametrize("name", [pytest.param("a", marks=pytest.mark.representative), "b", "c", "bad"])
def test_it(name):
    assert name != "bad"

def test_other():
    pass
"""
CONFTEST = """
from tests.seeded import leaving_out, unchanged

def pytest_addoption(parser):
    leaving_out.add_option(parser)

def pytest_configure(config):
    for name in ("seeded", "representative"):
        config.addinivalue_line("markers", name + ": as ours")
    config.pluginmanager.register(leaving_out.Hooks(config))
"""


def git(root: Path, *words: str) -> None:
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *settings, *words], cwd=root, check=True, capture_output=True)


def commit(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-m", name)


@pytest.fixture
def branch(tmp_path: Path) -> Path:
    """A checkout on a branch that is one commit, of a page, ahead of main."""
    git(tmp_path, "init")
    commit(tmp_path, "drivers/refks/handshake.c", "1")
    git(tmp_path, "checkout", "-b", "mine")
    commit(tmp_path, "docs/page.md", "1")
    return tmp_path


def test_what_decides_is_in_the_digest() -> None:
    found = set(inputs())
    for name in (
        "drivers/refks/handshake.c",
        "drivers/build.py",
        "drivers/abi/kshs_abi.h",
        "harness/running/runner.py",
        "harness/verdict.py",
        "harness/catalogue/mode.toml",
        "harness/contract/prediction.py",
        "tests/seeded/defects.toml",
        "tests/component/wine.py",
        "examples/clock/driver/clock.c",
    ):
        assert (unchanged.ROOT / name).is_file() and name in found, name
    assert not {name for name in found if name.startswith(("harness/commands/", "harness/plugin/", "vm/"))}
    assert digest() == digest()


def test_rooms_without_a_part_in_it_are_above_the_one_that_runs() -> None:
    """As lint-imports has it: what is named above `running` there cannot be imported by it."""
    text = (unchanged.ROOT / "pyproject.toml").read_text()
    above = text.partition('containers = ["harness"]')[2].partition('"running"')[0]
    for name in unchanged._ABOVE:
        assert name.removesuffix(".py") in re.findall(r"\w+", above), name


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("docs/other.md", True),
        ("harness/commands/run.py", True),
        ("vm/lease.py", True),
        ("tests/component/test_client.py", True),
        ("drivers/refks/handshake.c", False),
        ("drivers/agent/new.c", False),
        ("harness/running/runner.py", False),
        ("tests/seeded/defects.toml", False),
        ("tests/component/wine.py", False),
    ],
)
@pytest.mark.parametrize("committed", [True, False])
def test_a_branch_is_as_main_where_no_input_was_touched(
    branch: Path, path: str, same: bool, committed: bool
) -> None:
    assert same_as_main(branch)
    if committed:
        commit(branch, path, "2")
    else:
        (branch / path).parent.mkdir(parents=True, exist_ok=True)
        (branch / path).write_text("2")
    assert same_as_main(branch) is same


def test_where_nothing_is_known_nothing_is_the_same(
    branch: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    git(branch, "checkout", "main")
    assert not same_as_main(branch), "on main there is nothing to compare with"
    git(branch, "checkout", "mine")
    git(branch, "branch", "-D", "main")
    assert not same_as_main(branch), "nobody knows where it came from"
    assert not same_as_main(tmp_path_factory.mktemp("no-git"))


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.Pytester]:
    monkeypatch.setattr(unchanged, "digest", lambda: "of today")
    monkeypatch.setattr(unchanged, "same_as_main", lambda: False)
    monkeypatch.setattr(leaving_out, "folder", lambda: pytester.path / "records")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    yield pytester


def test_what_passed_with_these_inputs_is_left_out_and_said(project: pytest.Pytester) -> None:
    first = project.runpytest_inprocess("--leave-out-unchanged", "-p", "no:xdist")
    first.assert_outcomes(passed=4, failed=1)
    again = project.runpytest_inprocess("--leave-out-unchanged", "-p", "no:xdist")
    again.assert_outcomes(passed=2, failed=1, deselected=2)
    again.stdout.fnmatch_lines(["left out: 2 tests of seeded defects, *: make test-all"])
    whole = project.runpytest_inprocess("-p", "no:xdist")
    whole.assert_outcomes(passed=4, failed=1)


def test_other_inputs_leave_nothing_out(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    project.runpytest_inprocess("--leave-out-unchanged", "-p", "no:xdist")
    monkeypatch.setattr(unchanged, "digest", lambda: "of tomorrow")
    project.runpytest_inprocess("--leave-out-unchanged", "-p", "no:xdist").assert_outcomes(passed=4, failed=1)


def test_what_changed_while_it_ran_is_not_on_record(tmp_path: Path) -> None:
    Known("another", False, frozenset()).write_down(tmp_path / "records", ["x"])
    assert not (tmp_path / "records").exists()


def test_old_records_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unchanged, "digest", lambda: "of today")
    old = tmp_path / "old"
    old.touch()
    os.utime(old, (0, time.time() - 61 * 86400))
    known = Known("of today", False, frozenset())
    known.write_down(tmp_path, ["x"])
    assert [path.name for path in tmp_path.iterdir()] == [known.record("x")]


def test_every_source_file_and_rule_is_represented() -> None:
    table = defects()
    always = representatives(table)
    assert {(one.file, one.rules[0]) for one in always} == {(one.file, one.rules[0]) for one in table}
    assert len(always) < len(table) / 2
