# SPDX-License-Identifier: Apache-2.0
"""A target: the driver package under test and what the harness must know of it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, StringConstraints

from harness.language.model.arguments import Protocol, ProtocolEntry, check_protocol, protocol_of
from harness.language.model.format import (
    STANDARD_INTERFACE,
    STANDARD_MEDIUM,
    UNKNOWN_FORMAT,
    Format,
    Identifier,
)
from harness.language.model.problem import Problem
from harness.language.model.values import Guid, Name, Strict, Word

#: A protocol that nobody has: made once for this harness, never to be used for anything.
UNKNOWN_PROTOCOL = uuid.UUID("6b2f7aff-52d3-4c0e-9e1b-0b9c1b7d5a01")
NULL_PROTOCOL = uuid.UUID(int=0)
#: Names that every scenario may use whatever the target calls its own.
PROTOCOL_WORDS = ("accepted", "unknown", "null", "interface", "pointer", "answered_interface")
#: An import as target files name it: module and function, or the number of one that has no name.
IMPORT_PATTERN = r"^[A-Za-z0-9._-]{1,80}!(?:[A-Za-z_?@$][A-Za-z0-9_?@$]{0,250}|#[0-9]{1,5})$"


class Answer(Strict):
    """How a pin's own callback makes its output from the input where it accepts a protocol."""

    add: Word = Field(0, description="added to Argument1")
    xor: Word = Field(0, description="combined with Argument2 by exclusive or")


class Pin(Strict):
    """One pin of the filter."""

    id: int = Field(ge=0, le=0xFFFFFFFE)
    name: Name = Field(description="what scenarios call it; the catalogue uses source, sink, source2, sink2")
    flow: Literal["out", "in"] = Field(description="out: a source of data; in: a sink")
    callback: bool = Field(True, description="whether it registers a handshake callback (rule H8)")
    accepts: list[str] = Field(default_factory=list, description="protocols it accepts, by name (rule H9)")
    answer: Answer | None = Field(None, description="what it puts out; not compared where this is absent")
    format: Format | None = Field(None, description="where it differs from the target's")
    interface: Identifier | None = Field(None, description="where it differs from the target's")
    medium: Identifier | None = Field(None, description="where it differs from the target's")
    max_instances: int = Field(1, ge=1, le=1000, description="how often it can be open at once")


class Imports(Strict):
    """What is refused of a driver's imports, and shall not be."""

    allow: list[Annotated[str, StringConstraints(pattern=IMPORT_PATTERN)]] = Field(
        default_factory=list,
        max_length=500,
        description="imports that may be missing on a Wine guest, like ntoskrnl.exe!ExFunction; a call of one"
        " ends the driver's process there",
    )


