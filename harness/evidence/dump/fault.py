# SPDX-License-Identifier: Apache-2.0
"""Which instruction faulted: from the parameters where they tell, else what is known of the stack.

The order is by trust (docs/dumps.md): a CONTEXT that a parameter points to, an instruction that is a
parameter,
a trap frame that a parameter points to, and at last the header's context, which is as a rule the one of
KeBugCheckEx and tells nothing of the fault; only where the stop code carries the bit 0x10000000 it is the
fault's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from harness.evidence import stop_codes
from harness.evidence.dump.header import Header
from harness.evidence.dump.memory import Memory
from harness.evidence.dump.modules import Module, Modules
from harness.evidence.dump.registers import CONTEXT_PART, TRAP_FRAME_PART, Registers, context, trap_frame
from harness.evidence.dump.triage import Stack

#: Words of a stack that are shown.
MAX_FRAMES = 64
_HARDWARE_LAYERS = frozenset({"hal.dll"})


@dataclass(frozen=True, slots=True)
class Fault:
    """An instruction, and how it was found.

    ``certain``: it is the one that faulted; else it is only who stopped the machine, or an address inside
    the driver that is to blame.
    """

    address: int
    source: str
    certain: bool
    registers: Registers | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """An address in a driver; on the stack at ``at``, as a likely return address."""

    address: int
    module: Module
    at: int | None = None

    @property
    def offset(self) -> int:
        """From the begin of the module."""
        return self.address - self.module.base


def find_fault(header: Header, memory: Memory) -> Fault | None:
    """The best that a dump knows of the faulting instruction; None where it tells no address at all."""
    places = stop_codes.places(header.stop_code or 0)
    parameters = header.parameters
    number = places.context
    if number is not None:
        registers = _context_at(header, memory, parameters[number - 1])
        if registers is not None:
            return Fault(registers.pc, f"the CONTEXT at parameter {number}", True, registers)
    if header.modified and header.registers is not None:
        return Fault(header.registers.pc, "the header's context, the exception's own", True, header.registers)
    number = places.pc
    address = None if number is None else parameters[number - 1]
    if address:
        words = "an address inside the driver to blame: " if places.no_fault else ""
        return Fault(address, f"{words}parameter {number}", not places.no_fault)
    number = places.trap_frame
    if number is not None:
        frame = _trap_frame_at(header, memory, parameters[number - 1])
        if frame is not None:
            return Fault(frame.pc, f"the trap frame at parameter {number}", True, frame)
    if header.registers is None or not header.registers.pc:
        return None
    return Fault(
        header.registers.pc, "the header's context: who stopped the machine", False, header.registers
    )


def _context_at(header: Header, memory: Memory, address: int | None) -> Registers | None:
    data = memory.read(address, CONTEXT_PART) if address else None
    found = None if data is None else context(data, header.machine)
    return found if found is not None and found.pc else None


def _trap_frame_at(header: Header, memory: Memory, address: int | None) -> Registers | None:
    data = memory.read(address, TRAP_FRAME_PART) if address else None
    found = None if data is None else trap_frame(data, header.machine)
    # What a parameter that is no trap frame points to is no address of the kernel.
    return found if found is not None and found.pc >> 47 else None


def stack_frames(stack: Stack | None, fault: Fault | None, modules: Modules) -> tuple[Frame, ...]:
    """Words of the stack that lie in drivers, innermost first: likely return addresses, no unwinding.

    They begin where the fault's own stack begins, if that is there.  The kernel itself is left out.
    """
    return tuple(_frames(stack, fault, modules)) if stack is not None else ()


def _frames(stack: Stack, fault: Fault | None, modules: Modules) -> Iterator[Frame]:
    start = 0
    if fault is not None and fault.registers is not None:
        within = fault.registers.sp - stack.top
        if 0 <= within < len(stack.data):
            start = within & ~7
    found = 0
    whole = stack.data[start : start + (len(stack.data) - start) // 8 * 8]
    for index, (word,) in enumerate(struct.iter_unpack("<Q", whole)):
        module = modules.at(word)
        if module is None or is_kernel(module) or word == module.base:
            continue
        yield Frame(word, module, stack.top + start + 8 * index)
        found += 1
        if found == MAX_FRAMES:
            return


def is_kernel(module: Module) -> bool:
    """Whether it is the kernel or its hardware layer, whose frames say little of a driver's crash."""
    return module.is_kernel or module.name.lower() in _HARDWARE_LAYERS
