"""A target: the driver package under test and what the harness must know of it."""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from harness.model.values import Dword, Guid, Name, Strict, Word

#: KSDATAFORMAT_SPECIFIER_NONE of ksmedia.h.
SPECIFIER_NONE = uuid.UUID("0f6417d6-c318-11d0-a43f-00a0c9223196")
#: KSINTERFACESETID_Standard and KSMEDIUMSETID_Standard of ks.h.
INTERFACE_STANDARD = uuid.UUID("1a8766a0-62ce-11cf-a5d6-28db04c10000")
MEDIUM_STANDARD = uuid.UUID("4747b320-62ce-11cf-a5d6-28db04c10000")

#: A protocol that nobody has: made once for this harness, never to be used for anything.
UNKNOWN_PROTOCOL = uuid.UUID("6b2f7aff-52d3-4c0e-9e1b-0b9c1b7d5a01")
NULL_PROTOCOL = uuid.UUID(int=0)
#: Names that every scenario may use whatever the target calls its own.
PROTOCOL_WORDS = ("accepted", "unknown", "null")


class Format(Strict):
    """The KSDATAFORMAT that a pin is opened with; it must match one of its data ranges."""

    major: Guid
    sub: Guid
    specifier: Guid = SPECIFIER_NONE
    sample_size: Dword = 0
    flags: Dword = 0


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
    max_instances: int = Field(1, ge=1, le=1000, description="how often it can be open at once")


class Target(Strict):
    """A driver package and what the harness must know of it."""

    schema_: Literal[1] = Field(alias="schema")
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)]
    title: str | None = None
    package: str = Field(
        description="directory with INF, SYS and CAT, relative to this file; builtin:avshs is the sample"
    )
    hardware_id: str = Field(min_length=1, max_length=200, description=r"like Root\KshsAvshs")
    service: Name | Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=60)]
    category: Guid = Field(description="interface category by which the filter is found")
    behaviour: bool = Field(False, description="whether it has the property set of docs/target.md")
    format: Format
    protocols: dict[Name, Guid] = Field(default_factory=dict)
    pin: list[Pin] = Field(min_length=1, max_length=64)

    @model_validator(mode="after")
    def _consistent(self) -> Target:
        for what, values in (
            ("id", [str(pin.id) for pin in self.pin]),
            ("name", [pin.name for pin in self.pin]),
        ):
            twice = {value for value in values if values.count(value) > 1}
            if twice:
                raise ValueError(f"two pins have the {what} {sorted(twice)[0]}")
        for word in PROTOCOL_WORDS:
            if word in self.protocols:
                raise ValueError(f"a protocol cannot be called {word!r}: the word has a meaning of its own")
        for pin in self.pin:
            for protocol in pin.accepts:
                if protocol not in self.protocols:
                    known = ", ".join(self.protocols) or "none"
                    raise ValueError(
                        f"pin {pin.name} accepts {protocol!r}, which [protocols] lacks (it has: {known})"
                    )
        return self

    def find_pin(self, ref: int | str) -> Pin | None:
        """A pin by its name or its id, None where this target has none such."""
        return next((pin for pin in self.pin if ref in (pin.id, pin.name)), None)

    def format_of(self, pin: Pin) -> Format:
        """The format that a pin is opened with."""
        return pin.format or self.format
