# SPDX-License-Identifier: Apache-2.0
"""The directory of a run's results: held by one run at a time, and kept until it has new ones."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from harness.errors import UsageError

#: How the directory begins in which a run's processes gather their results until its end.
PARTS = ".parts-"
#: Of a run's files those that our plugin writes; pytest writes junit.xml where it is told to.
RESULTS = ("results.jsonl", "report.html", "seal.json")
JUNIT = "junit.xml"

_held: dict[Path, int] = {}


def claim(directory: Path) -> bool:
    """Makes the directory and holds it for this process.

    A run whose results cannot be kept is not begun, and two at once would write over each other's.  Nothing
    is removed: what an earlier run has left is replaced when this one has something of its own.  The lock
    ends with the process, however it ends.

    Args:
        directory: absolute.

    Returns:
        False where this process holds it already: nothing is done then.

    Raises:
        UsageError: nothing can be written there, or another run holds it.
    """
    if directory in _held:
        return False
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with tempfile.TemporaryFile(dir=directory):
                pass
        except BaseException:
            os.close(lock)
            raise
    except BlockingIOError:
        raise UsageError(
            "another run is writing its results there", where=str(directory), hint="give each its own --out"
        ) from None
    except OSError as error:
        raise UsageError(
            f"results cannot be written there: {error.strerror}", where=str(directory), hint="see --out"
        ) from None
    _held[directory] = lock
    return True


def release(directory: Path) -> None:
    """Lets other runs have it; a second call does nothing."""
    lock = _held.pop(directory, None)
    if lock is not None:
        os.close(lock)


def remove_left(directory: Path, keep: Path | None = None) -> None:
    """Removes what runs that were killed have gathered and half written there; never raises.

    Args:
        directory: which this process holds.
        keep: the folder of this run.
    """
    for left in directory.glob(f"{PARTS}*"):
        if left != keep:
            shutil.rmtree(left, ignore_errors=True)
    for name in (*RESULTS, JUNIT):
        for half in directory.glob(f".{name}.*"):
            if half.name != f".{name}.{os.getpid()}":  # junit.xml is still beside its place
                with contextlib.suppress(OSError):
                    half.unlink()
