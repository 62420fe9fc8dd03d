# SPDX-License-Identifier: Apache-2.0
"""The file in which the plugin (coverage.c) counts while a guest runs, as the host has it mapped.

Reading and zeroing it asks nobody: neither QEMU nor the guest notices.  The mapping outlives the file, so
what a guest counted can be read when it is gone.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vm.errors import VmError

MAGIC = int.from_bytes(b"KSHSCOV2", "little")
HEADER_BYTES = 4096
MAX_RANGES = 64
CAPACITY = 1 << 16
"""Blocks of the drivers that a lease is about; some twenty times what ours have."""
WIDE_CAPACITY = 1 << 20
"""Blocks of everything that runs while a template is made: the processes of a Wine guest have some 80,000."""

_HEADER = np.dtype(
    [
        ("magic", "<u8"),
        ("capacity", "<u4"),
        ("api", "<u4"),
        ("wanted", "<u8"),
        ("applied", "<u8"),
        ("used", "<u4"),
        ("lost", "<u4"),
        ("range_count", "<u4"),
        ("reserved", "<u4"),
        ("ranges", "<u8", (MAX_RANGES, 2)),
    ]
)
_BLOCK = np.dtype([("address", "<u8"), ("digest", "<u8"), ("size", "<u4"), ("first", "<u4")])
_COUNTERS = np.dtype([("begun", "<u8"), ("ended", "<u8")])

USER_HALF, KERNEL_HALF = ((0, 1 << 47),), ((1 << 63, (1 << 64) - 1),)
"""All addresses of processes, and all of the kernel (canonical addresses of x64), as ranges."""


@dataclass(frozen=True, slots=True)
class Block:
    """Code that is executed at once.

    `digest` is FNV-1a (64 bits) of its bytes; `first` the size of its first instruction.
    """

    address: int
    digest: int
    size: int
    first: int


def digest(data: bytes) -> int:
    """FNV-1a, as the plugin has it of a block's bytes."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


class BlockMap:
    """One guest's counters.

    Args:
        path: of a file that `create` made.

    Raises:
        VmError: it is none, or cannot be mapped.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("r+b") as file:
                self._memory = mmap.mmap(file.fileno(), 0)
        except (OSError, ValueError) as error:
            raise VmError(f"cannot be mapped: {error}", str(path)) from None
        if len(self._memory) < HEADER_BYTES:
            raise VmError("is too short for a map of blocks", str(path))
        self._header = np.frombuffer(self._memory, _HEADER, 1)
        self.capacity = int(self._header["capacity"][0])
        size = HEADER_BYTES + self.capacity * (_BLOCK.itemsize + _COUNTERS.itemsize)
        if int(self._header["magic"][0]) != MAGIC or len(self._memory) < size:
            raise VmError("is no map of blocks of this version", str(path))
        self._blocks = np.frombuffer(self._memory, _BLOCK, self.capacity, HEADER_BYTES)
        behind = HEADER_BYTES + self.capacity * _BLOCK.itemsize
        self._counters = np.frombuffer(self._memory, _COUNTERS, self.capacity, behind)

    @classmethod
    def create(cls, path: Path, ranges: Sequence[tuple[int, int]] = (), capacity: int = CAPACITY) -> BlockMap:
        """Makes the file (sparse, mode 0600) for a QEMU that is yet to start; `ranges` as in `set_ranges`."""
        header = np.zeros(1, _HEADER)
        header["magic"], header["capacity"] = MAGIC, capacity
        path.touch(mode=0o600)
        with path.open("r+b") as file:
            file.truncate(HEADER_BYTES + capacity * (_BLOCK.itemsize + _COUNTERS.itemsize))
            file.write(header.tobytes())
        made = cls(path)
        made.set_ranges(ranges)
        return made

    @property
    def api(self) -> int:
        """Version of QEMU's plugin interface in use; 0 where no plugin has taken the file yet."""
        return int(self._header["api"][0])

    @property
    def lost(self) -> int:
        """Translations for which there was no room."""
        return int(self._header["lost"][0])

    @property
    def used(self) -> int:
        """Blocks that are described; it only grows."""
        return int(self._header["used"][0])

    def set_ranges(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Which addresses count from now on: pairs of the first one and the one behind the last.

        A running guest takes it when it next goes to sleep, or runs something new; see `await_ranges`.

        Raises:
            ValueError: there are more than `MAX_RANGES`.
        """
        if len(ranges) > MAX_RANGES:
            raise ValueError(f"{len(ranges)} ranges, at most {MAX_RANGES} are taken")
        for index, pair in enumerate(ranges):
            self._header["ranges"][0][index] = pair
        self._header["range_count"][0] = len(ranges)
        self._header["wanted"][0] += 1

    @property
    def ranges_apply(self) -> bool:
        """Whether the plugin counts by the ranges that were set last."""
        return bool(self._header["wanted"][0] == self._header["applied"][0])

    def await_ranges(self, seconds: float = 5.0) -> bool:
        """Whether the ranges came to apply within so many seconds; somebody must give the guest work."""
        end = time.monotonic() + seconds
        while not self.ranges_apply:
            if time.monotonic() > end:
                return False
            time.sleep(0.001)
        return True

    def zero(self) -> None:
        """Forgets what was executed until now; which blocks there are stays known."""
        self._counters[: self.used].view("<u8")[:] = 0  # both of each

    def touched(self) -> NDArray[np.intp]:
        """Numbers of the blocks of which at least the first instruction has begun, ascending."""
        return np.flatnonzero(self._counters["begun"][: self.used])

    def finished(self, numbers: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Of each of these blocks, whether its last instruction has begun, too."""
        found: NDArray[np.bool_] = self._counters["ended"][numbers] != 0
        return found

    def counts(self, numbers: NDArray[np.intp]) -> NDArray[np.uint64]:
        """How often each of these blocks was begun; a few less where several processors did so at once."""
        return np.array(self._counters["begun"][numbers])

    def block(self, number: int) -> Block:
        """What a block is; its number is below `used`."""
        found = self._blocks[number]
        return Block(int(found["address"]), int(found["digest"]), int(found["size"]), int(found["first"]))

    def within(self, begin: int, end: int, first: int, last: int) -> NDArray[np.intp]:
        """Numbers, from `first` to below `last`, of the blocks that begin in a range of addresses."""
        addresses = self._blocks["address"][first:last]
        found: NDArray[np.intp] = np.flatnonzero((addresses >= begin) & (addresses < end)) + first
        return found
