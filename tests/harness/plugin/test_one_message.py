# SPDX-License-Identifier: Apache-2.0
"""What cannot work for any scenario is told once, before the first one, and costs no earlier result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness.plugin.project import Project
from tests.harness.plugin.test_plugin import ROOT

_NO_GUEST = """
from drivers.errors import CompileError, PackageError
from harness.errors import UsageError
from vm.errors import VmError, InputError
def prepare(say):
    with open("prepared", "a") as file:
        file.write("x")
    raise {error}
provider.prepare = prepare
"""
WORKERS = pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "workers"])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@WORKERS
@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (
            "CompileError('avshs does not compile', 'avshs/pin.c', 'pin.c:3: error: no such name')",
            3,
            "no such name",
        ),
        (
            "PackageError('the catalogue does not name it', 'x.sys')",
            3,
            "x.sys: the catalogue does not name it",
        ),
        ("VmError('the source of packages was refused')", 3, "the source of packages was refused"),
        ("OSError(28, 'No space left on device')", 3, "No space left on device"),
        ("UsageError('the target cannot run on such a guest')", 2, "the target cannot run on such a guest"),
        ("InputError('no such recipe')", 2, "no such recipe"),
    ],
)
def test_one_message_and_no_scenario(
    project: Project, workers: tuple[str, ...], error: str, code: int, says: str
) -> None:
    assert project.run().returncode == 0
    kept = {path.name: path.read_bytes() for path in project.out.iterdir()}
    project.conftest(more=_NO_GUEST.format(error=error))
    done = project.run(*workers)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert said.count(says) == 1, said
    assert "Traceback" not in said
    assert (project.path / "prepared").read_text() == "x", "it is not found anew by anybody"
    left = {path.name: path.read_bytes() for path in project.out.iterdir()}
    log = left.pop("kshs-not-run.log", b"").decode()
    assert left == kept
    assert (says in log) is (code == 3), "for a mistake of the user the message is all there is"
    if code == 3:
        assert "Traceback (most recent call last)" in log
        assert "kshs: 4 of 4 that were selected did not run" in done.stdout
        assert f"kshs: what was done until then: {project.out / 'kshs-not-run.log'}" in done.stdout


def test_the_log_of_a_run_that_was_none_goes_with_the_next_one(project: Project) -> None:
    project.conftest(more=_NO_GUEST.format(error="VmError('no image')"))
    assert project.run().returncode == 3
    assert [path.name for path in project.out.iterdir()] == ["kshs-not-run.log"]
    project.conftest()
    assert project.run().returncode == 0
    assert [path.name for path in project.out.glob("kshs*.log")] == ["kshs.log"]


@WORKERS
def test_tests_that_need_no_guest_run_all_the_same(project: Project, workers: tuple[str, ...]) -> None:
    project.conftest(more=_NO_GUEST.format(error="VmError('no image')"))
    (project.path / "test_it.py").write_text("def test_own(): pass\ndef test_guest(handshake): pass\n")
    done = project.run("test_it.py", *workers)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert (done.stdout + done.stderr).count("no image") == 1
    assert "5 of 6 that were selected did not run" in done.stdout


def test_a_wrong_call_is_told_before_a_guest_is_made_for_it(project: Project) -> None:
    project.conftest('fail="a guest was made"')
    (project.path / "test_it.py").write_text("def test_it(handshake):\n    handshake('sorce')\n")
    done = project.kshs("run", "test_it.py", "--out", "o")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "did you mean 'source'?" in done.stdout
    assert "a guest was made" not in done.stdout


def test_who_presses_ctrl_c_is_told_what_did_not_run_and_what_was_in_flight(project: Project) -> None:
    project.conftest(
        "bend=lambda s, step, data: begun() if step.in_length == 31 else None",
        "import pathlib\ndef begun():\n    pathlib.Path('begun').touch()\n    return Answer(silent=True)\n",
    )
    text = (project.path / "scenarios" / "basic.toml").read_text()
    (project.path / "scenarios" / "basic.toml").write_text(
        text.replace("timeout_ms = 300", "timeout_ms = 60000")
    )
    process = subprocess.Popen(
        # A shell starts what runs in its background with Ctrl-C ignored, and that is passed on.
        [
            "env",
            "--default-signal=INT",
            sys.executable,
            "-m",
            "harness.cli",
            "run",
            "scenarios",
            "--out",
            "o",
        ],
        cwd=project.path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (project.path / "begun").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 3, output
    assert (
        "kshs: interrupted: 4 of 4 that were selected did not run; in flight: h4.short (it counts as error:"
        " nothing is known of the driver)"
    ) in output
    (row,) = project.records("scenario")
    assert (row["order"], row["file"], row["title"]) == (0, "scenarios/basic.toml", "input one byte short")
    assert row["reason"].startswith("interrupted while this scenario was in flight: step ")
    assert "interrupted" in project.records("run")[0]["problem"]
