# SPDX-License-Identifier: Apache-2.0
"""What tests in Python say of a driver, and of us: in whichever phase, and in all reports alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.plugin.project import Project
from tests.harness.plugin.test_plugin import CRASH, KILL

IN_SET_UP = """
import pytest

@pytest.fixture
def shaken(handshake):
    handshake(in_length="size-1")

def test_it(shaken):
    pass
"""
IN_TEARDOWN = """
import pytest

@pytest.fixture
def shaken(handshake):
    yield
    handshake(in_length="size-1")

def test_it(shaken):
    pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize("test", [IN_SET_UP, IN_TEARDOWN], ids=["set-up", "teardown"])
@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one process", "workers"])
def test_a_crash_under_a_fixture_is_the_drivers(
    project: Project, test: str, workers: tuple[str, ...]
) -> None:
    project.conftest(CRASH)
    (project.path / "test_it.py").write_text(test)
    done = project.kshs("run", "test_it.py", "--out", "o", *workers)
    assert done.returncode == 1, done.stdout + done.stderr
    assert project.verdicts("test") == {"test_it": "failed"}
    assert "avshs.sys+0x10" in project.records("test")[0]["reason"]
    assert project.junit() == {"test_it": "failure"}
    assert project.headline() == "failed"


@pytest.mark.parametrize("test", [IN_SET_UP, IN_TEARDOWN], ids=["set-up", "teardown"])
def test_a_lost_agent_under_a_fixture_is_ours(project: Project, test: str) -> None:
    project.conftest(KILL)
    (project.path / "test_it.py").write_text(test)
    done = project.kshs("run", "test_it.py", "--out", "o")
    assert done.returncode == 3, done.stdout + done.stderr
    assert project.verdicts("test") == {"test_it": "error"}
    assert project.junit() == {"test_it": "error"}
    assert project.headline() == "error"


@pytest.mark.parametrize(
    ("options", "call"), [('fail="no room"', ""), ("", "'sorce'")], ids=["no guest", "wrong call"]
)
@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one process", "workers"])
def test_an_error_before_any_guest_replaces_an_earlier_runs_results(
    project: Project, options: str, call: str, workers: tuple[str, ...]
) -> None:
    """Else junit.xml would say error, and the report beside it still passed."""
    assert project.run().returncode == 0
    project.conftest(options)
    (project.path / "test_it.py").write_text(f"def test_it(handshake):\n    handshake({call})\n")
    done = project.kshs("run", "test_it.py", "--out", "o", *workers)
    assert done.returncode == 3, done.stdout + done.stderr
    assert project.verdicts("test") == {"test_it": "error"}
    assert project.verdicts() == {}
    assert (project.headline(), project.junit()) == ("error", {"test_it": "error"})
