# SPDX-License-Identifier: Apache-2.0
"""What runs nothing removes nothing and writes nothing; what runs replaces what was there at its end."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests import warm
from tests.harness.plugin.project import Project
from tests.harness.plugin.test_plugin import INSTALLED, ROOT, WRONG_SIZE

_PLUGIN = () if INSTALLED else ("-p", "harness.plugin.hooks")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.conftest(WRONG_SIZE)
    assert made.run().returncode == 1
    return made


def contents(project: Project) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in project.out.iterdir()}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--", "--collect-only"), 0),
        (("-n", "2", "--", "--collect-only"), 0),
        (("--", "--help"), 0),
        (("--", "--markers"), 0),
        (("--", "--fixtures"), 0),
        (("--", "--cache-show"), 0),
        (("--", "--setup-plan"), 0),
        (("--", "--no-such-option"), 2),
        (("-k", "typo"), 2),
        (("-k", "h4 and"), 2),
        (("--", "--deselect=scenarios"), 2),
        (("nowhere",), 2),
    ],
)
def test_listing_and_mistyping_leave_everything(project: Project, words: tuple[str, ...], code: int) -> None:
    kept = contents(project)
    (project.out / ".parts-killed").mkdir()
    done = project.run(*words)
    assert done.returncode == code, done.stdout + done.stderr
    (project.out / ".parts-killed").rmdir()
    assert contents(project) == kept
    assert "generated xml file" not in done.stdout


@pytest.mark.parametrize("word", ["--fixtures", "--cache-show", "--collect-only", "--setup-plan", "-k=typo"])
def test_with_plain_pytest_too(project: Project, word: str) -> None:
    kept = contents(project)
    command = [warm.python(), "-m", "pytest", *_PLUGIN, "--kshs-out=o", word]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=project.path, env=environment, capture_output=True, timeout=60, check=False)
    assert contents(project) == kept


def test_showing_the_set_up_makes_no_guest(project: Project) -> None:
    project.conftest('fail="a guest was made"')
    done = project.run("--", "--setup-plan")
    assert (done.returncode, "a guest was made" in done.stdout) == (0, False), done.stdout


def test_a_run_replaces_what_was_there_at_its_end(project: Project) -> None:
    """Until then the earlier verdict is there, whole, and no half of the new one."""
    project.conftest(
        more="import pathlib\ndef pytest_runtest_logfinish(nodeid):\n"
        "    kept = pathlib.Path('o')\n"
        "    assert 'failed' in (kept / 'results.jsonl').read_text().splitlines()[2]\n"
        "    assert '<failure' in (kept / 'junit.xml').read_text()\n"
        "    assert 'kshs: failed' in (kept / 'report.html').read_text()\n"
    )
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(contents(project)) == ["junit.xml", "kshs.log", "report.html", "results.jsonl", "seal.json"]
    assert (project.headline(), set(project.junit().values())) == ("passed", {"passed", "skipped"})
    assert f"generated xml file: {project.out / 'junit.xml'}" in done.stdout


def test_what_cannot_be_written_does_not_leave_another_runs(project: Project) -> None:
    project.conftest(
        more="from harness.results import parts\n"
        "def write(*args): raise OSError(28, 'No space left on device')\n"
        "parts.write = write\n"
    )
    done = project.run()
    assert done.returncode == 3, done.stdout + done.stderr
    assert "kshs: the results cannot be written: [Errno 28] No space left on device" in done.stdout
    assert sorted(path.name for path in project.out.glob("[!.]*")) == ["junit.xml", "kshs.log"]
    assert "lease fake-0 taken" in (project.out / "kshs.log").read_text(), "this run's"
    assert "kshs: kshs run --resume" in done.stdout
    project.conftest()
    assert project.kshs("run", "--resume", "o").returncode == 0, "what had ended is not lost"
    assert sorted(project.verdicts().values()) == ["passed", "passed", "passed", "skipped"]
