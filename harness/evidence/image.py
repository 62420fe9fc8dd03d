# SPDX-License-Identifier: Apache-2.0
"""PE images as they lie in memory: their build, their PDB, and where their functions begin.

The layout is that of Microsoft's "PE Format"; only 64-bit images are read.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from harness.guest_text import one_line

#: Answers so many bytes from a relative virtual address on, or None where they are not all there.
ReadImage = Callable[[int, int], bytes | None]

_PE32_PLUS = 0x20B
_EXCEPTION_DIRECTORY, _DEBUG_DIRECTORY = 3, 6
_CODEVIEW = 2
_MAX_HEADER = 0x1000
_MAX_DEBUG_ENTRIES = 16
_MAX_PDB_NAME = 260
#: Where the name is in an RSDS record: behind mark, GUID and age.
_RSDS_NAME = 24
#: Bytes of the table of functions that are read at once, and at most.
_CHUNK = 1 << 20
_MAX_FUNCTIONS = 16 << 20


@dataclass(frozen=True, slots=True)
class DebugIdentity:
    """The RSDS record of an image: which PDB is its own."""

    guid: str
    age: int
    pdb: str


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image's header says; ``debug`` is None where it has no RSDS record, or that is not there."""

    time_stamp: int
    size: int | None
    check_sum: int | None
    debug: DebugIdentity | None = None


def facts(read: ReadImage) -> ImageFacts | None:
    """The facts of an image, as far as its header is there; None where there is none."""
    at = _header(read)
    if at is None:
        return None
    head = read(at, 12)
    if head is None:
        return None
    stamp = struct.unpack_from("<I", head, 8)[0]
    size = _u32(read, at + 24 + 56)
    check_sum = _u32(read, at + 24 + 64)
    return ImageFacts(stamp, size, check_sum, _debug(read, at))


def _header(read: ReadImage) -> int | None:
    """Where the PE header of a 64-bit image is."""
    start = read(0, 0x40)
    if start is None or start[:2] != b"MZ":
        return None
    (at,) = struct.unpack_from("<I", start, 0x3C)
    if not 0x40 <= at <= _MAX_HEADER:
        return None
    head = read(at, 4)
    return at if head == b"PE\0\0" else None


def _u32(read: ReadImage, rva: int) -> int | None:
    data = read(rva, 4)
    return None if data is None else int.from_bytes(data, "little")


def _directory(read: ReadImage, at: int, index: int) -> tuple[int, int] | None:
    """RVA and size of a data directory."""
    magic = read(at + 24, 2)
    count = _u32(read, at + 24 + 108)
    if magic is None or int.from_bytes(magic, "little") != _PE32_PLUS or count is None or count <= index:
        return None
    entry = read(at + 24 + 112 + 8 * index, 8)
    if entry is None:
        return None
    rva, size = struct.unpack("<II", entry)
    return (rva, size) if rva and size else None


def _codeview(read: ReadImage, at: int) -> tuple[int, int] | None:
    """RVA and size of the record that names the PDB."""
    place = _directory(read, at, _DEBUG_DIRECTORY)
    for number in range(0 if place is None else min(place[1] // 28, _MAX_DEBUG_ENTRIES)):
        entry = None if place is None else read(place[0] + 28 * number, 28)
        if entry is None:
            return None
        kind, length, where = struct.unpack_from("<III", entry, 12)
        if kind == _CODEVIEW and length >= _RSDS_NAME:
            return where, length
    return None


def _debug(read: ReadImage, at: int) -> DebugIdentity | None:
    place = _codeview(read, at)
    data = None if place is None else read(place[0], min(place[1], _RSDS_NAME + _MAX_PDB_NAME))
    if data is None or data[:4] != b"RSDS":
        return None
    (age,) = struct.unpack_from("<I", data, 20)
    name = data[_RSDS_NAME:].split(b"\0")[0].decode("utf-8", "replace")
    return DebugIdentity(str(UUID(bytes_le=data[4:20])), age, one_line(name, _MAX_PDB_NAME))


def pdb_name_place(read: ReadImage) -> tuple[int, int] | None:
    """RVA of the PDB's name in the RSDS record, and the bytes that it has room for."""
    at = _header(read)
    place = None if at is None else _codeview(read, at)
    return None if place is None else (place[0] + _RSDS_NAME, place[1] - _RSDS_NAME)


@dataclass(frozen=True)
class Functions:
    """Begins and ends of functions by the table for unwinding; parts of one count as functions."""

    begins: Sequence[int]
    ends: Sequence[int]

    def around(self, rva: int) -> tuple[int, int] | None:
        """Begin and end of the function that an address lies in."""
        index = bisect_right(self.begins, rva) - 1
        return (self.begins[index], self.ends[index]) if index >= 0 and rva < self.ends[index] else None


def functions(read: ReadImage) -> Functions | None:
    """The functions of an x64 image; None where the table is not there."""
    at = _header(read)
    machine = None if at is None else read(at + 4, 2)
    place = None if at is None else _directory(read, at, _EXCEPTION_DIRECTORY)
    if place is None or machine is None or int.from_bytes(machine, "little") != 0x8664:
        return None
    rva, size = place
    pairs: list[tuple[int, int]] = []
    size = min(size, _MAX_FUNCTIONS) // 12 * 12
    for offset in range(0, size, _CHUNK // 12 * 12):
        data = read(rva + offset, min(_CHUNK // 12 * 12, size - offset))
        if data is None:
            return None
        pairs += [(begin, end) for begin, end, _ in struct.iter_unpack("<III", data) if begin < end]
    pairs.sort()
    return Functions([begin for begin, _ in pairs], [end for _, end in pairs])
