# SPDX-License-Identifier: Apache-2.0
"""What a user says of a target file that is to be written, because no driver can be asked for it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import UsageError
from harness.language.model.target import IMPORT_PATTERN, PROTOCOL_WORDS
from harness.language.model.values import NAME_PATTERN

_GUID = r"\{?[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}?"
_PROTOCOL = re.compile(rf"(?P<name>[^=]*)=(?P<guid>{_GUID})(?::(?P<pins>.*))?")
_MAX_NAME = 40


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol, and the pins that accept it, by name or id; None: all that have a callback."""

    guid: uuid.UUID
    pins: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """Everything of that kind.

    `names` are what pins shall be called, by their ids; `without_callback` pins that register none, by name
    or id; `imports` what a Wine guest may lack (``ntoskrnl.exe!Function``); `entries` and `text`
    are protocols that a file says in its own words; `root_enumerated` is what the target file's key means,
    where the form of the hardware id shall not decide.
    """

    protocols: Mapping[str, Protocol] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    without_callback: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    entries: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    root_enumerated: bool | None = None

    def with_tables(self, protocols: Mapping[str, Protocol], entries: Mapping[str, Any], text: str) -> Wishes:
        """The same with protocols that are tables of a file.

        Raises:
            UsageError: one of them has been named on the command line, too.
        """
        twice = next((name for name in protocols if name in self.protocols), None)
        if twice is not None:
            raise UsageError(f"{twice} is in the file of --protocols, too", "--protocol", "say it once")
        merged = {**self.protocols, **protocols}
        return replace(self, protocols=merged, entries=dict(entries), text=text)


def read(
    protocols: Iterable[str] = (),
    names: Iterable[str] = (),
    without_callback: Sequence[str] = (),
    imports: Sequence[str] = (),
    root_enumerated: bool | None = None,
) -> Wishes:
    """From the words of the command line.

    Raises:
        UsageError: one is not of the form that it must have; says which, and the form.
    """
    for word in imports:
        if not re.fullmatch(IMPORT_PATTERN, word):
            raise UsageError(f"{word!r} is no import", "--allow-import", "like ntoskrnl.exe!ExFunction")
    return Wishes(
        dict(map(_protocol, protocols)),
        _names(names),
        tuple(without_callback),
        tuple(imports),
        root_enumerated=root_enumerated,
    )


def _protocol(text: str) -> tuple[str, Protocol]:
    found = _PROTOCOL.fullmatch(text.strip())
    if found is None or not _is_name(found["name"]):
        raise UsageError(
            f"{text!r} is no protocol",
            "--protocol",
            "NAME=GUID for all pins, or NAME=GUID:PIN,PIN for some; names are like clock or clock_2",
        )
    why = name_in_use(found["name"])
    if why is not None:
        raise UsageError(why, "--protocol", "give it another name")
    pins = None if found["pins"] is None else tuple(filter(None, map(str.strip, found["pins"].split(","))))
    return found["name"], Protocol(uuid.UUID(found["guid"]), pins)


def name_in_use(name: str) -> str | None:
    """Why no protocol can have this name; None if one can."""
    if name not in PROTOCOL_WORDS:
        return None
    return f"a protocol cannot be called {name!r}: scenarios use the word for something else"


def _names(texts: Iterable[str]) -> dict[int, str]:
    names: dict[int, str] = {}
    for text in texts:
        number, _, name = text.strip().partition("=")
        if not number.isascii() or not number.isdigit() or not _is_name(name):
            raise UsageError(f"{text!r} names no pin", "--pin", "ID=NAME, like 2=monitor")
        if name == "filter" or (re.fullmatch(r"pin\d+", name) and name != f"pin{int(number)}"):
            raise UsageError(
                f"a pin {number} cannot be called {name!r}: scenarios use the word for something else",
                "--pin",
            )
        if name in names.values() or int(number) in names:
            raise UsageError(f"{text!r} says anew what another one has said", "--pin", "one name a pin")
        names[int(number)] = name
    return names


def _is_name(text: str) -> bool:
    return re.fullmatch(NAME_PATTERN, text) is not None and len(text) <= _MAX_NAME
