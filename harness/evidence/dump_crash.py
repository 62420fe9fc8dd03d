# SPDX-License-Identifier: Apache-2.0
"""A dump with symbols: its fault and its stack named, and the evidence that its signature is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.evidence.dump.facts import Dump, frame_dict
from harness.evidence.dump.fault import Frame
from harness.evidence.dump.modules import Module
from harness.evidence.signature import NOWHERE, Crash, CrashFrame, Signature, signature
from harness.evidence.symbols import Identity, Symbol, Symbols

#: Frames of the stack that are named, and that go into the evidence of a signature.
_NAMED = 24
_KEPT = 8


@dataclass(frozen=True, slots=True)
class NamedFrame:
    """A place in a driver with its symbol."""

    frame: Frame
    symbol: Symbol

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**frame_dict(self.frame), "symbol": self.symbol.as_dict()}

    def evidence(self) -> CrashFrame:
        """What of it a signature needs."""
        symbol = self.symbol
        return CrashFrame(self.frame.module.name, self.frame.offset, symbol.function, symbol.start)


@dataclass(frozen=True)
class NamedDump:
    """A dump, its fault and the frames of its stack with symbols, its signature."""

    dump: Dump
    fault: NamedFrame | None
    frames: tuple[NamedFrame, ...]
    crash: Crash
    signature: Signature

    def as_dict(self) -> dict[str, Any]:
        """For JSON: everything of the dump, with symbols."""
        said = self.dump.as_dict()
        if said["fault"] is not None:
            said["fault"]["symbol"] = None if self.fault is None else self.fault.symbol.as_dict()
        said["frames"] = [frame.as_dict() for frame in self.frames]
        said["crash"] = self.crash.as_dict()
        said["signature"] = self.signature.as_dict()
        return said


def named(dump: Dump, symbols: Symbols, request: str | None = None) -> NamedDump:
    """A dump with the symbols that can be proven to be its drivers' own.

    Args:
        dump: as it was read.
        symbols: of the user's directories.
        request: the kind of the step that was in flight, where that is known.
    """
    place = dump.fault_frame
    fault = (
        None if place is None else NamedFrame(place, symbols.at(identity(place.module), [place.offset])[0])
    )
    frames = _named(_return_addresses(dump.frames, symbols)[:_NAMED], symbols)
    first = () if fault is None else (fault.evidence(),)
    if fault is None and dump.fault is not None:
        first = (CrashFrame(NOWHERE, 0),)
    crash = Crash(
        stop_code=dump.header.stop_code,
        parameters=dump.header.parameters,
        frames=(*first, *(frame.evidence() for frame in frames[:_KEPT])),
        request=request,
    )
    return NamedDump(dump, fault, frames, crash, signature(crash))


def identity(module: Module) -> Identity:
    """What of a loaded driver proves that a file is its image."""
    return Identity(module.name, module.time_stamp, module.size, module.check_sum, module.debug)


def _return_addresses(frames: Sequence[Frame], symbols: Symbols) -> list[Frame]:
    """Without those words that follow no call, where the image is there to tell."""
    return [
        frame for frame in frames if symbols.follows_a_call(identity(frame.module), frame.offset) is not False
    ]


def _named(frames: Sequence[Frame], symbols: Symbols) -> tuple[NamedFrame, ...]:
    """Each driver's addresses are asked for at once; of a return address the call before it is meant."""
    found: dict[int, Symbol] = {}
    for module in dict.fromkeys(frame.module for frame in frames):
        own = [frame for frame in frames if frame.module == module]
        answers = symbols.at(identity(module), [frame.offset - 1 for frame in own])
        found.update((id(frame), symbol) for frame, symbol in zip(own, answers, strict=True))
    return tuple(NamedFrame(frame, found[id(frame)]) for frame in frames)
