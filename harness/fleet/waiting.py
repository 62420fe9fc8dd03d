# SPDX-License-Identifier: Apache-2.0
"""One run that a host has waiting, so that a lease need not wait until Python has imported it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

#: What waits: `harness.commands.waiting_run`, which is above this room.
_WAITS = (sys.executable, "-m", "harness.commands.waiting_run")
#: Seconds that it has to end.
_ENDING = 10.0


def environment() -> dict[str, str]:
    """Of every run of a lease."""
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "CI": "1"}


def keeper(words: Sequence[str], *options: str) -> list[str]:
    """A command line that ends what it runs when its pipe is closed (`harness.fleet.keeper`)."""
    return [sys.executable, "-m", "harness.fleet.keeper", *options, "--", *words]


def end(begun: subprocess.Popen[bytes], seconds: float) -> int:
    """The exit code of a keeper, whose pipe is closed: what it runs ends with that, or else is killed."""
    assert begun.stdin is not None
    with contextlib.suppress(OSError):
        begun.stdin.close()
    try:
        return begun.wait(seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(begun.pid, signal.SIGKILL)
        return begun.wait()


class WaitingRun:
    """Has one run waiting at most; safe for threads.

    Args:
        words: what is called, by default a run of kshs.
    """

    def __init__(self, words: Sequence[str] = _WAITS) -> None:
        self._words = words
        self._guard = threading.Lock()
        self._keeper: subprocess.Popen[bytes] | None = None
        self._closed = False

    def prepare(self) -> None:
        """Begins one, where none waits; what it costs is had while nobody waits for it."""
        with self._guard:
            if self._closed or (self._keeper is not None and self._keeper.poll() is None):
                return
            with contextlib.suppress(OSError):  # then a lease begins its run itself
                self._keeper = subprocess.Popen(
                    keeper(self._words, "--waits"),
                    env=environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )

    def take(self, words: Sequence[str], directory: Path, log: Path) -> subprocess.Popen[bytes] | None:
        """Has it run these words of kshs; its keeper, or None where none waits."""
        with self._guard:
            found, self._keeper = self._keeper, None
        if found is None or found.poll() is not None:
            return None
        assert found.stdin is not None
        order = {"words": list(words), "directory": str(directory), "log": str(log)}
        try:
            found.stdin.write(json.dumps(order).encode() + b"\n")
            found.stdin.flush()
        except OSError:  # it has ended at this very moment
            end(found, _ENDING)
            return None
        return found

    def close(self) -> None:
        """Ends what waits, and begins no other."""
        with self._guard:
            self._closed = True
            found, self._keeper = self._keeper, None
        if found is not None:
            end(found, _ENDING)
