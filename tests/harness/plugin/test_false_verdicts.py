# SPDX-License-Identifier: Apache-2.0
"""No run says more of a driver than it has seen, and no two of its reports say different things of it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.results.folder import claim, release
from tests import warm
from tests.harness.commands.test_cli import ROOT, kshs
from tests.harness.plugin.project import Project
from tests.harness.plugin.test_plugin import INSTALLED, SCENARIOS, WRONG_SIZE

PLUGIN = () if INSTALLED else ("-p", "harness.plugin.hooks")
DISK_FULL = """
from harness.results.parts import PartWriter
written, full = PartWriter.write, {ids}
def write(self, record):
    if record["kind"] == "scenario" and record["id"] in full:
        full.remove(record["id"])
        raise OSError(28, "No space left on device")
    written(self, record)
PartWriter.write = write
"""
BUG = """
from harness.running.runner import Runner
sound = Runner.run
def run(self, scenario, **more):
    if scenario.id == "h5.user":
        raise LookupError("a bug of ours")
    return sound(self, scenario, **more)
Runner.run = run
"""
MARK = """
import pytest
def pytest_collection_modifyitems(items):
    for item in items:
        if item.name == {name!r}:
            item.add_marker(pytest.mark.{mark})
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_result_that_cannot_be_written_is_no_failure_of_the_driver(project: Project) -> None:
    project.conftest(more=DISK_FULL.format(ids=["h5.user"]))
    done = project.run()
    assert done.returncode == 3, done.stdout + done.stderr
    assert project.verdicts()["h5.user"] == "error"
    assert project.junit()["h5.user"] == "error"
    assert project.headline() == "error"
    assert "No space left on device" in next(
        record["reason"] for record in project.records("scenario") if record["id"] == "h5.user"
    )


def test_a_driver_that_failed_has_failed_on_a_full_disk_too(project: Project) -> None:
    project.conftest(WRONG_SIZE, DISK_FULL.format(ids=["h4.short"]))
    done = project.run()
    assert done.returncode == 1, done.stdout + done.stderr
    assert project.verdicts()["h4.short"] == "failed"
    assert project.junit()["h4.short"] == "failure"
    assert project.headline() == "failed"


@pytest.mark.parametrize(("options", "code"), [("", 3), (WRONG_SIZE, 1)], ids=["sound", "failing"])
def test_a_junit_file_that_cannot_be_written_is_one_clear_line(
    project: Project, options: str, code: int
) -> None:
    more = (
        "from _pytest.junitxml import LogXML\n"
        "def full(self): raise OSError(28, 'No space left on device')\n"
        "LogXML.pytest_sessionfinish = full\n"
    )
    project.conftest(options, more)
    done = project.run()
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr.startswith(f"kshs: {project.path / 'o'}: not all results could be written: [Errno 28]")
    assert len(done.stderr.splitlines()) == 1


def test_a_bug_of_the_harness_is_no_failure_of_the_driver(project: Project) -> None:
    project.conftest(more=BUG)
    done = project.run()
    assert done.returncode == 3, done.stdout + done.stderr
    assert "LookupError: a bug of ours" in done.stdout
    assert project.verdicts()["h5.user"] == "error"
    assert project.junit()["h5.user"] == "error"
    assert project.headline() == "error"


@pytest.mark.parametrize("mark", ["xfail(reason='known')", "xfail(strict=True, reason='known')"])
def test_a_mark_does_not_soften_a_failure(project: Project, mark: str) -> None:
    project.conftest(WRONG_SIZE, MARK.format(name="h4.short", mark=mark))
    done = project.run()
    assert done.returncode == 1, done.stdout + done.stderr
    assert project.verdicts()["h4.short"] == "failed"
    assert project.junit()["h4.short"] == "failure"
    assert project.headline() == "failed"


def test_a_mark_does_not_make_a_failure_either(project: Project) -> None:
    project.conftest(more=MARK.format(name="h4.short", mark="xfail(strict=True)"))
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.verdicts()["h4.short"] == "passed"
    assert project.junit()["h4.short"] == "passed"


