# SPDX-License-Identifier: Apache-2.0
"""The header of a 64-bit kernel dump: 0x2000 bytes that are the same for every kind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from harness.evidence.dump.layout import FILLER, HEADER_SIZE, TYPES
from harness.evidence.dump.registers import Machine, Registers, context
from harness.evidence.dump.source import Source
from harness.guest_text import one_line

_FILLER32 = int.from_bytes(FILLER, "little")
_FILLER64 = int.from_bytes(2 * FILLER, "little")
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
#: More seconds than any machine runs: 200 years.
_MAX_UPTIME = 200 * 365 * 86400.0
#: Set in the stop code where Windows took the context from the exception ("_M" behind its name).
MODIFIED = 0x10000000
#: Of the two kinds of kernels (the first field of the version), and of build numbers that carry it.
_FREE, _CHECKED = 15, 12
_BUILD_MASK = 0x0FFFFFFF

#: Kinds of dumps by number; what nobody has documented has no name.
DUMP_TYPES = {
    1: "full",
    2: "kernel summary",
    3: "header",
    4: "triage",
    5: "bitmap (complete)",
    6: "bitmap (kernel, or live)",
    7: "automatic",
    8: "kernel memory",
    9: "kernel and user memory",
    10: "complete memory",
}
TRIAGE = 4

_PRODUCTS = {1: "workstation", 2: "domain controller", 3: "server"}


@dataclass(frozen=True, slots=True)
class MemoryRun:
    """Pages of physical memory that follow each other: number of the first, and how many."""

    base_page: int
    page_count: int


@dataclass(frozen=True, slots=True)
class ExceptionRecord:
    """EXCEPTION_RECORD64 of the header.  Of a triage dump it is the breakpoint in KeBugCheckEx: of no use."""

    code: int
    flags: int
    address: int
    parameters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says; None: Windows did not write the field.

    ``system_time`` is UTC, ``uptime`` in seconds since boot.  ``stop_code`` is without the bit of
    ``stop_code_written`` that says that the context is the exception's (``modified``).  ``build`` has no
    revision.
    """

    dump_type: int
    checked: bool | None
    build: int | None
    directory_table_base: int | None
    pfn_data_base: int | None
    loaded_module_list: int | None
    active_process_head: int | None
    machine: Machine
    processors: int | None
    stop_code: int | None
    stop_code_written: int | None
    parameters: tuple[int | None, ...]
    debugger_data_block: int | None
    memory_runs: tuple[MemoryRun, ...] | None
    registers: Registers | None
    exception: ExceptionRecord | None
    required_dump_space: int | None
    system_time: datetime | None
    comment: str
    uptime: float | None
    mini_dump_fields: int | None
    secondary_data_state: int | None
    product_type: int | None
    suite_mask: int | None

    @property
    def modified(self) -> bool:
        """Whether the header's context is the one of the exception."""
        return bool((self.stop_code_written or 0) & MODIFIED)

    @property
    def kind(self) -> str:
        """The kind of dump in words."""
        return DUMP_TYPES.get(self.dump_type, f"type {self.dump_type}")

    @property
    def product(self) -> str | None:
        """Workstation or server."""
        return None if self.product_type is None else _PRODUCTS.get(self.product_type)


def read_header(source: Source) -> Header:
    """The header of a file that begins as a 64-bit dump.

    Raises:
        DumpError: the file ends within the header, or the header does not say what kind of dump it is.
    """
    if source.size < HEADER_SIZE:
        raise source.error(
            f"is cut short: a dump's header has {HEADER_SIZE} bytes, and there are {source.size}"
        )
    raw = TYPES.HEADER(source.read(0, HEADER_SIZE, "the header"))
    if raw.dump_type == _FILLER32 or raw.dump_type == 0:
        raise source.error("has no kind: Windows began to write this dump and did not come to its end")
    machine = Machine.of(raw.machine)
    code = _number(raw.stop_code)
    build = _number(raw.build)
    return Header(
        dump_type=raw.dump_type,
        checked={_FREE: False, _CHECKED: True}.get(raw.major),
        build=None if build is None else build & _BUILD_MASK,
        directory_table_base=_wide(raw.directory_table_base),
        pfn_data_base=_wide(raw.pfn_data_base),
        loaded_module_list=_wide(raw.loaded_module_list),
        active_process_head=_wide(raw.active_process_head),
        machine=machine,
        processors=_number(raw.processors),
        stop_code=None if code is None else code & ~MODIFIED if code & 0xF0000000 == MODIFIED else code,
        stop_code_written=code,
        parameters=tuple(_wide(value) for value in raw.parameters),
        debugger_data_block=_wide(raw.debugger_data_block),
        memory_runs=_runs(raw.memory_runs),
        registers=context(raw.context, machine, sure=True),
        exception=_exception(raw.exception),
        required_dump_space=_wide(raw.required_dump_space),
        system_time=_time(_wide(raw.system_time)),
        comment=_text(raw.comment),
        uptime=_uptime(_wide(raw.system_up_time)),
        mini_dump_fields=_number(raw.mini_dump_fields),
        secondary_data_state=_number(raw.secondary_data_state),
        product_type=_number(raw.product_type),
        suite_mask=_number(raw.suite_mask),
    )


def _number(value: int) -> int | None:
    return None if value == _FILLER32 else int(value)


def _wide(value: int) -> int | None:
    return None if value == _FILLER64 else int(value)


def _runs(data: bytes) -> tuple[MemoryRun, ...] | None:
    """The runs of physical memory, where what is there is a list of runs at all."""
    head = TYPES.MEMORY_RUNS(data)
    size = len(TYPES.MEMORY_RUN)
    if data.startswith(FILLER) or not 0 < head.count <= (len(data) - len(TYPES.MEMORY_RUNS)) // size:
        return None
    body = data[len(TYPES.MEMORY_RUNS) :]
    return tuple(
        MemoryRun(run.base_page, run.page_count)
        for run in (TYPES.MEMORY_RUN(body[index * size :]) for index in range(head.count))
    )


def _exception(data: bytes) -> ExceptionRecord | None:
    if data.startswith(FILLER):
        return None
    raw: Any = TYPES.EXCEPTION(data)
    return ExceptionRecord(
        raw.code, raw.flags, raw.address, tuple(raw.parameters[: min(raw.parameter_count, 15)])
    )


def _time(value: int | None) -> datetime | None:
    """A FILETIME: 100-ns units since 1601, UTC."""
    try:
        return None if not value else _EPOCH + timedelta(microseconds=value // 10)
    except OverflowError:
        return None


def _uptime(value: int | None) -> float | None:
    """Units of 100 ns, as seconds."""
    seconds = None if value is None else value / 10_000_000
    return seconds if seconds is not None and seconds <= _MAX_UPTIME else None


def _text(data: bytes) -> str:
    plain = bytes(data).split(b"\0")[0]
    return "" if plain.startswith(FILLER) else one_line(plain.decode("latin-1"), 128)
