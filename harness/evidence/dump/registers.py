# SPDX-License-Identifier: Apache-2.0
"""CONTEXT records and trap frames of both 64-bit machines, as far as a crash is told by them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from harness.evidence.dump.layout import FILLER


class Machine(Enum):
    """The machine of a dump, by IMAGE_FILE_MACHINE_*."""

    X64 = "x64"
    ARM64 = "ARM64"
    OTHER = "other"

    @classmethod
    def of(cls, number: int) -> Machine:
        """By its number in the header."""
        return {0x8664: cls.X64, 0xAA64: cls.ARM64}.get(number, cls.OTHER)


#: Bits of ContextFlags that say whose context it is, and that the control registers are in it.
_FLAGS = {Machine.X64: 0x00100001, Machine.ARM64: 0x00400001}
#: High bits that a context may have: the machine's, what was asked for, and what state it is of.
_ALLOWED = {Machine.X64: 0xF8100000, Machine.ARM64: 0xF8400000}
_FILLER = int.from_bytes(FILLER, "little")
_X64_NAMES = [
    "rax",
    "rcx",
    "rdx",
    "rbx",
    "rsp",
    "rbp",
    "rsi",
    "rdi",
    *(f"r{number}" for number in range(8, 16)),
    "rip",
]
_ARM64_NAMES = [*(f"x{number}" for number in range(29)), "fp", "lr", "sp", "pc"]
#: Offsets of ContextFlags, and of the first of the registers, which follow each other.
_PLACES = {Machine.X64: (0x30, 0x78, _X64_NAMES), Machine.ARM64: (0x00, 0x08, _ARM64_NAMES)}
_SPECIAL = {Machine.X64: ("rip", "rsp"), Machine.ARM64: ("pc", "sp")}

#: Bytes of a CONTEXT that are looked at, and of a KTRAP_FRAME (x64): up to RSP.
CONTEXT_PART = 0x110
TRAP_FRAME_PART = 0x188


@dataclass(frozen=True, slots=True)
class Registers:
    """Registers by name; ``pc`` and ``sp`` whatever they are called; ``flags``: ContextFlags."""

    flags: int
    pc: int
    sp: int
    values: Mapping[str, int]


def context(data: bytes, machine: Machine, *, sure: bool = False) -> Registers | None:
    """A CONTEXT of that machine; None where it is none, or was never written.

    ``sure``: the place is a CONTEXT's, so that only one that was not written is none.
    """
    if machine not in _PLACES or len(data) < CONTEXT_PART:
        return None
    at, first, names = _PLACES[machine]
    (flags,) = struct.unpack_from("<I", data, at)
    if flags == _FILLER:
        return None
    own = flags & _FLAGS[machine] == _FLAGS[machine] and not flags & 0xFFFF0000 & ~_ALLOWED[machine]
    if not own and not sure:
        return None
    values = dict(zip(names, struct.unpack_from(f"<{len(names)}Q", data, first), strict=True))
    pc, sp = _SPECIAL[machine]
    return Registers(flags, values[pc], values[sp], values)


def trap_frame(data: bytes, machine: Machine) -> Registers | None:
    """A KTRAP_FRAME: where the processor stood; None for other machines than x64 (not documented)."""
    if machine is not Machine.X64 or len(data) < TRAP_FRAME_PART:
        return None
    (pc,) = struct.unpack_from("<Q", data, 0x168)
    (sp,) = struct.unpack_from("<Q", data, 0x180)
    return Registers(0, pc, sp, {"rip": pc, "rsp": sp})
