# SPDX-License-Identifier: Apache-2.0
"""Where a hung driver's threads stand, from what `kshsctl threads` printed in the guest (docs/agent.md)."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.guest_info import Place
from harness.guest_text import one_line
from harness.guests import DriverImages

#: Threads and frames that are told, and seconds for the names.
_MAX_THREADS = 64
_MAX_FRAMES = 48
_SYMBOLIZER = "llvm-symbolizer"
_SECONDS = 20.0
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


def told(found: Sequence[Thread], images: DriverImages) -> list[str]:
    """Threads in words: one line each, with the functions where the PDBs are at hand."""
    places = list(dict.fromkeys(place for thread in found for place in _called(thread)))
    names = dict(zip(places, _names(places, images), strict=True))
    lines = []
    for thread in found:
        frames = [
            names[called] or f"{module}+0x{offset:x}"
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


def _names(places: Sequence[tuple[str, int]], images: DriverImages) -> list[str | None]:
    """Functions with file and line, innermost of inlined ones first; None where they have no name."""
    known = [(place, images.files[place[0].lower()]) for place in places if place[0].lower() in images.files]
    answers: list[Any] = []
    if known and images.symbols is not None and images.symbols.is_dir():
        asked = "".join(f'"{path}" 0x{offset:x}\n' for (_, offset), path in known)
        with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
            done = subprocess.run(
                [_SYMBOLIZER, "--relative-address", "--output-style=JSON"],
                cwd=images.symbols,  # where it looks for a PDB that an image names
                input=asked,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
            answers = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
    if len(answers) != len(known):
        return [None] * len(places)
    named = {place: _name(place, answer) for (place, _), answer in zip(known, answers, strict=True)}
    return [named.get(place) for place in places]


def _name(place: tuple[str, int], answer: Any) -> str | None:
    symbols = _list(answer.get("Symbol")) if isinstance(answer, Mapping) else []
    words = []
    for symbol in symbols:
        function = str(symbol.get("FunctionName") or "")
        if function in ("", "??"):
            return None
        file, line = Path(str(symbol.get("FileName") or "")).name, symbol.get("Line")
        words.append(f"{function} ({file}:{line})" if file and line else function)
    return one_line(f"{place[0]}!{' < '.join(words)}", 400) if words else None


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()
