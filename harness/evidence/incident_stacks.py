# SPDX-License-Identifier: Apache-2.0
"""Where a hung driver's threads stand, from what `kshsctl threads` printed in the guest (docs/agent.md)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.guest_info import Place
from harness.guest_text import one_line
from harness.guests import DriverFiles

#: Threads and frames that are told, and characters of a frame's name.
_MAX_THREADS = 64
_MAX_FRAMES = 48
_MAX_NAME = 400
_MODULE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True)
class Thread:
    """One thread: its number, and its frames from the innermost on."""

    number: int
    frames: tuple[tuple[str, int], ...]


def threads(said: Mapping[str, Any]) -> list[Thread]:
    """The threads in what the guest printed, cleaned before; what is no thread is passed over."""
    found: list[Thread] = []
    for process in _list(said.get("processes"))[:_MAX_THREADS]:
        for item in _list(process.get("threads"))[:_MAX_THREADS] if isinstance(process, Mapping) else ():
            number = item.get("thread") if isinstance(item, Mapping) else None
            if type(number) is int and len(found) < _MAX_THREADS:
                frames = [_frame(Place.of(place)) for place in _list(item.get("stack"))[:_MAX_FRAMES]]
                found.append(Thread(number, tuple(frames)))
    return found


def concerned(found: Sequence[Thread], targets: frozenset[str]) -> list[Thread]:
    """Those that stand in a driver under test, or have been called by one."""
    return [thread for thread in found if any(module.lower() in targets for module, _ in thread.frames)]


def told(found: Sequence[Thread], files: DriverFiles) -> list[str]:
    """Threads in words: one line each, with the functions where the PDBs are at hand."""
    names = _names({place for thread in found for place in _called(thread)}, files)
    lines = []
    for thread in found:
        frames = [
            names.get(called) or f"{module}+0x{offset:x}"
            for (module, offset), called in zip(thread.frames, _called(thread), strict=True)
        ]
        lines.append(f"thread {thread.number}: {' < '.join(frames)}")
    return lines


def _called(thread: Thread) -> list[tuple[str, int]]:
    """Of each frame but the innermost the call, not where it returns to: that may be another line's."""
    return [(m, offset - (1 if place and offset else 0)) for place, (m, offset) in enumerate(thread.frames)]


def _frame(place: Place) -> tuple[str, int]:
    module = place.module or ""
    if _MODULE.fullmatch(module) and place.offset is not None:
        return module, place.offset
    return "nowhere", place.address or 0


def _names(places: Iterable[tuple[str, int]], files: DriverFiles) -> dict[tuple[str, int], str]:
    """Functions with file and line, innermost of inlined ones first, of the places that have names."""
    # Libraries that a run without a hang does without.
    from harness.evidence.symbols import Identity, SymbolFiles, Symbols

    symbols = Symbols(SymbolFiles(place for place in files.symbols if place.exists()))
    images = {name.lower(): path for name, path in files.images.items() if path.is_file()}
    wanted: dict[str, list[int]] = {}
    for module, offset in places:
        if module.lower() in images:
            wanted.setdefault(module, []).append(offset)
    names = {}
    for module, offsets in wanted.items():
        identity = Identity(module, path=images[module.lower()])
        for offset, symbol in zip(offsets, symbols.at(identity, offsets), strict=True):
            words = [_line(line.function, line.file, line.line) for line in symbol.lines]
            if words or symbol.function:
                name = f"{module}!{' < '.join(words or [str(symbol.function)])}"
                names[module, offset] = one_line(name, _MAX_NAME)
    return names


def _line(function: str, file: str | None, line: int | None) -> str:
    name = None if file is None else file.replace("\\", "/").rsplit("/", 1)[-1]
    return f"{function} ({name}:{line})" if name and line else function


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()