class Target(Strict):
    """A driver package and what the harness must know of it."""

    _place: Callable[[Sequence[str | int]], str] | None = PrivateAttr(None)
    _unopened: dict[str, str] = PrivateAttr(default_factory=dict)

    schema_: Literal[1] = Field(alias="schema")
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)]
    title: str | None = None
    package: str = Field(
        description="directory with INF, SYS and CAT, relative to this file; builtin:avshs is the sample"
    )
    hardware_id: str = Field(min_length=1, max_length=200, description=r"like Root\KshsAvshs")
    service: Name | Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=60)]
    root_enumerated: bool | None = Field(
        None,
        description="true: the device is created without its hardware, whatever bus its id names; false: it"
        " has to be in the guest; by default the form of the id decides",
    )
    category: Guid = Field(description="interface category by which the filter is found")
    instance: int = Field(
        0,
        ge=0,
        le=1023,
        description="which of the filters in that category, as the system lists them; 0 is the first",
    )
    behaviour: bool = Field(False, description="whether it has the property set of docs/target.md")
    format: Format | None = Field(
        None, description="of its pins, where they do not say otherwise; where nobody says, the pin is asked"
    )
    interface: Identifier = Field(
        STANDARD_INTERFACE, description="KSPIN_INTERFACE; standard streaming by default"
    )
    medium: Identifier = Field(STANDARD_MEDIUM, description="KSPIN_MEDIUM; the standard one by default")
    imports: Imports = Field(default_factory=Imports, description="how strictly its imports are looked at")
    protocol_table: dict[Name, ProtocolEntry] = Field(
        default_factory=dict,
        alias="protocols",
        description="each by its GUID, or a table that says also what its arguments are",
    )
    pin: list[Pin] = Field(min_length=1, max_length=64)

    def find_pin(self, ref: int | str) -> Pin | None:
        """A pin by its name or its id, None where this target has none such."""
        return next((pin for pin in self.pin if ref in (pin.id, pin.name)), None)

    def format_of(self, pin: Pin) -> Format:
        """The format that a pin is opened with; `UNKNOWN_FORMAT` where the pin is still to be asked."""
        return pin.format or self.format or UNKNOWN_FORMAT

    def interface_of(self, pin: Pin) -> Identifier:
        """The interface that a pin is opened with."""
        return pin.interface or self.interface

    def medium_of(self, pin: Pin) -> Identifier:
        """The medium that a pin is opened with."""
        return pin.medium or self.medium

    def opened_with(self, formats: Mapping[int, Format], unopened: Mapping[str, str]) -> Self:
        """The same with formats by pin id, and with the reasons why other pins, by name, do not open."""
        pins = [pin.model_copy(update={"format": formats.get(pin.id, pin.format)}) for pin in self.pin]
        found = self.model_copy(update={"pin": pins})
        found._unopened = dict(unopened)
        return found

    def why_unopened(self, pin: Pin) -> str | None:
        """Why a pin does not open as the target file says, where a guest has shown that it does not."""
        return self._unopened.get(pin.name)

    def asks(self, pin: Pin) -> bool:
        """Whether the file leaves a pin's format to the pin."""
        return pin.format is None and self.format is None

    @property
    def protocols(self) -> dict[str, uuid.UUID]:
        """The GUIDs of the protocols by name."""
        return {name: protocol_of(entry).guid for name, entry in self.protocol_table.items()}

    def protocol(self, guid: uuid.UUID) -> tuple[str, Protocol] | None:
        """What the file says of a protocol, with its name; None of one that it does not name."""
        for name, entry in self.protocol_table.items():
            protocol = protocol_of(entry)
            if protocol.guid == guid:
                return name, protocol
        return None

    def accepted(self, pin: Pin | None) -> str | None:
        """What ``accepted`` stands for: of a pin's protocols, or of all, one of numbers, else the first.

        A scenario that gives numbers, and most do, can send that one and no other; there are words of their
        own for those that carry pointers.
        """
        names = pin.accepts if pin is not None else list(self.protocol_table)
        plain = (name for name in names if protocol_of(self.protocol_table[name]).is_plain)
        return next(plain, names[0] if names else None)

    def protocol_name(self, protocol: uuid.UUID) -> str | None:
        """What the target calls a protocol, None for one that it does not name."""
        return next((name for name, value in self.protocols.items() if value == protocol), None)

    # ---- its file ----------------------------------------------------------------------------

    def written_in(self, place: Callable[[Sequence[str | int]], str]) -> None:
        """For who loads it from a file of the user's: `place` gives file, line and key of a key."""
        self._place = place

    def places(self, *keys: Sequence[str | int]) -> tuple[str, ...]:
        """Where the user's own file says these, as ``file:line: key``; none of a target that kshs brings."""
        return () if self._place is None else tuple(map(self._place, keys))

    def places_of_pin(self, pin: Pin) -> tuple[str, ...]:
        """Where the user's own file says what a pin is opened by: its id, and its format."""
        at = ("pin", self.pin.index(pin))
        return self.places((*at, "id"), (*at, "format") if pin.format is not None else ("format",))

    def places_of_protocol(self, pin: Pin, protocol: uuid.UUID) -> tuple[str, ...]:
        """Where the user's own file says what a protocol is, and which of them a pin supports."""
        name = self.protocol_name(protocol)
        if name is None:
            return ()
        return self.places(("protocols", name), ("pin", self.pin.index(pin), "accepts"))


def check_target(target: Target) -> list[Problem]:
    """What the parts of a target must agree on among each other; empty if they do."""
    return list(_disagreements(target))


def _disagreements(target: Target) -> Iterator[Problem]:
    for name, entry in target.protocol_table.items():
        yield from check_protocol(name, protocol_of(entry))
    for word in target.protocols:
        if word in PROTOCOL_WORDS:
            yield Problem(
                ("protocols", word),
                f"a protocol cannot be called {word!r}: scenarios use the word for something else",
                "give it another name",
            )
    ids: set[int] = set()
    names: set[str] = set()
    for position, pin in enumerate(target.pin):
        if pin.id in ids:
            yield Problem(("pin", position, "id"), f"another pin has the id {pin.id} already")
        if pin.name in names:
            yield Problem(("pin", position, "name"), f"another pin is called {pin.name!r} already")
        ids.add(pin.id)
        names.add(pin.name)
        for index, protocol in enumerate(pin.accepts):
            if protocol not in target.protocols:
                known = ", ".join(target.protocols) or "none"
                yield Problem(
                    ("pin", position, "accepts", index),
                    f"{protocol!r} is not among [protocols]",
                    f"there: {known}",
                )
