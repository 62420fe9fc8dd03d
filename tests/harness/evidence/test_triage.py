# SPDX-License-Identifier: Apache-2.0
"""Every field of a triage dump, written in the documented layout, read back."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from harness.evidence.dump import Dump, DumpError, read
from harness.evidence.dump.registers import Machine
from tests.harness.evidence.dump_writer import (
    ARM64,
    AVSHS,
    BUG_CHECK_EX,
    DRIVERS,
    KERNEL,
    STACK,
    Driver,
    Header,
    TriageDump,
    context,
    image_header,
    trap_frame,
    u32,
    u64,
)

Read = Callable[[TriageDump], Dump]
SCRATCH = 0xFFFF900000000000


@pytest.fixture
def dumped(tmp_path: Path) -> Read:
    def made(dump: TriageDump) -> Dump:
        path = tmp_path / "memory.dmp"
        path.write_bytes(dump.bytes())
        return read(path)

    return made


def test_every_field_of_the_header(dumped: Read) -> None:
    runs = struct.pack("<IIQQQQQ", 2, 0, 7, 1, 3, 0x100, 4)
    header = dumped(TriageDump(Header(runs=runs, comment=b"a comment\0"))).header
    assert (header.dump_type, header.kind) == (4, "triage")
    assert (header.checked, header.build) == (False, 26100)
    assert header.directory_table_base == 0x1AD000
    assert header.pfn_data_base == 0xFFFFFA8000000000
    assert header.loaded_module_list == KERNEL + 0xC00000
    assert header.active_process_head == KERNEL + 0xC10000
    assert (header.machine, header.processors) == (Machine.X64, 4)
    assert (header.stop_code, header.stop_code_written, header.modified) == (0xD1, 0xD1, False)
    assert header.parameters == (0x10, 2, 1, AVSHS.base + 0x1234)
    assert header.debugger_data_block == KERNEL + 0xC20000
    assert [(run.base_page, run.page_count) for run in header.memory_runs or ()] == [(1, 3), (0x100, 4)]
    assert header.registers is not None
    assert (header.registers.pc, header.registers.sp) == (BUG_CHECK_EX, STACK)
    assert header.exception is not None
    assert (header.exception.code, header.exception.address) == (0x80000003, BUG_CHECK_EX + 2)
    assert header.required_dump_space == 0x40000
    assert header.system_time == datetime(2025, 11, 21, 12, tzinfo=UTC)
    assert header.comment == "a comment"
    assert header.uptime == 1234.56789
    assert (header.mini_dump_fields, header.secondary_data_state) == (0xCFF, None)
    assert (header.product_type, header.product, header.suite_mask) == (1, "workstation", 0x110)


def test_what_windows_did_not_write_is_absent(dumped: Read) -> None:
    names = (
        *("major", "build", "directory_table_base", "pfn_data_base", "loaded_module_list", "processors"),
        *("active_process_head", "stop_code", "debugger_data_block", "required_dump_space", "system_time"),
        *("uptime", "mini_dump_fields", "product_type", "suite_mask", "exception"),
    )
    empty = Header(parameters=(None, 1, None, None), context=b"", **dict.fromkeys(names))
    dump = dumped(TriageDump(empty))
    header = dump.header
    for name in ("checked", *(name for name in names if name != "major"), "memory_runs", "registers"):
        assert getattr(header, name) is None, name
    assert header.parameters == (None, 1, None, None)
    assert (header.comment, header.product, dump.stop, dump.fault) == ("", None, None, None)


@pytest.mark.parametrize("new_order", [False, True], ids=["19041", "26100"])
def test_drivers_whatever_the_order_of_the_parts(dumped: Read, new_order: bool) -> None:
    dump = dumped(TriageDump(new_order=new_order))
    assert [module.name for module in dump.modules] == [
        "ntoskrnl.exe",
        "avshs.sys",
        "ksclient.sys",
        "Null.SYS",
    ]
    kernel, avshs, _, null = dump.modules
    assert kernel.path == ("ntoskrnl.exe" if new_order else r"\SystemRoot\system32\ntoskrnl.exe")
    assert (avshs.base, avshs.size) == (AVSHS.base, AVSHS.size)
    assert (avshs.time_stamp, avshs.check_sum) == (AVSHS.stamp, AVSHS.check_sum)
    # Its header was paged out: nothing is known, which is not the same as a stamp of 0.
    assert (null.time_stamp, null.check_sum) == (None, None)
    assert dump.size_of_dump == dump.size
    assert dump.triage_options == (0x41 if new_order else 0xFFFFFFFF)
    assert [(one.name, one.cut) for one in dump.unloaded] == [("WpdUpFltr.sy", True)]
    assert (dump.unloaded[0].start, dump.unloaded[0].end) == (0xFFFFF80200000000, 0xFFFFF80200010000)


def test_a_stamp_without_a_checksum_is_a_stamp(dumped: Read) -> None:
    drivers = [replace(AVSHS, check_sum=0), replace(AVSHS, base=KERNEL, stamp=0)]
    first, second = dumped(TriageDump(drivers=drivers)).modules
    assert (first.time_stamp, first.check_sum) == (AVSHS.stamp, 0)
    assert (second.time_stamp, second.check_sum) == (0, AVSHS.check_sum)


def test_stack_blocks_and_secondary_data(dumped: Read) -> None:
    guid = UUID("7e9a1f4a-6c3f-4d51-9d0f-0c4a6a1c3a55")
    blocks = [(SCRATCH + 8, b"b" * 8), (0x7FF000, b"u" * 16), (SCRATCH, b"a" * 12)]
    dump = dumped(TriageDump(blocks=blocks, secondary=[(guid, b"journal"), (guid, b"")], tail=bytes(64)))
    extent = dump.extent
    assert (extent.stack_top, extent.stack_bytes) == (STACK, 32)
    assert (extent.blocks, extent.block_bytes) == (3, 36)
    assert [(one.guid, one.size) for one in dump.secondary] == [(guid, 7), (guid, 0)]
    with Path(dump.path).open("rb") as file:
        file.seek(dump.secondary[0].offset)
        assert file.read(7) == b"journal"
    assert dump.notes == ()
    # Kernel words are left out, and what lies in drivers is a frame.
    assert [(frame.module.name, frame.offset, frame.at) for frame in dump.frames] == [
        ("avshs.sys", 0x2000, STACK + 8)
    ]


def test_a_header_in_a_block_tells_the_build_and_the_pdb(dumped: Read) -> None:
    guid = UUID("0f9619ff-8b86-d011-b42d-00cf4fc964ff")
    null = DRIVERS[3]
    page = image_header(0x77777777, null.size, 0x8888, (guid, 3, r"d:\build\null.pdb"))
    module = dumped(TriageDump(blocks=[(null.base, page)])).modules.at(null.base + 5)
    assert module is not None and module.debug is not None
    assert (module.time_stamp, module.check_sum) == (0x77777777, 0x8888)
    assert (module.debug.guid, module.debug.age, module.debug.pdb) == (str(guid), 3, r"d:\build\null.pdb")
    # Of a header that is cut, what there is.
    module = dumped(TriageDump(blocks=[(null.base, page[:256])])).modules.at(null.base)
    assert module is not None
    assert (module.time_stamp, module.check_sum, module.debug) == (0x77777777, 0x8888, None)


FAULT = AVSHS.base + 0x1500
TRAP_FRAME = (SCRATCH, trap_frame(FAULT, STACK + 8))
CONTEXT = (SCRATCH, context(FAULT, STACK + 16, rax=5))


@pytest.mark.parametrize(
    ("code", "parameters", "blocks", "source", "certain"),
    [
        (0x3B, (0xC0000005, KERNEL + 1, SCRATCH, 0), [CONTEXT], "the CONTEXT at parameter 3", True),
        (0x7E, (0xFFFFFFFFC0000005, KERNEL + 1, 0, SCRATCH), [CONTEXT], "the CONTEXT at parameter 4", True),
        (0x3B, (0xC0000005, FAULT, SCRATCH, 0), [], "parameter 2", True),
        (0x3B, (0xC0000005, FAULT, SCRATCH, 0), [(SCRATCH, bytes(0x200))], "parameter 2", True),
        (0x0A, (1, 2, 0, FAULT), [], "parameter 4", True),
        (0x1E, (0xC0000005, FAULT, 0, 0), [], "parameter 2", True),
        (0x50, (1, 2, FAULT, 0), [], "parameter 3", True),
        (0xD5, (1, 0, FAULT, 0), [], "parameter 3", True),
        (0x116, (1, FAULT, 0, 0), [], "an address inside the driver to blame: parameter 2", False),
        (
            0xBE,
            (1, 2, SCRATCH, 0),
            [(SCRATCH, trap_frame(FAULT, STACK + 8))],
            "the trap frame at parameter 3",
            True,
        ),
        (
            0x139,
            (3, SCRATCH, 0, 0),
            [(SCRATCH, trap_frame(FAULT, STACK))],
            "the trap frame at parameter 2",
            True,
        ),
    ],
)
def test_which_instruction_faulted(
    dumped: Read,
    code: int,
    parameters: tuple[int, ...],
    blocks: list[tuple[int, bytes]],
    source: str,
    certain: bool,
) -> None:
    dump = dumped(TriageDump(Header(stop_code=code, parameters=parameters), blocks=blocks))
    assert dump.fault is not None and dump.fault_frame is not None
    assert (dump.fault.source, dump.fault.certain) == (source, certain)
    assert (dump.fault_frame.module.name, dump.fault_frame.offset) == ("avshs.sys", 0x1500)


def test_the_frames_begin_at_the_faults_own_stack(dumped: Read) -> None:
    stack = b"".join(map(u64, (AVSHS.base + 0x100, AVSHS.base + 0x200, AVSHS.base + 0x300)))
    header = Header(stop_code=0x3B, parameters=(0xC0000005, FAULT, SCRATCH, 0))
    dump = dumped(TriageDump(header, stack=stack, blocks=[CONTEXT]))
    assert dump.fault is not None and dump.fault.registers is not None
    assert dump.fault.registers.values["rax"] == 5
    assert [frame.offset for frame in dump.frames] == [0x300]


def test_without_parameters_only_who_stopped_the_machine_is_known(dumped: Read) -> None:
    dump = dumped(TriageDump(Header(stop_code=0x9F, parameters=(3, 1, 2, 3))))
    assert dump.fault is not None and dump.fault_frame is not None
    assert (dump.fault.certain, dump.fault_frame.module.name) == (False, "ntoskrnl.exe")
    assert dump.fault.address == BUG_CHECK_EX


def test_the_headers_context_is_the_faults_with_the_bit(dumped: Read) -> None:
    own = context(FAULT, STACK, flags=0x10001F)
    dump = dumped(
        TriageDump(Header(stop_code=0x1000007E, parameters=(0xFFFFFFFFC0000005, 1, 0, 0), context=own))
    )
    assert (dump.header.stop_code, dump.header.stop_code_written) == (0x7E, 0x1000007E)
    assert dump.fault is not None and dump.fault.certain
    assert dump.fault.address == FAULT
    assert dump.stop is not None
    assert dump.stop.parameters[0].words == "STATUS_ACCESS_VIOLATION (0xC0000005)"


def test_arm64(dumped: Read) -> None:
    header = Header(machine=ARM64, build=22000, stop_code=0x3B, parameters=(0xC0000005, 1, SCRATCH, 0))
    dump = dumped(TriageDump(header, blocks=[(SCRATCH, context(FAULT, STACK + 8, machine=ARM64))]))
    assert dump.header.machine is Machine.ARM64
    assert dump.header.registers is not None
    assert (dump.header.registers.pc, dump.header.registers.sp) == (BUG_CHECK_EX, STACK)
    assert dump.fault is not None and dump.fault.registers is not None
    assert (dump.fault.address, dump.fault.registers.sp) == (FAULT, STACK + 8)
    # The layout of its trap frames is not documented: nothing is made up.
    header = replace(header, stop_code=0x139, parameters=(3, SCRATCH, 0, 0))
    dump = dumped(TriageDump(header, blocks=[(SCRATCH, trap_frame(FAULT, STACK))]))
    assert dump.fault is not None and not dump.fault.certain


def test_a_fault_in_no_driver(dumped: Read) -> None:
    dump = dumped(TriageDump(Header(stop_code=0xD1, parameters=(0, 2, 8, 0x1000))))
    assert dump.fault is not None
    assert (dump.fault.address, dump.fault_frame) == (0x1000, None)
    assert dump.stop is not None
    assert dump.stop.parameters[2].words == "execute"


def test_one_odd_entry_does_not_cost_the_others(dumped: Read, tmp_path: Path) -> None:
    data, where = TriageDump().parts()
    at, _ = where["drivers"]
    damaged = data[:at] + u32(0xFFFFFF00) + data[at + 4 :]
    path = tmp_path / "memory.dmp"
    path.write_bytes(damaged)
    dump = read(path)
    assert [module.name for module in dump.modules][:2] == ["?", "avshs.sys"]
    assert dump.notes == ("the names of 1 of 4 drivers cannot be read",)


def test_names_are_made_harmless(dumped: Read) -> None:
    dump = dumped(TriageDump(drivers=[Driver("a\x1b[2J\n\u202eb.sys", KERNEL, 0x1000)]))
    (module,) = dump.modules
    assert "\x1b" not in module.name and "\n" not in module.name and "\u202e" not in module.name


def test_json_has_wide_numbers_as_text(dumped: Read) -> None:
    said = dumped(TriageDump()).as_dict()
    assert said["stop"]["code"] == "0xd1"
    assert said["drivers"][1]["base"] == f"{AVSHS.base:#x}"
    assert said["fault"]["module"] == "avshs.sys"
    assert said["header"]["system_time"] == "2025-11-21T12:00:00+00:00"
    assert said["header"]["secondary_data_state"] is None


def test_a_directory_and_nothing(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DumpError):
            read(path)
