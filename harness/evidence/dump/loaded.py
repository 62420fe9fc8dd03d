# SPDX-License-Identifier: Apache-2.0
"""The list of loaded drivers and the stack, from the memory of a dump that has pages (x64).

The kernel's list begins at PsLoadedModuleList and goes through the first member of each
KLDR_DATA_TABLE_ENTRY, whose offsets are those of every public symbol file of Windows 10 and 11 for x64.
"""

from __future__ import annotations

import struct

from harness.evidence.dump.fault import Fault
from harness.evidence.dump.header import Header
from harness.evidence.dump.image_in_memory import identified
from harness.evidence.dump.memory import Memory
from harness.evidence.dump.modules import MAX_NAME, Module, Modules, utf16
from harness.evidence.dump.triage import MAX_DRIVERS, Stack

_ENTRY = 0xA0
_BASE, _SIZE, _FULL_NAME, _BASE_NAME, _CHECK_SUM, _TIME_STAMP = 0x30, 0x40, 0x48, 0x58, 0x78, 0x9C
#: Bytes of a kernel stack (its usual sizes are 24 and 32 KiB), read page by page.
_MAX_STACK = 0x8000
_PAGE = 0x1000


def loaded_modules(header: Header, memory: Memory) -> tuple[Modules, tuple[str, ...]]:
    """The loaded drivers, and what is to be said of the list."""
    start = header.loaded_module_list
    data = memory.read(start, 16) if start else None
    if start is None or data is None:
        return Modules([]), ("the list of drivers is not in the dump",)
    (at,) = struct.unpack_from("<Q", data)
    found: list[Module] = []
    seen = {start}
    while at not in seen:
        seen.add(at)
        entry = memory.read(at, _ENTRY)
        if entry is None:
            return Modules(found), (f"the list of drivers breaks off behind {len(found)}",)
        if len(found) == MAX_DRIVERS:
            return Modules(found), (f"the list of drivers has more than {MAX_DRIVERS} entries",)
        found.append(_module(entry, memory))
        (at,) = struct.unpack_from("<Q", entry)
    notes = () if at == start else ("the list of drivers runs in a circle of its own",)
    return Modules(found), notes


def _module(entry: bytes, memory: Memory) -> Module:
    (base,) = struct.unpack_from("<Q", entry, _BASE)
    (size,) = struct.unpack_from("<I", entry, _SIZE)
    (check_sum,) = struct.unpack_from("<I", entry, _CHECK_SUM)
    (stamp,) = struct.unpack_from("<I", entry, _TIME_STAMP)
    unknown = stamp == 0 and check_sum == 0
    return identified(
        Module(
            path=_text(entry, _FULL_NAME, memory) or _text(entry, _BASE_NAME, memory),
            base=base,
            size=size,
            time_stamp=None if unknown else stamp,
            check_sum=None if unknown else check_sum,
        ),
        memory,
        header_first=True,
    )


def _text(entry: bytes, offset: int, memory: Memory) -> str:
    length, _, _, address = struct.unpack_from("<HHIQ", entry, offset)
    data = memory.read(address, min(length & ~1, 2 * MAX_NAME)) if length >= 2 else None
    return "" if data is None else utf16(data)


def kernel_stack(header: Header, fault: Fault | None, memory: Memory) -> Stack | None:
    """What is there of the stack of the thread that crashed, from its innermost word on."""
    registers = (None if fault is None else fault.registers) or header.registers
    if registers is None or not registers.sp >> 47:
        return None
    top = registers.sp & ~7
    data = b""
    while len(data) < _MAX_STACK:
        at = top + len(data)
        part = memory.read(at, _PAGE - at % _PAGE)
        if part is None:
            break
        data += part
    return Stack(top, data) if data else None
