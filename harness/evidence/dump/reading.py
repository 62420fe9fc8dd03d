# SPDX-License-Identifier: Apache-2.0
"""Reads a dump of any kind: memory of triage dumps by us, of those with pages by kdmp-parser."""

from __future__ import annotations

from pathlib import Path

from harness.evidence import stop_codes
from harness.evidence.dump.facts import Dump, Extent
from harness.evidence.dump.fault import find_fault, stack_frames
from harness.evidence.dump.header import TRIAGE, Header, read_header
from harness.evidence.dump.image_in_memory import identified
from harness.evidence.dump.kinds import check_signature
from harness.evidence.dump.loaded import kernel_stack, loaded_modules
from harness.evidence.dump.memory import NoMemory
from harness.evidence.dump.modules import Modules
from harness.evidence.dump.page_memory import PageMemory
from harness.evidence.dump.pages import PAGED, check_whole
from harness.evidence.dump.registers import Machine
from harness.evidence.dump.source import Source, opened
from harness.evidence.dump.triage import read_triage
from harness.evidence.stop_codes import StopCode


def read(path: Path) -> Dump:
    """Everything that a 64-bit kernel dump says.

    Raises:
        DumpError: the file is none, is not whole, or contradicts itself; one line.
    """
    with opened(path) as source:
        check_signature(source)
        header = read_header(source)
        if header.dump_type == TRIAGE:
            return _triage(source, header)
        if header.dump_type in PAGED:
            return _paged(source, header, path)
        note = f"only the header of a dump of this kind ({header.kind}) is read"
        return _header_alone(source, header, (note,))


def _stop(header: Header) -> StopCode | None:
    return None if header.stop_code is None else stop_codes.explain(header.stop_code, header.parameters)


def _triage(source: Source, header: Header) -> Dump:
    triage = read_triage(source)
    modules = Modules([identified(module, triage.memory) for module in triage.modules])
    fault = find_fault(header, triage.memory)
    stack = triage.stack
    return Dump(
        path=source.name,
        size=source.size,
        header=header,
        stop=_stop(header),
        modules=modules,
        unloaded=triage.unloaded,
        fault=fault,
        frames=stack_frames(stack, fault, modules),
        extent=Extent(
            stack_top=None if stack is None else stack.top,
            stack_bytes=0 if stack is None else len(stack.data),
            blocks=len(triage.blocks),
            block_bytes=sum(block.size for block in triage.blocks),
        ),
        secondary=triage.secondary,
        broken_driver=triage.broken_driver,
        notes=triage.notes,
        size_of_dump=triage.size_of_dump,
        triage_options=triage.triage_options,
    )


def _paged(source: Source, header: Header, path: Path) -> Dump:
    pages, notes = check_whole(source, header)
    if header.machine is not Machine.X64:
        notes = (*notes, f"the memory of a machine of the kind {header.machine.value} is not read")
        return _header_alone(source, header, notes, pages)
    with PageMemory(path, source.name, pages) as memory:
        modules, odd = loaded_modules(header, memory)
        fault = find_fault(header, memory)
        stack = kernel_stack(header, fault, memory)
        return Dump(
            path=source.name,
            size=source.size,
            header=header,
            stop=_stop(header),
            modules=modules,
            unloaded=(),
            fault=fault,
            frames=stack_frames(stack, fault, modules),
            extent=Extent(
                stack_top=None if stack is None else stack.top,
                stack_bytes=0 if stack is None else len(stack.data),
                pages=pages,
            ),
            secondary=(),
            broken_driver=None,
            notes=(*notes, *odd),
        )


def _header_alone(source: Source, header: Header, notes: tuple[str, ...], pages: int | None = None) -> Dump:
    return Dump(
        path=source.name,
        size=source.size,
        header=header,
        stop=_stop(header),
        modules=Modules([]),
        unloaded=(),
        fault=find_fault(header, NoMemory()),
        frames=(),
        extent=Extent(pages=pages),
        secondary=(),
        broken_driver=None,
        notes=notes,
    )
