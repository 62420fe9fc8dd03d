# SPDX-License-Identifier: Apache-2.0
"""Dumps that hold pages of memory: kdmp-parser reads them in a process of its own, after checks of ours."""

from __future__ import annotations

import contextlib
import gc
import struct
from pathlib import Path
from uuid import UUID

import pytest

from harness.evidence.dump import DumpError, page_memory, read
from harness.evidence.dump.page_memory import PageMemory
from tests.harness.evidence.dump_writer import (
    ARM64,
    AVSHS,
    BUG_CHECK_EX,
    DRIVERS,
    KERNEL,
    STACK,
    Header,
    context,
    image_header,
    u64,
)
from tests.harness.evidence.paged_writer import PAGE, crashed_machine

GUID = UUID("0f9619ff-8b86-d011-b42d-00cf4fc964ff")
KINDS = {1: "full", 5: "bitmap (complete)", 6: "bitmap (kernel, or live)", 8: "kernel memory"}
KINDS |= {9: "kernel and user memory", 10: "complete memory"}
FAULT = AVSHS.base + 0x1500
AT = 0xFFFF900000000000


def written(path: Path, kind: int = 1) -> bytes:
    header = Header(dump_type=kind, stop_code=0x3B, parameters=(0xC0000005, FAULT, AT + 0xE00, 0))
    page = image_header(AVSHS.stamp, AVSHS.size, AVSHS.check_sum, (GUID, 2, "avshs.pdb"))
    images = {AVSHS.base: page, AT + 0xE00: context(FAULT, STACK + 8), STACK: u64(0) + u64(FAULT + 5)}
    data = crashed_machine(header, images).bytes()
    path.write_bytes(data)
    return data


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "MEMORY.DMP"
    written(path, kind)
    dump = read(path)
    assert (dump.header.kind, dump.notes) == (KINDS[kind], ())
    assert [module.path for module in dump.modules] == [driver.name for driver in DRIVERS]
    avshs = dump.modules.at(FAULT)
    assert avshs is not None and avshs.debug is not None
    assert (avshs.time_stamp, avshs.size, avshs.check_sum) == (AVSHS.stamp, AVSHS.size, AVSHS.check_sum)
    assert (avshs.debug.guid, avshs.debug.age) == (str(GUID), 2)
    # The context lies across two pages, which are not neighbours in the file.
    assert dump.fault is not None and dump.fault.registers is not None
    assert (dump.fault.address, dump.fault.source) == (FAULT, "the CONTEXT at parameter 3")
    assert [(frame.module.name, frame.offset, frame.at) for frame in dump.frames] == [
        ("avshs.sys", 0x1505, STACK + 8)
    ]
    assert dump.extent.pages and dump.extent.pages * PAGE < path.stat().st_size


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_is_said_to_be(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "MEMORY.DMP"
    data = written(path, kind)
    for size in (len(data) - 1, len(data) - 3 * PAGE, 0x2100, 0x2010, 0x2000):
        path.write_bytes(data[:size])
        with pytest.raises(DumpError, match="cut short") as raised:
            read(path)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_altered_ends_in_one_line_or_is_read(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "MEMORY.DMP"
    data = written(path, kind)
    fields = (0x10, 0x20, 0x88, 0x90, 0xA0, 0x378, 0x2000, 0x2004, 0x2010, 0x2018, 0x2020, 0x2028, 0x2038)
    # Some of these start kdmp-parser: a few values do.
    for number, offset in enumerate(fields):
        value = (0xFFFFFFFFFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0x10000, 0)[number % 4]
        path.write_bytes(data[:offset] + struct.pack("<Q", value) + data[offset + 8 :])
        try:
            read(path)
        except DumpError as error:
            assert "\n" not in str(error)


def test_the_marks_of_a_dump_that_was_not_finished(tmp_path: Path) -> None:
    path = tmp_path / "MEMORY.DMP"
    for kind in (5, 8):
        data = written(path, kind)
        path.write_bytes(data[:0x2000] + b"PAGEPAGEPAGE" + data[0x200C:])
        with pytest.raises(DumpError, match="not whole"):
            read(path)
    path.write_bytes(Header(dump_type=1).bytes() + bytes(PAGE))
    with pytest.raises(DumpError, match="does not say which pages"):
        read(path)


def test_a_bitmap_that_contradicts_its_header(tmp_path: Path) -> None:
    path = tmp_path / "MEMORY.DMP"
    data = written(path, 5)
    path.write_bytes(data[:0x2028] + u64(5) + data[0x2030:])
    (note,) = read(path).notes
    assert note.startswith("the bitmap has ") and note.endswith(" pages, and its header says 5")


def test_pages_that_kdmp_parser_passes_over_are_said(tmp_path: Path) -> None:
    path = tmp_path / "MEMORY.DMP"
    data = written(path, 5)
    (bits,) = struct.unpack_from("<Q", data, 0x2030)
    path.write_bytes(data[:0x2030] + u64(bits - 3) + data[0x2038:])
    assert "the last 5 pages of the bitmap are not read" in read(path).notes[0]


def test_a_list_of_drivers_that_is_a_circle_or_broken(tmp_path: Path) -> None:
    path = tmp_path / "MEMORY.DMP"
    first = 0xFFFFB20000000000
    for link, said in (
        (first, "runs in a circle"),
        (0xDEAD0000, "breaks off behind 1"),
        (1 << 60, "breaks off"),
    ):
        dump = crashed_machine(Header(dump_type=1))
        dump.machine.write(first, u64(link))
        path.write_bytes(dump.bytes())
        found = read(path)
        assert [module.name for module in found.modules] == ["ntoskrnl.exe"]
        assert len(found.notes) == 1 and said in found.notes[0]


def test_memory_is_found_by_whole_addresses_only(tmp_path: Path) -> None:
    path = tmp_path / "MEMORY.DMP"
    written(path)
    with PageMemory(path, "x") as memory:
        assert memory.read(AVSHS.base, 2) == b"MZ"
        assert memory.read(AVSHS.base ^ 1 << 60, 2) is None  # not canonical: its lower bits are mapped
        assert memory.read(AVSHS.base + 0xFFF, 2) is None
        assert memory.read(0x1000, 8) is None
        assert memory.read((1 << 64) - 4, 8) is None


def test_of_arm64_the_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "MEMORY.DMP"
    header = Header(dump_type=1, machine=ARM64, stop_code=0xD1, parameters=(1, 2, 0, FAULT))
    path.write_bytes(crashed_machine(header).bytes())
    dump = read(path)
    assert dump.fault is not None and dump.fault.address == FAULT
    assert dump.notes == ("the memory of a machine of the kind ARM64 is not read",)


def test_what_kdmp_parser_does_not_take(tmp_path: Path) -> None:
    """Its header's context has two copies of a register, which do not agree here."""
    path = tmp_path / "MEMORY.DMP"
    own = bytearray(context(BUG_CHECK_EX, STACK))
    own[0x34] = 1
    path.write_bytes(crashed_machine(Header(dump_type=1, context=bytes(own))).bytes())
    with pytest.raises(DumpError, match=r"cannot be read by kdmp-parser: .*\(exit code 1\)") as raised:
        read(path)
    assert "\n" not in str(raised.value)


def open_files() -> set[tuple[int, str]]:
    """Of this process: numbers, and what they are of."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of this very listing
            found.add((int(entry.name), str(entry.readlink())))
    return found


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os; os.abort()", "ended by signal 6"),
        ("import sys; print('why not'); sys.exit(5)", r"why not \(exit code 5\)"),
        ("import time; time.sleep(60)", "was not read within"),
        ("import sys, os; os.write(int(sys.argv[4]), b'?' * 99999)", "answered what is no answer"),
    ],
)
def test_a_reader_that_dies_hangs_or_babbles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, said: str
) -> None:
    child = tmp_path / "child.py"
    child.write_text(program)
    monkeypatch.setattr(page_memory, "_CHILD", child)
    monkeypatch.setattr(page_memory, "_SECONDS", 2.0 if "sleep" in program else 60.0)
    path = tmp_path / "MEMORY.DMP"
    written(path)
    gc.collect()  # or what other tests forgot is closed meanwhile, and its numbers are taken again
    before = open_files()
    with pytest.raises(DumpError, match=said):
        read(path)
    assert open_files() - before == set()


def test_the_kernel_list_may_be_absent(tmp_path: Path) -> None:
    path = tmp_path / "MEMORY.DMP"
    dump = crashed_machine(Header(dump_type=1))
    dump.header.loaded_module_list = KERNEL + 0x5000000
    path.write_bytes(dump.bytes())
    assert read(path).notes == ("the list of drivers is not in the dump",)
