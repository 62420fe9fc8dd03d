# SPDX-License-Identifier: Apache-2.0
"""The virtual memory of a dump: what of it is there."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from harness.evidence.dump.source import Source

#: Bytes of one question.
MAX_READ = 1 << 20
_TOP = 1 << 64


class Memory(Protocol):
    """Virtual memory of the kernel at the time of the crash."""

    def read(self, address: int, size: int) -> bytes | None:
        """Exactly so many bytes; None where they are not all in the dump."""
        ...


class Block(NamedTuple):
    """Bytes of virtual memory and where in the file they are."""

    address: int
    offset: int
    size: int


class NoMemory:
    """A dump of which only the header is read."""

    def read(self, address: int, size: int) -> bytes | None:
        """Nothing is there."""
        return None


class BlockMemory:
    """Memory in blocks, which may come in any order and overlap.

    Args:
        source: the file in which they lie.
        blocks: what lies outside of the file, or wraps around the address space, is not taken.
    """

    def __init__(self, source: Source, blocks: Iterable[Block]) -> None:
        self._source = source
        self._parts: list[Block] = []
        end = 0
        for block in sorted(blocks, key=lambda block: (block.address, -block.size)):
            if not source.holds(block.offset, block.size) or block.address + block.size > _TOP:
                continue
            # Of what overlaps, the block that begins first is as good as the other: both are of one moment.
            known = max(0, end - block.address)
            if known < block.size:
                self._parts.append(Block(block.address + known, block.offset + known, block.size - known))
                end = block.address + block.size
        self._starts = [part.address for part in self._parts]

    def read(self, address: int, size: int) -> bytes | None:
        """Exactly so many bytes, from one block or several that touch; None where they are not all there."""
        if not 0 < size <= MAX_READ or not 0 <= address <= _TOP - size:
            return None
        found = bytearray()
        index = bisect_right(self._starts, address) - 1
        while index >= 0 and len(found) < size and index < len(self._parts):
            part = self._parts[index]
            within = address + len(found) - part.address
            if not 0 <= within < part.size:
                return None
            take = min(size - len(found), part.size - within)
            found += self._source.read(part.offset + within, take, "a block of memory")
            index += 1
        return bytes(found) if len(found) == size else None