@pytest.mark.parametrize("mark", ["skip(reason='later')", "xfail(run=False, reason='later')"])
def test_what_a_mark_skips_is_on_record(project: Project, mark: str) -> None:
    project.conftest(more=MARK.format(name="h4.short", mark=mark))
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    row = next(record for record in project.records("scenario") if record["id"] == "h4.short")
    assert row["verdict"] == "skipped" and "later" in row["reason"]
    assert project.junit()["h4.short"] == "skipped"
    assert "4 scenarios: 2 passed, 2 skipped" in done.stdout


def test_an_error_of_ours_is_not_hidden_by_an_expected_failure(project: Project) -> None:
    (project.path / "test_it.py").write_text(
        "import pytest\nfrom harness.errors import HarnessError\n"
        "@pytest.mark.xfail\ndef test_it():\n    raise HarnessError('no guest')\n"
    )
    done = project.run("test_it.py")
    assert done.returncode == 3, done.stdout + done.stderr
    assert project.verdicts("test") == {"test_it": "error"}
    assert project.junit()["test_it"] == "error"


def test_an_exit_with_0_in_the_midst_is_no_pass(project: Project) -> None:
    project.conftest(
        more="import pytest\ndef pytest_runtest_logfinish(nodeid):\n    pytest.exit('enough', returncode=0)\n"
    )
    done = project.run()
    assert done.returncode == 3, done.stdout + done.stderr
    assert "3 of 4 that were selected did not run" in done.stdout
    assert project.headline() == "error"


def test_a_run_that_stops_at_the_first_failure_says_what_did_not_run(project: Project) -> None:
    project.conftest(WRONG_SIZE)
    done = project.run("--", "-x")
    assert done.returncode == 1, done.stdout + done.stderr
    assert project.records("run")[0]["problem"] == "3 of 4 that were selected did not run"


