# SPDX-License-Identifier: Apache-2.0
"""Runs of leases and their keepers: a run ends with whoever wants it; one that waits is taken once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.fleet.waiting import WaitingRun, keeper

#: In the place of a run: says on its log what it was told, and where; waits for good before that.
RUN = """
import json, os, pathlib, sys
line = sys.stdin.buffer.readline()
order = json.loads(line)
pathlib.Path(order["log"]).write_text(json.dumps([order["words"], order["directory"]]))
assert sys.stdin.buffer.read() == b""
sys.exit(7)
"""


@pytest.fixture
def waiting() -> Iterator[WaitingRun]:
    one = WaitingRun((sys.executable, "-c", RUN))
    yield one
    one.close()


def child_of(pid: int) -> int:
    """The one child of a process, once it is there."""
    for _ in range(3000):
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if found:
            return int(found[0])
        time.sleep(0.01)
    raise AssertionError("it has begun nothing")


def sleeper(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """The keeper of a program that sleeps, and the process of the latter, which is at work."""
    sleeps = "import os, pathlib, time; pathlib.Path('on').write_text(str(os.getpid())); time.sleep(600)"
    begun = subprocess.Popen(
        keeper([sys.executable, "-c", sleeps]),
        stdin=subprocess.PIPE,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    on = folder / "on"
    for _ in range(3000):
        if on.exists() and on.read_text():
            return begun, int(on.read_text())
        time.sleep(0.01)
    raise AssertionError("it has not begun")


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] != "Z"
    except OSError:
        return False


def gone(pid: int) -> None:
    for _ in range(3000):
        if not is_there(pid):
            return
        time.sleep(0.01)
    raise AssertionError("it is still there")


def test_it_runs_what_it_is_told_and_the_next_is_another(waiting: WaitingRun, tmp_path: Path) -> None:
    words = ["run", *(f"fs/{'x' * 100}.toml::s{number}" for number in range(1000))]  # more than a pipe holds
    assert waiting.take(words, tmp_path, tmp_path / "log") is None, "nothing waits yet"
    waiting.prepare()
    first = waiting.take(words, tmp_path, tmp_path / "log")
    assert first is not None and first.wait(60) == 7
    assert (tmp_path / "log").read_text().endswith(f'"{tmp_path}"]')
    assert (tmp_path / "log").read_text().count("::s") == 1000
    assert waiting.take(words, tmp_path, tmp_path / "log") is None, "it is taken once"
    waiting.prepare()
    second = waiting.take(words, tmp_path, tmp_path / "log")
    assert second is not None and second.pid != first.pid and second.wait(60) == 7


def test_one_waits_at_most_and_what_waits_ends_with_its_pipe(waiting: WaitingRun) -> None:
    waiting.prepare()
    begun = waiting._keeper
    waiting.prepare()
    assert begun is not None and waiting._keeper is begun
    run = child_of(begun.pid)
    waiting.close()
    assert begun.poll() is not None
    gone(run)
    waiting.prepare()
    assert waiting._keeper is None, "a worker that ends begins nothing"


def test_one_that_has_died_is_not_taken(waiting: WaitingRun, tmp_path: Path) -> None:
    waiting.prepare()
    assert waiting._keeper is not None
    os.kill(child_of(waiting._keeper.pid), signal.SIGKILL)
    waiting._keeper.wait(60)
    assert waiting.take(["run"], tmp_path, tmp_path / "log") is None


def test_a_run_of_kshs_waits_and_is_then_as_if_it_was_called(tmp_path: Path) -> None:
    waiting = WaitingRun()
    try:
        for words, code, said in (
            (["--version"], 0, "kshs "),
            (["run", "none.toml"], 2, "kshs: none.toml: "),
        ):
            waiting.prepare()
            log = tmp_path / f"{code}.txt"
            begun = waiting.take(words, tmp_path, log)
            assert begun is not None and begun.wait(300) == code
            assert log.read_text().startswith(said)
    finally:
        waiting.close()


def test_a_run_ends_with_the_worker_that_began_it(tmp_path: Path) -> None:
    """As when a worker is killed: the pipe closes, and nothing else is said."""
    sleeping, _ = sleeper(tmp_path)
    assert sleeping.stdin is not None
    sleeping.stdin.close()
    assert sleeping.wait(60) == 128 + signal.SIGTERM


def test_a_run_ends_when_even_its_keeper_is_killed(tmp_path: Path) -> None:
    sleeping, run = sleeper(tmp_path)
    sleeping.kill()
    sleeping.wait(60)
    try:
        gone(run)
    except AssertionError:
        os.kill(run, signal.SIGKILL)
        raise
