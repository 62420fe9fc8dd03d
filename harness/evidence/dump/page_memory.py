# SPDX-License-Identifier: Apache-2.0
"""The memory of a dump that holds pages, read by kdmp-parser in a process of its own (`kdmp_child`)."""

from __future__ import annotations

import contextlib
import os
import select
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from harness.evidence.dump.errors import DumpError
from harness.evidence.dump.kdmp_child import ABSENT, OPENED, PAGE, PRESENT
from harness.evidence.dump.memory import MAX_READ
from harness.guest_text import one_line

_CHILD = Path(__file__).with_name("kdmp_child.py")
#: Seconds for opening a dump and all questions to it: its pages may come from a slow disk.
_SECONDS = 300.0
#: Bytes of heap for the process itself and for each page: an entry of kdmp-parser's table has about 50.
_HEAP = 256 << 20
_HEAP_OF_A_PAGE = 96
_MAX_HEAP = 8 << 30
#: Pages that are kept.
_KEPT = 1024
_SHOWN = 200


class PageMemory:
    """Virtual memory by page tables; a context manager that ends the process.

    Args:
        path: of the dump, whose wholeness has been checked.
        name: what the user calls it.
        pages: how many are in it.

    Raises:
        DumpError: kdmp-parser cannot read it, or did not come to an end.
    """

    def __init__(self, path: Path, name: str, pages: int = 0) -> None:
        self._name = name
        self._deadline = time.monotonic() + _SECONDS
        self._cache: dict[int, bytes | None] = {}
        self._printed: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        asked_read, asked_write = os.pipe()
        replies_read, replies_write = os.pipe()
        heap = min(_HEAP + pages * _HEAP_OF_A_PAGE, _MAX_HEAP)
        words = [str(path.absolute()), str(heap), str(asked_read), str(replies_write)]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", str(_CHILD), *words],
                stdin=subprocess.DEVNULL,
                stdout=self._printed,
                stderr=self._printed,
                pass_fds=(asked_read, replies_write),
                env={"LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "1"},
                cwd="/",
            )
        finally:
            os.close(asked_read)
            os.close(replies_write)
        self._asked, self._replies = asked_write, replies_read
        try:
            if self._reply(1) != OPENED:
                raise self._confused()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> PageMemory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for descriptor in (self._asked, self._replies):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._printed.close()

    def read(self, address: int, size: int) -> bytes | None:
        """Exactly so many bytes of virtual memory; None where they are not all in the dump.

        Raises:
            DumpError: kdmp-parser ended, or did not answer in its time.
        """
        end = address + size
        if not 0 < size <= MAX_READ or not _canonical(address) or not _canonical(end - 1):
            return None
        parts = []
        for page in range(address & -PAGE, end, PAGE):
            data = self._page(page)
            if data is None:
                return None
            parts.append(data)
        start = address % PAGE
        return b"".join(parts)[start : start + size]

    def _page(self, address: int) -> bytes | None:
        if address not in self._cache:
            if len(self._cache) >= _KEPT:
                self._cache.pop(next(iter(self._cache)))
            self._cache[address] = self._ask(address)
        return self._cache[address]

    def _ask(self, address: int) -> bytes | None:
        try:
            os.write(self._asked, struct.pack("<Q", address))
        except OSError:
            raise self._failed() from None
        kind = self._reply(1)
        if kind == ABSENT:
            return None
        if kind != PRESENT:
            raise self._confused()
        return self._reply(PAGE)

    def _reply(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            left = self._deadline - time.monotonic()
            if left <= 0 or not select.select([self._replies], [], [], left)[0]:
                raise DumpError(f"was not read within {_SECONDS:.0f} s by kdmp-parser", self._name)
            part = os.read(self._replies, size - len(data))
            if not part:
                raise self._failed()
            data += part
        return data

    def _confused(self) -> DumpError:
        return DumpError("kdmp-parser answered what is no answer", self._name)

    def _failed(self) -> DumpError:
        """Why the process has ended, in what it printed last."""
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return self._confused()
        self._printed.seek(0)
        lines = self._printed.read(1 << 16).decode("utf-8", "replace").strip().splitlines()
        told = one_line(lines[-1], _SHOWN) if lines else ""
        how = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
        return DumpError(f"cannot be read by kdmp-parser: {told or 'no reason given'} ({how})", self._name)


def _canonical(address: int) -> bool:
    """Whether it is an address of 48 bits, sign-extended: kdmp-parser takes no notice of the bits above."""
    return address >> 47 in (0, (1 << 17) - 1)
