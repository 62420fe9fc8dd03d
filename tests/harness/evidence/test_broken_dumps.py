# SPDX-License-Identifier: Apache-2.0
"""A dump that is cut, altered or written to harm ends in one line, and takes little memory."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.evidence.dump import DumpError, read
from harness.evidence.dump.triage import MAX_BLOCKS, MAX_DRIVERS, MAX_STACK
from tests.harness.evidence.dump_writer import AVSHS, STACK, Driver, Header, TriageDump, context, image_header

SCRATCH = 0xFFFF900000000000
GUID = UUID("7e9a1f4a-6c3f-4d51-9d0f-0c4a6a1c3a55")
DUMP = TriageDump(
    Header(stop_code=0x3B, parameters=(0xC0000005, AVSHS.base + 0x1500, SCRATCH, 0)),
    blocks=[
        (AVSHS.base, image_header(AVSHS.stamp, AVSHS.size, AVSHS.check_sum, (GUID, 1, "avshs.pdb"))[:0x480]),
        (SCRATCH, context(AVSHS.base + 0x1500, STACK + 8)[:0x200]),
        (0x7FF000, b"u" * 64),
        (SCRATCH + 0x100, b"x" * 64),
    ],
    secondary=[(GUID, b"journal")],
)
DATA, WHERE = DUMP.parts()
#: What is structure: the header's fields, the description of the parts, tables and names.
STRUCTURE = sorted(
    {*range(0x60), *range(0x80, 0xA0), *range(0xF98, 0x104C), *range(0x2000, 0x2080)}
    | {
        offset
        for name, (at, size) in WHERE.items()
        if name.startswith(("unloaded", "name", "drivers", "blocks", "valid", "secondary"))
        for offset in range(at, at + size)
    }
)


def outcome(path: Path, data: bytes) -> str:
    """What comes of it; any other error than the reader's own fails the test."""
    path.write_bytes(data)
    try:
        read(path).as_dict()
    except DumpError as error:
        assert "\n" not in str(error)
        assert str(path) in str(error)
        return error.message
    return ""


def test_cut_at_every_offset_of_its_structure(tmp_path: Path) -> None:
    path = tmp_path / "cut.dmp"
    whole = WHERE["valid"][0] + 4
    for size in [*range(0, 0x2000, 0x200), *STRUCTURE]:
        said = outcome(path, DATA[:size])
        assert bool(said) == (size < whole), f"cut to {size:#x}: {said!r}"


def test_altered_at_every_offset_of_its_structure(tmp_path: Path) -> None:
    path = tmp_path / "altered.dmp"
    for number, offset in enumerate(STRUCTURE):
        value = (0xFF, 0x80, 0x00, 0x7F, 0x01)[number % 5]
        outcome(path, DATA[:offset] + bytes([value]) + DATA[offset + 1 :])


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(STRUCTURE), st.binary(min_size=1, max_size=8)), max_size=6),
    st.integers(0, len(DATA)),
)
def test_altered_in_many_places_and_cut(tmp_path: Path, changes: list[tuple[int, bytes]], size: int) -> None:
    data = bytearray(DATA)
    for offset, change in changes:
        data[offset : offset + len(change)] = change
    outcome(tmp_path / "both.dmp", bytes(data))
    outcome(tmp_path / "both.dmp", bytes(data[:size]))


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        *(
            (0x2000 + field, value)
            for field in range(4, 0x48, 4)
            for value in (0xFFFFFFFF, 0x7FFFFFFF, len(DATA))
        ),
        *((field, value) for field in (0x2078, 0x207C) for value in (0xFFFFFFFF, 0x80000001, len(DATA) - 1)),
    ],
)
def test_offsets_and_counts_that_overflow(tmp_path: Path, offset: int, value: int) -> None:
    outcome(tmp_path / "hostile.dmp", DATA[:offset] + struct.pack("<I", value) + DATA[offset + 4 :])


