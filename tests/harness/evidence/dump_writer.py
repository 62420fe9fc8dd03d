# SPDX-License-Identifier: Apache-2.0
"""Writes kernel dumps in the layout of docs/dumps.md, by offsets of its own and not by the reader's."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

KERNEL = 0xFFFFF80000000000
BUG_CHECK_EX = KERNEL + 0x3F5C00
STACK = 0xFFFFB10000040000
X64, ARM64 = 0x8664, 0xAA64
#: 2025-11-21 12:00:00 UTC
SYSTEM_TIME = 134_082_000_000_000_000
UPTIME = 12_345_678_900


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def context(pc: int, sp: int, *, machine: int = X64, flags: int | None = None, **registers: int) -> bytes:
    """A CONTEXT with its flags, pc, sp and named registers (x64 only)."""
    data = bytearray(0xBB8)
    if machine == ARM64:
        struct.pack_into("<I", data, 0, 0x40000F if flags is None else flags)
        struct.pack_into("<QQ", data, 0x100, sp, pc)
        return bytes(data)
    struct.pack_into("<I", data, 0x30, 0x10000F if flags is None else flags)
    struct.pack_into("<I", data, 0x34, 0x1F80)
    struct.pack_into("<I", data, 0x118, 0x1F80)
    names = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)), "rip"]
    for name, value in {**registers, "rsp": sp, "rip": pc}.items():
        struct.pack_into("<Q", data, 0x78 + 8 * names.index(name), value)
    return bytes(data)


def trap_frame(pc: int, sp: int) -> bytes:
    data = bytearray(0x190)
    struct.pack_into("<Q", data, 0x168, pc)
    struct.pack_into("<Q", data, 0x180, sp)
    return bytes(data)


def image_header(
    stamp: int, size: int, check_sum: int, rsds: tuple[uuid.UUID, int, str] | None = None
) -> bytes:
    """The first page of an image, with its RSDS record in it."""
    data = bytearray(0x1000)
    data[0:2] = b"MZ"
    struct.pack_into("<I", data, 0x3C, 0x80)
    data[0x80:0x84] = b"PE\0\0"
    struct.pack_into("<HHI", data, 0x84, 0x8664, 1, stamp)
    struct.pack_into("<H", data, 0x98, 0x20B)
    struct.pack_into("<I", data, 0x98 + 56, size)
    struct.pack_into("<I", data, 0x98 + 64, check_sum)
    struct.pack_into("<I", data, 0x98 + 108, 16)
    if rsds is not None:
        record = b"RSDS" + rsds[0].bytes_le + u32(rsds[1]) + rsds[2].encode() + b"\0"
        struct.pack_into("<II", data, 0x98 + 112 + 8 * 6, 0x400, 28)
        struct.pack_into("<III", data, 0x400 + 12, 2, len(record), 0x420)
        data[0x420 : 0x420 + len(record)] = record
    return bytes(data)


@dataclass
class Driver:
    name: str
    base: int
    size: int
    stamp: int = 0x5A5A5A5A
    check_sum: int = 0x12345


DRIVERS = (
    Driver(r"\SystemRoot\system32\ntoskrnl.exe", KERNEL, 0x1046000, 0x9A2B3C4D, 0xA1B2C3),
    Driver(r"\SystemRoot\system32\drivers\avshs.sys", 0xFFFFF80100000000, 0x9000, 0x11223344, 0x55667),
    Driver(r"\??\C:\kshs\ksclient.sys", 0xFFFFF80100010000, 0x8000),
    Driver(r"\SystemRoot\System32\Drivers\Null.SYS", 0xFFFFF80100020000, 0xA000, 0, 0),
)
AVSHS = DRIVERS[1]


@dataclass
class Header:
    """Fields of the header; None leaves the filler that Windows writes first."""

    dump_type: int = 4
    major: int | None = 15
    build: int | None = 26100
    directory_table_base: int | None = 0x1AD000
    pfn_data_base: int | None = 0xFFFFFA8000000000
    loaded_module_list: int | None = KERNEL + 0xC00000
    active_process_head: int | None = KERNEL + 0xC10000
    machine: int = X64
    processors: int | None = 4
    stop_code: int | None = 0xD1
    parameters: Sequence[int | None] = (0x10, 2, 1, AVSHS.base + 0x1234)
    debugger_data_block: int | None = KERNEL + 0xC20000
    runs: bytes | None = None
    context: bytes | None = None
    exception: bytes | None = u32(0x80000003) + u32(1) + u64(0) + u64(BUG_CHECK_EX + 2) + u32(0)
    required_dump_space: int | None = 0x40000
    system_time: int | None = SYSTEM_TIME
    comment: bytes | None = None
    uptime: int | None = UPTIME
    mini_dump_fields: int | None = 0xCFF
    secondary_data_state: int | None = None
    product_type: int | None = 1
    suite_mask: int | None = 0x110

    def bytes(self) -> bytes:
        data = bytearray(b"PAGE" * 0x800)
        data[0:8] = b"PAGEDU64"
        own = self.context
        if own is None:
            own = context(BUG_CHECK_EX, STACK, machine=self.machine)
        for offset, size, value in (
            (0x08, 4, self.major),
            (0x0C, 4, self.build),
            (0x10, 8, self.directory_table_base),
            (0x18, 8, self.pfn_data_base),
            (0x20, 8, self.loaded_module_list),
            (0x28, 8, self.active_process_head),
            (0x30, 4, self.machine),
            (0x34, 4, self.processors),
            (0x38, 4, self.stop_code),
            *((0x40 + 8 * index, 8, value) for index, value in enumerate(self.parameters)),
            (0x80, 8, self.debugger_data_block),
            (0xF98, 4, self.dump_type),
            (0xFA0, 8, self.required_dump_space),
            (0xFA8, 8, self.system_time),
            (0x1030, 8, self.uptime),
            (0x1038, 4, self.mini_dump_fields),
            (0x103C, 4, self.secondary_data_state),
            (0x1040, 4, self.product_type),
            (0x1044, 4, self.suite_mask),
        ):
            if value is not None:
                data[offset : offset + size] = value.to_bytes(size, "little")
        for offset, part in (
            (0x88, self.runs),
            (0x348, own),
            (0xF00, self.exception),
            (0xFB0, self.comment),
        ):
            if part is not None:
                data[offset : offset + len(part)] = part
        return bytes(data)


@dataclass
class TriageDump:
    """A triage dump; its parts come in another order where ``new_order`` is set."""

    header: Header = field(default_factory=Header)
    drivers: Sequence[Driver] = DRIVERS
    unloaded: Sequence[tuple[str, int, int]] = (("WpdUpFltr.sys", 0xFFFFF80200000000, 0xFFFFF80200010000),)
    stack_top: int = STACK
    stack: bytes = u64(BUG_CHECK_EX + 9) + u64(AVSHS.base + 0x2000) + u64(0) + u64(KERNEL + 0x1000)
    blocks: Sequence[tuple[int, bytes]] = ()
    secondary: Sequence[tuple[uuid.UUID, bytes]] = ()
    new_order: bool = False
    tail: bytes = b""

    def bytes(self) -> bytes:
        return self.parts()[0]

    def parts(self) -> tuple[bytes, dict[str, tuple[int, int]]]:
        """The file, and where each part is: offset and size."""
        data = bytearray(self.header.bytes()) + bytearray(0x80)
        where = {"header": (0, 0x2000), "triage": (0x2000, 0x80)}

        def put(name: str, part: bytes) -> int:
            data.extend(bytes(-len(data) % 8))
            where[name] = (len(data), len(part))
            data.extend(part)
            return where[name][0]

        unloaded = self._unloaded()
        unloaded_at = 0 if self.new_order else put("unloaded", unloaded)
        stack_at = put("stack", self.stack)
        names = []
        for index, driver in enumerate(self.drivers):
            text = driver.name.rsplit("\\", 1)[-1] if self.new_order else driver.name
            encoded = u32(len(text)) + text.encode("utf-16-le") + b"\0\0"
            names.append(put(f"name {index}", encoded))
        pool_at = names[0] if names else 0
        list_at = put(
            "drivers",
            b"".join(self._driver(driver, at) for driver, at in zip(self.drivers, names, strict=True)),
        )
        if self.new_order:
            unloaded_at = put("unloaded", unloaded)
        places = [
            (va, put(f"block {index}", part), len(part)) for index, (va, part) in enumerate(self.blocks)
        ]
        table = b"".join(struct.pack("<QII", *place) for place in places)
        blocks_at = put("blocks", table) if places else 0
        valid_at = put("valid", b"TRGD")
        triage = struct.pack(
            "<18IQ32xIIII",
            *(0, valid_at + 4, valid_at, 0x348, 0xF00, 0, unloaded_at, 0, 0, 0),
            *(stack_at, len(self.stack), list_at, len(self.drivers), pool_at, list_at - pool_at, 0),
            0x41 if self.new_order else 0xFFFFFFFF,
            self.stack_top,
            *(0, 0x3A0 if self.new_order else 0x380, blocks_at, len(places)),
        )
        data[0x2000:0x2080] = triage
        if self.secondary or self.tail:
            blobs = b"DumpBlob" + u32(16) + u32(0xF0000000 | (self.header.build or 0))
            for guid, part in self.secondary:
                pad = -len(part) % 8
                blobs += u32(32) + guid.bytes_le + u32(len(part)) + u32(0) + u32(pad) + part + bytes(pad)
            where["secondary"] = (len(data), len(blobs))
            data += blobs + self.tail
        return bytes(data), where

    def _unloaded(self) -> bytes:
        data = u64(len(self.unloaded))
        for name, start, end in self.unloaded:
            text = name.encode("utf-16-le")
            room = text[:24].ljust(24, b"\0")
            data += struct.pack("<HHIQ", len(text), len(text) + 2, 0, 0) + room + u64(start) + u64(end)
        return data

    @staticmethod
    def _driver(driver: Driver, name_at: int) -> bytes:
        entry = bytearray(0x90)
        struct.pack_into("<I", entry, 0, name_at)
        struct.pack_into("<Q", entry, 0x38, driver.base)
        struct.pack_into("<I", entry, 0x48, driver.size)
        struct.pack_into("<I", entry, 0x80, driver.check_sum)
        struct.pack_into("<I", entry, 0x88, driver.stamp)
        return bytes(entry)
