# SPDX-License-Identifier: Apache-2.0
"""Everything that a dump says, and the same as JSON."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from harness.evidence.dump.fault import Fault, Frame
from harness.evidence.dump.header import ExceptionRecord, Header
from harness.evidence.dump.modules import Module, Modules, Unloaded
from harness.evidence.dump.registers import Registers
from harness.evidence.dump.secondary import Secondary
from harness.evidence.stop_codes import StopCode


@dataclass(frozen=True)
class Extent:
    """How much memory is there: begin and bytes of the stack, blocks and their bytes, pages of 4 KiB."""

    stack_top: int | None = None
    stack_bytes: int = 0
    blocks: int = 0
    block_bytes: int = 0
    pages: int | None = None


@dataclass(frozen=True)
class Dump:
    """A dump as it was read.

    ``path`` is as the user gave it, ``size`` in bytes.  ``fault`` is None where the dump tells no address.
    ``frames`` are words of the stack that lie in drivers.  ``notes`` say what could not be read, and why.
    ``size_of_dump`` (bytes without secondary data) and ``triage_options`` are of triage dumps alone.
    """

    path: str
    size: int
    header: Header
    stop: StopCode | None
    modules: Modules
    unloaded: tuple[Unloaded, ...]
    fault: Fault | None
    frames: tuple[Frame, ...]
    extent: Extent
    secondary: tuple[Secondary, ...]
    broken_driver: str | None
    notes: tuple[str, ...]
    size_of_dump: int | None = None
    triage_options: int | None = None

    @property
    def fault_frame(self) -> Frame | None:
        """The fault as a place in a driver; None where it lies in none."""
        module = None if self.fault is None else self.modules.at(self.fault.address)
        return None if module is None or self.fault is None else Frame(self.fault.address, module)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: numbers that may need 64 bits as hexadecimal text, what is not known as null."""
        return {
            "file": self.path,
            "size": self.size,
            "kind": self.header.kind,
            "header": _header(self.header),
            "stop": None if self.stop is None else _stop(self.stop),
            "fault": self._fault(),
            "frames": [frame_dict(frame) for frame in self.frames],
            "drivers": [_module(module) for module in self.modules],
            "unloaded": [
                {
                    "name": one.name,
                    "cut": one.cut,
                    "start": hexadecimal(one.start),
                    "end": hexadecimal(one.end),
                }
                for one in self.unloaded
            ],
            "memory": {
                "stack_top": hexadecimal(self.extent.stack_top),
                "stack_bytes": self.extent.stack_bytes,
                "blocks": self.extent.blocks,
                "block_bytes": self.extent.block_bytes,
                "pages": self.extent.pages,
            },
            "secondary": [
                {"guid": str(one.guid), "offset": one.offset, "size": one.size} for one in self.secondary
            ],
            "broken_driver": self.broken_driver,
            "size_of_dump": self.size_of_dump,
            "triage_options": hexadecimal(self.triage_options),
            "notes": list(self.notes),
        }

    def _fault(self) -> dict[str, Any] | None:
        if self.fault is None:
            return None
        place = self.fault_frame
        return {
            "address": hexadecimal(self.fault.address),
            "source": self.fault.source,
            "certain": self.fault.certain,
            "module": None if place is None else place.module.name,
            "offset": None if place is None else hexadecimal(place.offset),
            "registers": _registers(self.fault.registers),
        }


def hexadecimal(number: int | None) -> str | None:
    """A number for JSON."""
    return None if number is None else f"{number:#x}"


def frame_dict(frame: Frame) -> dict[str, Any]:
    """A frame for JSON."""
    return {
        "address": hexadecimal(frame.address),
        "module": frame.module.name,
        "offset": hexadecimal(frame.offset),
        "at": hexadecimal(frame.at),
    }


def _registers(registers: Registers | None) -> dict[str, str] | None:
    return None if registers is None else {key: f"{value:#x}" for key, value in registers.values.items()}


def _stop(stop: StopCode) -> dict[str, Any]:
    return {
        "code": f"{stop.code:#x}",
        "name": stop.name,
        "rule": stop.rule,
        "parameters": [
            {"value": hexadecimal(one.value), "meaning": one.meaning, "words": one.words}
            for one in stop.parameters
        ],
    }


def _module(module: Module) -> dict[str, Any]:
    debug = module.debug
    return {
        "name": module.name,
        "path": module.path,
        "base": hexadecimal(module.base),
        "size": module.size,
        "time_stamp": hexadecimal(module.time_stamp),
        "check_sum": hexadecimal(module.check_sum),
        "pdb": None if debug is None else {"guid": debug.guid, "age": debug.age, "name": debug.pdb},
    }


#: Of the header as they are: small numbers and texts.
_PLAIN = frozenset({"dump_type", "checked", "build", "processors", "comment", "uptime", "product_type"})


def _header(header: Header) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name in (each.name for each in fields(header)):
        value = getattr(header, name)
        match name:
            case "machine":
                value = value.value
            case "system_time":
                value = None if value is None else value.isoformat()
            case "registers":
                value = _registers(value)
            case "exception":
                value = _exception(value)
            case "memory_runs":
                value = None if value is None else [[run.base_page, run.page_count] for run in value]
            case "parameters":
                value = [hexadecimal(one) for one in value]
            case _ if name not in _PLAIN:
                value = hexadecimal(value)
        said[name] = value
    said["product"] = header.product
    return said


def _exception(record: ExceptionRecord | None) -> dict[str, Any] | None:
    if record is None:
        return None
    return {
        "code": f"{record.code:#x}",
        "flags": record.flags,
        "address": f"{record.address:#x}",
        "parameters": [f"{value:#x}" for value in record.parameters],
    }
