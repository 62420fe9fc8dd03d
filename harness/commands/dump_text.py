# SPDX-License-Identifier: Apache-2.0
"""A memory dump as text for people."""

from __future__ import annotations

from datetime import timedelta

from rich.console import Console
from rich.table import Table

from harness.evidence import stop_codes
from harness.evidence.dump.facts import Dump
from harness.evidence.dump.header import Header
from harness.evidence.dump_crash import NamedDump, NamedFrame
from harness.guest_text import shown
from vm.words import counted

#: Frames of the stack that are shown.
_FRAMES = 12


def show(found: NamedDump, console: Console) -> None:
    """Prints a dump, what matters first."""
    dump = found.dump
    console.print(f"{shown(dump.path)}: {dump.header.kind} dump, {dump.size} bytes")
    _stop(dump, console)
    _fault(found, console)
    _stack(found, console)
    console.print(f"  system     {_system(dump.header)}")
    console.print(f"  signature  {found.signature.digest} (version {found.signature.version})")
    console.print(f"             {found.signature.text.replace('|', ', ')}")
    if dump.broken_driver:
        console.print(f"  blamed     {dump.broken_driver}, by the dump itself")
    _drivers(dump, console)
    for one in dump.secondary:
        console.print(f"  data       {one.guid}: {one.size} bytes at {one.offset:#x}")
    for note in dump.notes:
        console.print(f"  note       {note}")


def _stop(dump: Dump, console: Console) -> None:
    if dump.stop is None:
        console.print("  stop       the dump has no stop code")
        return
    modified = ", with the context of the exception" if dump.header.modified else ""
    console.print(f"  stop       {stop_codes.titled(dump.stop.code)}{modified}")
    if dump.stop.rule:
        console.print(f"             Driver Verifier: {dump.stop.rule}")
    for number, one in enumerate(dump.stop.parameters, 1):
        value = "-" if one.value is None else f"{one.value:#x}"
        words = f": {one.words}" if one.words else ""
        console.print(f"    {number}  {value:<20} {one.meaning or ''}{words}".rstrip())


def _fault(found: NamedDump, console: Console) -> None:
    fault = found.dump.fault
    if fault is None:
        console.print("  fault      the dump does not tell where")
        return
    what = "fault  " if fault.certain else "stopped"
    place = found.fault
    if place is None:
        console.print(f"  {what}    {fault.address:#x}, in no driver ({fault.source})")
        return
    console.print(f"  {what}    {_place(place)} ({fault.source})")
    for line in place.symbol.lines:
        console.print(f"             {line}{', inlined into' if line.inlined else ''}")
    if place.symbol.why:
        console.print(f"             {place.symbol.why}")


def _stack(found: NamedDump, console: Console) -> None:
    if not found.frames:
        return
    console.print("  stack      words that lie in drivers, innermost first:")
    for frame in found.frames[:_FRAMES]:
        lines = frame.symbol.lines
        where = f"  {lines[0]}" if lines and lines[0].file else ""
        console.print(f"             {_place(frame)}{where}")


def _place(place: NamedFrame) -> str:
    module, offset = place.frame.module.name, place.frame.offset
    symbol = place.symbol
    if symbol.function is None or symbol.start is None:
        return f"{module}+{offset:#x}"
    return f"{module}!{symbol.function}+{offset - symbol.start:#x} ({module}+{offset:#x})"


def _system(header: Header) -> str:
    parts = [
        "build unknown" if header.build is None else f"build {header.build}",
        header.machine.value,
        "" if header.processors is None else counted(header.processors, "processor"),
        header.product or "",
        "checked kernel" if header.checked else "",
        "" if header.system_time is None else f"stopped {header.system_time:%Y-%m-%d %H:%M:%S} UTC",
        "" if header.uptime is None else f"up {timedelta(seconds=int(header.uptime))}",
    ]
    return ", ".join(filter(None, parts))


def _drivers(dump: Dump, console: Console) -> None:
    if not len(dump.modules):
        return
    console.print(f"  drivers    {counted(len(dump.modules), 'driver')} loaded:")
    table = Table(box=None, pad_edge=False, show_edge=False, header_style=None)
    for name in ("", "name", "base", "size", "stamp", "checksum"):
        table.add_column(name, no_wrap=True, justify="left" if name in ("", "name") else "right")
    for module in sorted(dump.modules, key=lambda module: module.base):
        table.add_row(
            "           ",
            module.name,
            f"{module.base:#x}",
            f"{module.size:#x}",
            "unknown" if module.time_stamp is None else f"{module.time_stamp:08x}",
            "unknown" if module.check_sum is None else f"{module.check_sum:x}",
        )
    console.print(table)
    if dump.unloaded:
        names = ", ".join(f"{one.name}..." if one.cut else one.name for one in dump.unloaded)
        console.print(f"  unloaded   {names}")
