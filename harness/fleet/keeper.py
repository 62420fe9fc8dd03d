# SPDX-License-Identifier: Apache-2.0
"""Runs one command, and ends it when whoever wants it is no more: ``python -m harness.fleet.keeper
[--waits] -- WORDS``.

A worker that is killed leaves no word to what it has begun.  Its end of the pipe on this process's stdin
closes all the same, and then the run is ended as Ctrl-C would, so that it leaves no guest behind.

With ``--waits`` the command waits for its order, one line, which comes by that pipe and is handed on.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from typing import IO

#: Seconds for a run to end by itself once it was told to.
_PATIENCE = 60.0
#: prctl(2).
_PR_SET_PDEATHSIG = 1


def main(words: list[str], *, waits: bool = False) -> int:
    """The exit code of the command; 128 and the signal where one ended it."""
    # Should this process be killed itself, the kernel tells the run.
    prctl, us = ctypes.CDLL(None).prctl, os.getpid()

    def follow() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != us:
            os.kill(os.getpid(), signal.SIGTERM)

    source = subprocess.PIPE if waits else subprocess.DEVNULL
    child = subprocess.Popen(words, stdin=source, preexec_fn=follow)
    threading.Thread(target=_watch, args=(child,), daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end(child))
    code = child.wait()
    return code if code >= 0 else 128 - code


def _watch(child: subprocess.Popen[bytes]) -> None:
    while said := os.read(0, 65536):
        if child.stdin is not None and not child.stdin.closed:
            _hand_on(child.stdin, said)
    _end(child)


def _hand_on(to: IO[bytes], said: bytes) -> None:
    with contextlib.suppress(OSError):  # it has ended: its exit code says so
        to.write(said)
        to.flush()
        if said.endswith(b"\n"):
            to.close()


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    timer = threading.Timer(_PATIENCE, child.kill)
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    _place = sys.argv.index("--")
    sys.exit(main(sys.argv[_place + 1 :], waits="--waits" in sys.argv[:_place]))
