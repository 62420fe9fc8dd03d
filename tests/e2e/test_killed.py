# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of a run in each of its phases: the next run works, and nothing of the dead one is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import ROOT, command_line, environment

pytestmark = pytest.mark.e2e

#: What a run says when a phase begins, in the order of the phases.
PHASES = [
    "building the drivers",
    "compiled 1 of",
    "image: unpacking",
    "image: making the Wine prefix",
    "image: writing the disk",
    "template: booting the image",
    "template: starting the guest's services",
    "template: preparing the guest",
    "installing avshs",
    "mode.toml::mode.",
]
PATIENCE = 400.0


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment in which nothing was built yet."""
    runtime = Path(tempfile.mkdtemp(prefix="kshs-k"))  # short: socket paths are limited
    yield environment(
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        KSHS_CACHE_DIR=str(tmp_path / "cache" / "kshs"),
        KSHS_RUNTIME_DIR=str(runtime),
        PYTHONUNBUFFERED="1",
    )
    for pid in ours(str(runtime), str(tmp_path)):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(runtime, ignore_errors=True)


def ours(*marks: str) -> dict[int, str]:
    """Processes whose command line names one of our directories, but for ourselves."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if any(mark in line for mark in marks):
            found[int(entry.name)] = line
    return found


def start(tmp_path: Path, env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command_line("run", "--out", tmp_path / "out", "-k", "H5", "--", "-v", f"--rootdir={ROOT}"),
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill_at(phase: str, tmp_path: Path, env: dict[str, str]) -> bool:
    """Starts a run and kills it when it says `phase`; False: it ended before it said so."""
    run = start(tmp_path, env)
    assert run.stdout is not None
    said = []
    until = time.monotonic() + PATIENCE
    try:
        for line in run.stdout:
            said.append(line)
            assert time.monotonic() < until, "".join(said)
            if phase in line:
                run.send_signal(signal.SIGKILL)
                return True
        pytest.fail(f"it never said {phase!r}:\n{''.join(said)}", pytrace=False)
    finally:
        run.kill()
        run.wait()
        run.stdout.close()


def test_a_run_can_be_killed_at_any_time(tmp_path: Path, machine: dict[str, str]) -> None:
    for phase in PHASES:
        assert kill_at(phase, tmp_path, machine)
    last = start(tmp_path, machine)
    output, _ = last.communicate(timeout=PATIENCE)
    assert last.returncode == 0, output
    assert "cleaned up" in output, "the run that was killed with a guest left something to reap"

    runtime = Path(machine["KSHS_RUNTIME_DIR"])
    assert ours(str(runtime), str(tmp_path)) == {}
    left = [path for path in runtime.rglob("*") if path.suffix in {".qcow2", ".sock"}]
    assert left == []
    partial = [path for path in (tmp_path / "cache").rglob("*") if path.name.endswith((".part", ".tmp"))]
    assert partial == []
