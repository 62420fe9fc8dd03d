# SPDX-License-Identifier: Apache-2.0
"""The parts of a triage ("small memory") dump behind its header.

The order of the parts differs from build to build: only their offsets are followed.  A part that is said to
lie
beyond the end of the file makes the dump a damaged one; one entry that cannot be read is left out, and said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.evidence.dump.layout import FILLER, HEADER_SIZE, TYPES
from harness.evidence.dump.memory import Block, BlockMemory
from harness.evidence.dump.modules import MAX_NAME, Module, Modules, Unloaded, utf16
from harness.evidence.dump.secondary import Secondary, read_secondary
from harness.evidence.dump.source import Source

#: More than any machine loads, unloads, or saves.
MAX_DRIVERS = 4096
MAX_UNLOADED = 4096
MAX_BLOCKS = 1 << 15
MAX_STACK = 1 << 20
_FILLER = int.from_bytes(FILLER, "little")
_VALID = b"TRGD"
#: Characters that an unloaded driver's entry has room for.
_SHORT_NAME = 12


@dataclass(frozen=True)
class Stack:
    """The stack of the thread that crashed: address of its first byte, and the bytes."""

    top: int
    data: bytes


@dataclass(frozen=True)
class Triage:
    """What a triage dump holds beside its header; ``notes`` say what of it could not be read."""

    size_of_dump: int
    triage_options: int
    modules: Modules
    unloaded: tuple[Unloaded, ...]
    stack: Stack | None
    blocks: tuple[Block, ...]
    memory: BlockMemory
    secondary: tuple[Secondary, ...]
    broken_driver: str | None
    notes: tuple[str, ...]


def read_triage(source: Source) -> Triage:
    """The parts of a triage dump.

    Raises:
        DumpError: the file is shorter than the dump, or a part of it lies beyond its end.
    """
    raw = TYPES.TRIAGE(source.read(HEADER_SIZE, len(TYPES.TRIAGE), "the description of its parts"))
    _check_whole(source, raw)
    notes: list[str] = []
    stack = _stack(source, raw)
    blocks = _blocks(source, raw, notes)
    held = [*blocks]
    if stack is not None:
        held.append(Block(stack.top, raw.call_stack_offset, len(stack.data)))
    secondary, odd = read_secondary(source, raw.size_of_dump)
    return Triage(
        size_of_dump=raw.size_of_dump,
        triage_options=raw.triage_options,
        modules=Modules(_drivers(source, raw, notes)),
        unloaded=_unloaded(source, raw, notes),
        stack=stack,
        blocks=tuple(blocks),
        memory=BlockMemory(source, held),
        secondary=secondary,
        broken_driver=_name(source, raw.broken_driver_offset) if _there(raw.broken_driver_offset) else None,
        notes=(*notes, *odd),
    )


def _check_whole(source: Source, raw: Any) -> None:
    size = raw.size_of_dump
    if size == _FILLER or size <= HEADER_SIZE:
        raise source.error("is not whole: Windows did not come to the end of writing this triage dump")
    if size > source.size:
        raise source.error(f"is cut short: the triage dump has {size} bytes, and the file {source.size}")
    if source.read(raw.valid_offset, len(_VALID), "the mark at its end") != _VALID:
        raise source.error(
            f"is damaged: the mark TRGD at the end of the dump ({raw.valid_offset:#x}) is missing"
        )


def _there(offset: int) -> bool:
    """Whether a part is in the dump at all."""
    return offset not in (0, _FILLER)


def _table(source: Source, kind: Any, offset: int, count: int, limit: int, what: str) -> Iterator[Any]:
    """The entries of a table, one at a time: a structure takes much more room than its bytes."""
    if not _there(offset) or count in (0, _FILLER):
        return
    if count > limit:
        raise source.error(f"is damaged: it is said to have {count} {what}")
    data = source.read(offset, count * len(kind), f"the list of {what}")
    for at in range(0, len(data), len(kind)):
        yield kind(data[at : at + len(kind)])


def _drivers(source: Source, raw: Any, notes: list[str]) -> list[Module]:
    found = []
    nameless = 0
    for entry in _table(
        source, TYPES.DRIVER, raw.driver_list_offset, raw.driver_count, MAX_DRIVERS, "drivers"
    ):
        name = _name(source, entry.name_offset)
        nameless += name is None
        # Stamp and sum are both 0 where the image's header was paged out.
        unknown = entry.time_stamp == 0 and entry.check_sum == 0
        found.append(
            Module(
                path=name or "",
                base=entry.base,
                size=entry.size_of_image,
                time_stamp=None if unknown else entry.time_stamp,
                check_sum=None if unknown else entry.check_sum,
            )
        )
    if nameless:
        notes.append(f"the names of {nameless} of {len(found)} drivers cannot be read")
    return found


def _name(source: Source, offset: int) -> str | None:
    """A counted string of UTF-16: the number of its units, without NUL, and the text."""
    if not _there(offset) or not source.holds(offset, 4):
        return None
    (count,) = TYPES.uint32[1](source.read(offset, 4, "a name"))
    if not 0 < count <= 0x7FFF or not source.holds(offset + 4, 2 * count):
        return None
    return utf16(source.read(offset + 4, 2 * min(count, MAX_NAME), "a name")) or None


def _unloaded(source: Source, raw: Any, notes: list[str]) -> tuple[Unloaded, ...]:
    offset = raw.unloaded_drivers_offset
    if not _there(offset):
        return ()
    (count,) = TYPES.uint64[1](source.read(offset, 8, "the number of unloaded drivers"))
    if count > MAX_UNLOADED:
        notes.append(f"the list of unloaded drivers is damaged: it is said to have {count}")
        return ()
    if not source.holds(offset + 8, count * len(TYPES.UNLOADED)):
        notes.append("the list of unloaded drivers is damaged: it goes beyond the end of the file")
        return ()
    found = []
    for entry in _table(source, TYPES.UNLOADED, offset + 8, count, MAX_UNLOADED, "unloaded drivers"):
        room = bytes(entry.name)
        length = entry.length & ~1
        name = utf16(room[:length] if 0 < length < len(room) else room)
        full = len(name) == _SHORT_NAME and not name.lower().endswith((".sys", ".dll"))
        cut = full or entry.length > 2 * _SHORT_NAME
        found.append(Unloaded(name, entry.start, entry.end, cut))
    return tuple(found)


def _stack(source: Source, raw: Any) -> Stack | None:
    offset, size = raw.call_stack_offset, raw.size_of_call_stack
    if not _there(offset) or size in (0, _FILLER):
        return None
    if size > MAX_STACK:
        raise source.error(f"is damaged: its stack is said to have {size} bytes")
    return Stack(raw.top_of_stack, source.read(offset, size, "the stack"))


def _blocks(source: Source, raw: Any, notes: list[str]) -> list[Block]:
    """The blocks of memory as the dump lists them: in no order, some overlap, some are of user mode."""
    entries = _table(
        source, TYPES.BLOCK, raw.data_blocks_offset, raw.data_blocks_count, MAX_BLOCKS, "blocks of memory"
    )
    inside = []
    beyond = 0
    for entry in entries:
        if source.holds(entry.offset, entry.size):
            inside.append(Block(entry.address, entry.offset, entry.size))
        else:
            beyond += 1
    if beyond:
        notes.append(f"{beyond} of {raw.data_blocks_count} blocks of memory lie beyond the end of the file")
    return inside