def test_the_largest_that_is_taken_stays_below_64_mib(tmp_path: Path) -> None:
    entries = b"".join(struct.pack("<QII", SCRATCH + 3 * n, 0, 0x1000) for n in range(MAX_BLOCKS))
    names = "n" * 200
    drivers = [Driver(names, SCRATCH + 0x1000 * n, 0x1000) for n in range(MAX_DRIVERS)]
    stack = struct.pack("<Q", SCRATCH + 8) * (MAX_STACK // 8)
    data, where = TriageDump(drivers=drivers, stack=stack, blocks=[(SCRATCH, entries)]).parts()
    table, count = where["block 0"][0], MAX_BLOCKS
    data = data[:0x2078] + struct.pack("<II", table, count) + data[0x2080:]
    path = tmp_path / "large.dmp"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        dump = read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert dump.extent.blocks == MAX_BLOCKS
    assert len(dump.modules) == MAX_DRIVERS
    assert peak < 64 << 20


def test_more_than_that_is_refused(tmp_path: Path) -> None:
    for offset, limit, what in ((0x2034, MAX_DRIVERS, "drivers"), (0x207C, MAX_BLOCKS, "blocks of memory")):
        said = outcome(tmp_path / "m.dmp", DATA[:offset] + struct.pack("<I", limit + 1) + DATA[offset + 4 :])
        assert said == f"is damaged: it is said to have {limit + 1} {what}"


def test_secondary_data_that_run_in_a_circle_or_never_end(tmp_path: Path) -> None:
    at = WHERE["secondary"][0]
    nothing = struct.pack("<I16sIII", 32, bytes(16), 0, 0, 0) * 5000
    path = tmp_path / "blobs.dmp"
    path.write_bytes(DATA[: at + 16] + nothing)
    assert any("pieces of secondary data" in note for note in read(path).notes)
    path.write_bytes(DATA[: at + 16] + struct.pack("<I16sIII", 32, bytes(16), 1 << 31, 1 << 31, 1 << 31))
    assert read(path).notes == ("the secondary data are damaged or cut short",)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"PAGEDU", "is cut short"),
        (b"PAGEDUMP" + bytes(100), "32-bit"),
        (b"PAGEDU65" + bytes(100), "none that is known"),
        (b"MDMP\x93\xa7" + bytes(100), "minidump of one process"),
        (b"\x7fELF\x02\x01" + bytes(100), "ELF"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"\xef\xbb\xbf \n<html>", "HTML"),
        (gzip.compress(b"PAGEDU64", mtime=0), "gzip"),
        (b"PK\x03\x04" + bytes(100), "ZIP"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(100), "7-Zip"),
        (b"\xfd7zXZ\x00" + bytes(100), "xz"),
        (b"MSCF" + bytes(100), "cabinet"),
        (b"MZ\x90\x00" + bytes(100), "program or driver"),
        (b"Microsoft C/C++ MSF 7.00\r\n", "PDB"),
        (bytes(5000), "zero bytes"),
        (b"hello, this is text", "text"),
        (b"\x01\x02\x03\x04" * 100, "it begins with 01 02 03 04"),
        (b"PAGEDU64" + bytes(100), "is cut short"),
        (b"PAGEDU64" + b"PAGE" * 0x1000, "did not come to its end"),
    ],
)
def test_what_is_no_dump_says_what_it_is(tmp_path: Path, data: bytes, said: str) -> None:
    assert said in outcome(tmp_path / "x.dmp", data)


def test_an_unfinished_triage_dump(tmp_path: Path) -> None:
    at = WHERE["valid"][0]
    assert "TRGD" in outcome(tmp_path / "x.dmp", DATA[:at] + b"PAGE" + DATA[at + 4 :])
    assert "did not come to the end" in outcome(tmp_path / "x.dmp", Header().bytes() + b"PAGE" * 0x100)


def test_kinds_of_which_only_the_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.dmp"
    for kind in (2, 3, 7, 11, 99):
        path.write_bytes(Header(dump_type=kind).bytes())
        dump = read(path)
        assert dump.stop is not None and dump.stop.name == "DRIVER_IRQL_NOT_LESS_OR_EQUAL"
        assert len(dump.notes) == 1 and "only the header" in dump.notes[0]