@pytest.mark.parametrize("words", [("--deselect=scenarios/basic.toml::h4.short",), ("-k", "h5")])
def test_what_was_not_selected_is_not_missed(project: Project, words: tuple[str, ...]) -> None:
    done = project.run("--", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.records("run")[0]["problem"] is None


def test_a_file_that_cannot_be_read_is_a_problem_of_the_report_too(project: Project) -> None:
    (project.path / "scenarios" / "torn.toml").write_text("schema = 1\n[[scenario\n")
    done = project.run("--", "--continue-on-collection-errors")
    assert done.returncode == 2, done.stdout + done.stderr
    assert project.records("run")[0]["problem"] == "1 file could not be read"
    assert project.headline() == "error"


def test_a_worker_that_dies_before_it_sends_anything_leaves_an_error(project: Project) -> None:
    pytest.importorskip("xdist")
    project.conftest(
        more="import os\nfrom harness.plugin.items import ScenarioItem\n"
        "def pytest_runtest_setup(item):\n    if item.name == 'h6.output':\n        os._exit(9)\n"
    )
    done = project.run("-n", "2")
    assert done.returncode == 3, done.stdout + done.stderr
    assert project.verdicts() == {
        "h4.short": "passed", "h5.user": "passed", "h6.output": "error", "h9.native": "skipped",
    }  # fmt: skip
    assert "2 passed, 1 skipped, 1 error" in done.stdout
    assert project.headline() == "error"


def test_half_a_line_of_a_dead_worker_takes_no_other_result_along(project: Project) -> None:
    pytest.importorskip("xdist")
    project.conftest(
        "bend=lambda s, step, data: die() if OPS[step.op] == 'REQUEST' and step.in_length != 32 else None",
        "import glob, os\ndef die():\n"
        "    for part in glob.glob('o/.parts-*/results-*.jsonl'):\n"
        "        with open(part, 'a') as file: file.write('{\"kind\": \"scena')\n"
        "    os._exit(9)\n",
    )
    done = project.run("-n", "1")
    assert done.returncode == 3, done.stdout + done.stderr
    assert project.verdicts()["h4.short"] == "error"


def test_a_test_that_was_interrupted_has_a_verdict(project: Project) -> None:
    (project.path / "test_it.py").write_text("def test_it(handshake):\n    raise KeyboardInterrupt\n")
    done = project.run("test_it.py")
    assert done.returncode == 3, done.stdout + done.stderr
    assert project.verdicts("test") == {"test_it": "error"}


def test_a_parameter_that_looks_like_a_scenario_hides_no_failure(project: Project) -> None:
    (project.path / "test_it.py").write_text(
        "import pytest\n@pytest.mark.parametrize('name', ['x.toml::h4'])\ndef test_it(name):\n    assert 0\n"
    )
    done = project.run("test_it.py")
    assert done.returncode == 1, done.stdout + done.stderr
    assert project.headline() == "failed"


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "workers"])
def test_scenarios_from_elsewhere_are_scenarios(project: Project, workers: tuple[str, ...]) -> None:
    """Their node ids name no file: pytest gives the path of what lies below its rootdir alone."""
    elsewhere = project.path / "elsewhere"
    elsewhere.mkdir()
    # Else the conftest.py there would not be read, and real guests be made.
    words = (*workers, "--", f"--confcutdir={project.path}")
    done = kshs(elsewhere, "run", str(project.path / "scenarios"), "--out", str(project.path / "o"), *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(project.verdicts()) == 4
    assert project.records("test") == []
    assert "tests in Python" not in done.stdout


@pytest.mark.parametrize("named", ["scenarios", "scenarios/basic.toml"])
def test_what_fails_elsewhere_is_named_with_its_path(project: Project, named: str) -> None:
    project.conftest(WRONG_SIZE)
    elsewhere = project.path / "elsewhere"
    elsewhere.mkdir()
    file = project.path / "scenarios" / "basic.toml"
    words = ("--out", str(project.path / "o"), "--", f"--confcutdir={project.path}")
    done = kshs(elsewhere, "run", str(project.path / named), *words)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"FAILED {file}::h4.short" in done.stdout
    assert {record["file"] for record in project.records("scenario")} == {str(file)}
    one = kshs(elsewhere, "run", f"{file}::h4.short", *words)
    assert one.returncode == 1 and "1 failed" in one.stdout, "what is named can be run again"


def test_two_runs_do_not_share_a_folder(project: Project) -> None:
    folder = project.path / "o"
    assert claim(folder)
    try:
        done = project.run()
        assert done.returncode == 2, done.stdout + done.stderr
        assert (
            done.stderr
            == f"kshs: {folder}: another run is writing its results there (give each its own --out)\n"
        )
        assert not claim(folder), "this process has it already"
    finally:
        release(folder)
    assert project.run().returncode == 0


def test_plain_pytest_keeps_what_it_has_nothing_for_and_shares_no_folder(project: Project) -> None:
    assert project.run().returncode == 0
    kept = (project.path / "o" / "results.jsonl").read_bytes()
    (project.path / "scenarios" / "basic.toml").write_text(SCENARIOS.replace('"H5"', '"H55"'))
    words = [warm.python(), "-m", "pytest", *PLUGIN, "--kshs-out=o", "scenarios"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}

    def plain() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=project.path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    assert plain().returncode == 2
    assert (project.path / "o" / "results.jsonl").read_bytes() == kept
    claim(project.path / "o")
    try:
        assert "another run is writing its results there" in plain().stderr
    finally:
        release(project.path / "o")


def test_a_claim_that_fails_leaves_nothing_held(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="results cannot be written there"):
        claim(tmp_path / "file")
    assert claim(tmp_path)
    release(tmp_path)
    release(tmp_path)


def test_a_reader_that_went_away_is_no_failure_of_the_driver(project: Project) -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "run", "scenarios", "--out", "o", "--", "-v"],
        cwd=project.path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None and run.stderr is not None
    run.stdout.readline()
    run.stdout.close()
    until = time.monotonic() + 60
    while run.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    assert run.returncode == 3
    assert run.stderr.read().startswith("kshs: whoever read the output is gone")
    run.stderr.close()
