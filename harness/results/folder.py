# SPDX-License-Identifier: Apache-2.0
"""The directory of a run's results: emptied of an earlier run's, and held by one run at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from harness.errors import UsageError

#: How the directory begins in which a run's processes gather their results until its end.
PARTS = ".parts-"
#: Of a run's files those that our plugin writes; pytest writes junit.xml where it is told to.
RESULTS = ("results.jsonl", "report.html")

_held: dict[Path, int] = {}


def claim(directory: Path, names: tuple[str, ...]) -> bool:
    """Makes the directory, holds it for this process, and removes what an earlier run left there.

    A run whose results cannot be kept is not begun; one that ends early must not leave its predecessor's
    verdict; and two at once would each remove what the other has gathered.  The lock ends with the process,
    however it ends.

    Args:
        directory: absolute.
        names: of the files to remove.

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
            for name in names:
                (directory / name).unlink(missing_ok=True)
            for left in directory.glob(f"{PARTS}*"):
                shutil.rmtree(left, ignore_errors=True)
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
