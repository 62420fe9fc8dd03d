# SPDX-License-Identifier: Apache-2.0
"""Crashes on Wine, with symbols, from what the crash recorder wrote (docs/agent.md, "Crashes")."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.evidence.names import module_key
from harness.evidence.signature import NOWHERE, Crash, CrashFrame, Signature, signature
from harness.guest_info import CrashRecord, Place
from harness.guests.interface import DriverFiles

if TYPE_CHECKING:
    from harness.evidence.symbols import Identity, Symbol, Symbols

#: Words of the stack that are looked up.
_WORDS = 16
#: What Wine's KeBugCheckEx writes to stderr: the code and its four parameters.
BUGCHECK = "KeBugCheckEx"
_BUGCHECK = re.compile(BUGCHECK + r" ([0-9a-fA-F]{1,8})((?: [0-9a-fA-F]{1,16}){0,4})")
_NOT_DEPLOYED = "no file of it was deployed by the harness"


@dataclass(frozen=True, slots=True)
class NamedCrash:
    """A crash with its symbols.

    ``place`` says for people where it was, empty where no symbol is known; ``callers`` are the functions on
    the stack, innermost first, as far as they have names: likely ones where the stack could not be unwound.
    """

    crash: Crash
    signature: Signature
    place: str = ""
    callers: tuple[str, ...] = ()


class DriverSymbols:
    """Symbols of the drivers that were deployed into a guest.

    Args:
        files: what was deployed, and its PDBs; nothing is opened before the first crash.
    """

    def __init__(self, files: DriverFiles | None = None) -> None:
        self._files = files or DriverFiles()

    def named(
        self, text: str, record: CrashRecord | None, request: str | None, said: Sequence[str] = ()
    ) -> NamedCrash | None:
        """A crash; None where neither record nor line says what a signature could be made of.

        Args:
            text: the sentence or line that speaks of it.
            record: of the guest, which is not trusted.
            request: the kind of the step in flight.
            said: further lines of the guest: the recorder knows a bugcheck's code alone, and Wine has said
                with which parameters.
        """
        if record is not None and record.kind != "bugcheck":
            return self._of(record, request)
        found = _bugcheck(text, *said, code=record.code if record is not None else None)
        if found is not None:
            parameters = tuple(int(word, 16) for word in found[2].split())
            crash = Crash(stop_code=int(found[1], 16), parameters=parameters, request=request)
        elif record is not None and record.code is not None:
            crash = Crash(stop_code=record.code, request=request)
        else:
            return None
        return NamedCrash(crash, signature(crash))

    def _of(self, record: CrashRecord, request: str | None) -> NamedCrash | None:
        places = [record.fault or record, *record.stack[:_WORDS]]
        symbols: list[Symbol | None]
        try:
            symbols = self._symbols_of(places)
        except Exception as error:  # files of a user that nobody can read must not cost a verdict
            symbols = self._no_symbols(places, f"{type(error).__name__}: {error}")
        frames = [
            CrashFrame(where.module, where.offset, symbol.function, symbol.start)
            for where, symbol in zip(places, symbols, strict=True)
            if symbol is not None and where.module is not None and where.offset is not None
        ]
        if places[0].module is None:
            frames.insert(0, CrashFrame(NOWHERE, 0))
        if record.code is None:
            return None
        crash = Crash(
            exception=record.code & 0xFFFFFFFF, access=record.access, frames=tuple(frames), request=request
        )
        words = [_words(where, symbol) for where, symbol in zip(places, symbols, strict=True)]
        place = next(filter(None, words), "")
        return NamedCrash(crash, signature(crash), place, tuple(filter(None, words[1:])))

    def _symbols_of(self, places: list[Place]) -> list[Symbol | None]:
        """A symbol for each place, all of one driver at once; None where a word is no return address."""
        found = self._no_symbols(places, _NOT_DEPLOYED)
        wanted: dict[Identity, list[int]] = {}
        for number, where in enumerate(places):
            identity = self._identity(where)
            if identity is None or where.offset is None:
                continue
            if number and self._symbols.follows_a_call(identity, where.offset) is False:
                found[number] = None
            else:
                wanted.setdefault(identity, []).append(number)
        for identity, numbers in wanted.items():
            # Of a return address the call before it is meant.
            offsets = [(places[number].offset or 0) - (number > 0) for number in numbers]
            for number, symbol in zip(numbers, self._symbols.at(identity, offsets), strict=True):
                found[number] = symbol
        return found

    @staticmethod
    def _no_symbols(places: list[Place], why: str) -> list[Symbol | None]:
        from harness.evidence.symbols import Symbol

        return [Symbol(why=why) for _ in places]

    def _identity(self, where: Place) -> Identity | None:
        from harness.evidence.symbols import Identity

        path = self._images.get(module_key(where.module or ""))
        return None if path is None else Identity(where.module or "", path=path)

    @cached_property
    def _images(self) -> dict[str, Path]:
        return {module_key(name): path for name, path in self._files.images.items() if path.is_file()}

    @cached_property
    def _symbols(self) -> Symbols:
        # Libraries that a run without a crash does without.
        from harness.evidence.symbols import SymbolFiles, Symbols

        return Symbols(SymbolFiles(place for place in self._files.symbols if place.exists()))


def _bugcheck(*lines: str, code: int | None) -> re.Match[str] | None:
    """The line of Wine's that tells a bugcheck, and of that code where it is known; the last such one."""
    found = [match for match in map(_BUGCHECK.search, lines) if match is not None]
    return next((match for match in reversed(found) if code in (None, int(match[1], 16))), None)


def _words(where: Place, symbol: Symbol | None) -> str:
    """``avshs.sys!CorruptPool (behaviour.c:153), inlined into AvshsPinHandshake (behaviour.c:215)``."""
    if symbol is None or symbol.function is None:
        return ""
    lines = (*symbol.lines[:1], *symbol.lines[1:][-1:])
    said = [_line(one.function, one.file, one.line) for one in lines] or [symbol.function]
    return f"{where.module}!" + ", inlined into ".join(said)


def _line(function: str, file: str | None, line: int | None) -> str:
    name = None if file is None else file.replace("\\", "/").rsplit("/", 1)[-1]
    return f"{function} ({name}:{line})" if name and line else function
