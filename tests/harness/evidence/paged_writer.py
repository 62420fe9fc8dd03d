# SPDX-License-Identifier: Apache-2.0
"""Writes dumps that hold pages of memory (full, bitmap, ranges), with page tables of x64."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.harness.evidence.dump_writer import DRIVERS, Driver, Header, image_header

PAGE = 0x1000
TABLES = 0x100


class Machine:
    """Physical memory by page number, filled through virtual addresses."""

    def __init__(self) -> None:
        self.pages: dict[int, bytearray] = {TABLES: bytearray(PAGE)}
        self._next = 0x200

    @property
    def directory_table_base(self) -> int:
        return TABLES * PAGE

    def write(self, address: int, data: bytes) -> None:
        """Maps what is not mapped, and writes."""
        for at in range(address & -PAGE, address + len(data), PAGE):
            page = self.pages[self._page(at)]
            start, end = max(address, at), min(address + len(data), at + PAGE)
            page[start - at : end - at] = data[start - address : end - address]

    def _page(self, address: int) -> int:
        number = TABLES
        for shift in (39, 30, 21, 12):
            index = address >> shift & 0x1FF
            (entry,) = struct.unpack_from("<Q", self.pages[number], 8 * index)
            if not entry & 1:
                entry = self._next << 12 | 3
                self.pages[self._next] = bytearray(PAGE)
                struct.pack_into("<Q", self.pages[number], 8 * index, entry)
                self._next += 1
            number = entry >> 12 & 0xFFFFFFFFF
        return number


def with_drivers(machine: Machine, head: int, drivers: Sequence[Driver] = DRIVERS) -> None:
    """The kernel's list of loaded drivers, beginning at ``head``, and the images' headers."""
    entries = [0xFFFFB20000000000 + 0x1000 * index for index in range(len(drivers))]
    chain = [head, *entries, head]
    machine.write(head, struct.pack("<QQ", chain[1], chain[-2]))
    for index, (driver, at) in enumerate(zip(drivers, entries, strict=True)):
        text = driver.name.encode("utf-16-le")
        entry = bytearray(0xA0)
        struct.pack_into("<QQ", entry, 0, chain[index + 2], chain[index])
        struct.pack_into("<Q", entry, 0x30, driver.base)
        struct.pack_into("<I", entry, 0x40, driver.size)
        struct.pack_into("<HHIQ", entry, 0x48, len(text), len(text), 0, at + 0x200)
        struct.pack_into("<I", entry, 0x78, driver.check_sum)
        struct.pack_into("<I", entry, 0x9C, driver.stamp)
        machine.write(at, bytes(entry))
        machine.write(at + 0x200, text)


@dataclass
class PagedDump:
    header: Header
    machine: Machine = field(default_factory=Machine)

    def bytes(self) -> bytes:
        self.header.directory_table_base = self.machine.directory_table_base
        return {1: self._full, 5: self._bitmap, 6: self._bitmap}.get(self.header.dump_type, self._ranges)()

    def _runs(self) -> list[tuple[int, int]]:
        runs: list[tuple[int, int]] = []
        for number in sorted(self.machine.pages):
            if runs and sum(runs[-1]) == number:
                runs[-1] = (runs[-1][0], runs[-1][1] + 1)
            else:
                runs.append((number, 1))
        return runs

    def _memory(self) -> bytes:
        return b"".join(bytes(self.machine.pages[number]) for number in sorted(self.machine.pages))

    def _full(self) -> bytes:
        runs = self._runs()
        total = sum(count for _, count in runs)
        self.header.runs = struct.pack("<IIQ", len(runs), 0, total) + b"".join(
            struct.pack("<QQ", *run) for run in runs
        )
        return self.header.bytes() + self._memory()

    def _bitmap(self) -> bytes:
        bits = (max(self.machine.pages) + 8) // 8 * 8
        bitmap = sum(1 << number for number in self.machine.pages).to_bytes(bits // 8, "little")
        first = -(-(0x2038 + len(bitmap)) // PAGE) * PAGE
        head = b"SDMPDUMP" + bytes(0x18) + struct.pack("<QQQ", first, len(self.machine.pages), bits)
        return (self.header.bytes() + head + bitmap).ljust(first, b"\0") + self._memory()

    def _ranges(self) -> bytes:
        ranges = b"".join(struct.pack("<QQ", *run) for run in self._runs()) + bytes(16)
        first = 0x2030 + len(ranges) + (-(0x2030 + len(ranges)) % 16)
        head = struct.pack("<I4s4sIQQ", 0x40, b"RDMP", b"DUMP", 0, first - 0x2020, first)
        pages = struct.pack("<IHHQ", 0, 0, 0, len(self.machine.pages))
        return (self.header.bytes() + head + pages + ranges).ljust(first, b"\0") + self._memory()


def crashed_machine(header: Header, images: Mapping[int, bytes] | None = None) -> PagedDump:
    """A dump with the drivers of `dump_writer`; ``images`` are what lies at some addresses."""
    dump = PagedDump(header)
    assert header.loaded_module_list is not None
    with_drivers(dump.machine, header.loaded_module_list)
    for driver in DRIVERS[:3]:
        dump.machine.write(driver.base, image_header(driver.stamp, driver.size, driver.check_sum))
    for address, data in (images or {}).items():
        dump.machine.write(address, data)
    return dump
