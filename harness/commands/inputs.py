# SPDX-License-Identifier: Apache-2.0
"""Files and directories that the command line names, looked at before anything takes time."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

from harness.errors import HarnessError, UsageError


def check_file(path: Path, option: str) -> None:
    """That there is a file to be read.

    Raises:
        UsageError: there is none, or it cannot be read; the hint names the option.
    """
    check = f"check {option}"
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise UsageError("this is a directory, where a file is wanted", where=str(path), hint=check)
        if not stat.S_ISREG(kind):
            raise UsageError("this is no regular file", where=str(path), hint=check)
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise UsageError("there is no such file", where=str(path), hint=check) from None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), hint=check) from None


def check_output(path: Path, option: str) -> None:
    """That a file can be written there, whether or not one is there already; its directory is made.

    Raises:
        UsageError: it cannot, or it is no file; the hint names the option.
    """
    check = f"check {option}"
    make_directory(path.absolute().parent, option)
    try:
        if path.is_dir():
            raise UsageError("this is a directory, where a file is wanted", where=str(path), hint=check)
        if path.exists():
            if not path.is_file():
                raise UsageError("this is no regular file", where=str(path), hint=check)
            with path.open("ab"):
                pass
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=str(path), hint=check) from None


def make_directory(path: Path, option: str) -> Path:
    """The directory, there and for us to write into.

    Raises:
        UsageError: it is not; the hint names the option.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UsageError(
            f"nothing can be written there: {error.strerror}", where=str(path), hint=f"check {option}"
        ) from None
    return path


def unwritten(path: Path, error: OSError) -> HarnessError:
    """What to raise where a file that could be written when it was looked at cannot be written now."""
    return HarnessError(f"cannot be written: {error.strerror}", str(path), "is the disk full?")
