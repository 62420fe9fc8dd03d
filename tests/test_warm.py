# SPDX-License-Identifier: Apache-2.0
"""The Python that tests fork does what the real one does."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm

SEEN = """
import os, sys
print(__name__, sys.argv, os.getcwd(), os.environ["ASKED"], sys.path[0])
print("said to people", file=sys.stderr)
print(sys.stdin.read())
"""


def run(python: str, *words: str, **options: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [python, *words], input="é\n", capture_output=True, text=True, timeout=60, check=False, **options
    )  # type: ignore[call-overload]
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "code",
    [
        SEEN,
        "raise SystemExit(3)",
        "raise SystemExit('no such thing')",
        "import sys; print('left in the buffer', end=''); sys.exit(None)",
        "import os; print('lost'); os._exit(9)",
        "import atexit; atexit.register(print, 'at the end')",
        "import threading, time; threading.Timer(0.05, print, ['a thread']).start()",
    ],
)
def test_a_text_is_run_as_ever(tmp_path: Path, code: str) -> None:
    options = {"cwd": tmp_path, "env": {"PATH": "/usr/bin", "ASKED": "for", "PYTHONIOENCODING": "utf-8"}}
    real, forked = (
        run(python, "-c", code, "a word", **options) for python in (sys.executable, warm.python())
    )
    assert forked == real


def test_a_module_is_run_as_ever() -> None:
    real, forked = (run(python, "-m", "json.tool", "--no-such") for python in (sys.executable, warm.python()))
    assert forked == real
    assert forked[0] == 2


def test_an_error_ends_it_with_1_and_its_traceback() -> None:
    code, _, said = run(warm.python(), "-c", "1 / 0")
    assert (code, said.splitlines()[-1]) == (1, "ZeroDivisionError: division by zero")


def test_it_dies_as_its_fork_does() -> None:
    code, _, _ = run(warm.python(), "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert code == -signal.SIGKILL


def test_it_brings_along_what_nobody_else_has_done() -> None:
    """Each is a process of its own: what one patches, the next does not see."""
    patched = "import harness.verdict as v; print(hasattr(v, 'mark')); v.mark = 1"
    assert [run(warm.python(), "-c", patched)[1] for _ in range(2)] == ["False\n", "False\n"]
