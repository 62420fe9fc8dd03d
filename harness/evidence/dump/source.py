# SPDX-License-Identifier: Apache-2.0
"""A dump's file: bounded reads, and never beyond its end."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.evidence.dump.errors import DumpError

#: Bytes of one read: more than any table of a dump needs.
MAX_READ = 2 << 20


class Source:
    """An open dump and its size at the time of opening.

    Args:
        descriptor: open for reading.
        size: in bytes.
        name: what the user calls it.
    """

    def __init__(self, descriptor: int, size: int, name: str) -> None:
        self._descriptor = descriptor
        self.size = size
        self.name = name

    def read(self, offset: int, size: int, what: str) -> bytes:
        """Exactly so many bytes.

        Raises:
            DumpError: they do not all lie in the file, or are too many; it names ``what``.
        """
        if offset < 0 or size < 0 or offset + size > self.size:
            raise self.error(
                f"is damaged or cut short: {what} is said to be at {offset:#x}, {size:#x} bytes long, and the"
                f" file has {self.size:#x} bytes"
            )
        if size > MAX_READ:
            raise self.error(f"is damaged: {what} is said to have {size} bytes")
        try:
            data = os.pread(self._descriptor, size, offset)
        except OSError as error:
            raise self.error(f"cannot be read: {error.strerror}") from None
        if len(data) != size:
            raise self.error("has become shorter while it was read")
        return data

    def holds(self, offset: int, size: int) -> bool:
        """Whether so many bytes lie in the file from there on."""
        return offset >= 0 and size >= 0 and offset + size <= self.size

    def error(self, message: str, hint: str | None = None) -> DumpError:
        """About this file."""
        return DumpError(message, where=self.name, hint=hint)


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """A file that a user names.

    Raises:
        DumpError: it is no regular file, or cannot be opened.
    """
    name = str(path)
    try:
        # A FIFO of that name must not stop us.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise DumpError("there is no such file", where=name, hint="give the path of a dump") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DumpError(f"cannot be read: {reason}", where=name) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DumpError("is no regular file", where=name, hint="give the path of a dump")
        yield Source(descriptor, status.st_size, name)
    finally:
        os.close(descriptor)
