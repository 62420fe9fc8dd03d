# SPDX-License-Identifier: Apache-2.0
"""Runs one command, and ends it when whoever wants it is no more: ``python -m harness.fleet.keeper --
WORDS``.

A worker that is killed leaves no word to what it has begun.  Its end of the pipe on this process's stdin
closes all the same, and then the run is ended as Ctrl-C would, so that it leaves no guest behind.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading

#: Seconds for a run to end by itself once it was told to.
_PATIENCE = 60.0
#: prctl(2).
_PR_SET_PDEATHSIG = 1


def main(words: list[str]) -> int:
    """The exit code of the command; 128 and the signal where one ended it."""
    # Should this process be killed itself, the kernel tells the run.
    prctl, us = ctypes.CDLL(None).prctl, os.getpid()

    def follow() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != us:
            os.kill(os.getpid(), signal.SIGTERM)

    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, preexec_fn=follow)
    threading.Thread(target=_watch, args=(child,), daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end(child))
    code = child.wait()
    return code if code >= 0 else 128 - code


def _watch(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):
        pass
    _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    timer = threading.Timer(_PATIENCE, child.kill)
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[sys.argv.index("--") + 1 :]))
