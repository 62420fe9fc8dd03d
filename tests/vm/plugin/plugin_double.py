# SPDX-License-Identifier: Apache-2.0
"""What QEMU's plugin does to the shared file, without QEMU: after coverage.c, not after block_map.py."""

from __future__ import annotations

import struct
from pathlib import Path

from vm.plugin.block_map import digest

#: Offsets of the header: capacity, api, wanted, applied, used, lost, range_count, ranges.
_CAPACITY, _API, _WANTED, _APPLIED, _USED, _LOST, _COUNT, _RANGES = 8, 12, 16, 24, 32, 36, 40, 48
_HEADER, _BLOCK = 4096, 24


class PluginDouble:
    """Writes into a file that `BlockMap.create` made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[tuple[int, bytes], int] = {}
        self._ranges: list[tuple[int, int]] = []
        self.takes_ranges()
        self._put(_API, "<I", 1)

    def takes_ranges(self) -> None:
        """As when the guest wakes up."""
        count = self._get(_COUNT, "<I")
        self._ranges = [
            (self._get(_RANGES + 16 * n, "<Q"), self._get(_RANGES + 16 * n + 8, "<Q")) for n in range(count)
        ]
        self._put(_APPLIED, "<Q", self._get(_WANTED, "<Q"))

    def runs(
        self, address: int, code: bytes, *, first: int = 1, finishes: bool = True, times: int = 1
    ) -> None:
        """A block is executed; `first` is the size of its first instruction."""
        if not any(begin <= address < end for begin, end in self._ranges):
            return
        number = self._known.get((address, code))
        if number is None:
            used, capacity = self._get(_USED, "<I"), self._get(_CAPACITY, "<I")
            if used == capacity:
                self._put(_LOST, "<I", self._get(_LOST, "<I") + 1)
                return
            number = self._known[address, code] = used
            self._put(_HEADER + _BLOCK * number, "<QQII", address, digest(code), len(code), first)
            self._put(_USED, "<I", used + 1)
        place = _HEADER + _BLOCK * self._get(_CAPACITY, "<I") + 16 * number
        begun, ended = self._get(place, "<Q"), self._get(place + 8, "<Q")
        self._put(place, "<QQ", begun + times, ended + times * finishes)

    def _get(self, offset: int, form: str) -> int:
        with self._path.open("rb") as file:
            file.seek(offset)
            value: int = struct.unpack(form, file.read(struct.calcsize(form)))[0]
        return value

    def _put(self, offset: int, form: str, *values: int) -> None:
        with self._path.open("r+b") as file:
            file.seek(offset)
            file.write(struct.pack(form, *values))
