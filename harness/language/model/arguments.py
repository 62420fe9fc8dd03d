# SPDX-License-Identifier: Apache-2.0
"""What the two arguments of a protocol are, and what comes back in their place: a target file's claims.

KSHANDSHAKE has two pointers, and its reference page says that they most often carry pointers to
interfaces.  What a callback does with them is between the two sides of a protocol: no document of KS says
who owns what.  So the target file says it, and verdicts about references and memory stand on that.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from harness.language.model.problem import Problem
from harness.language.model.values import Guid, HexBytes, Strict, Word

#: Bytes of a block; what a driver may keep costs the guest's non-paged memory.
MAX_BLOCK = 4096
#: Further functions of an interface (KSHS_MAX_FUNCTIONS).
MAX_FUNCTIONS = 8

Version = Annotated[int, Field(ge=0, le=0xFFFF)]
Memory = Literal["nonpaged", "paged", "readonly"]
_INTEGERS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}


class BlockField(Strict):
    """One member of a block: exactly one key; numbers are little endian, at their natural alignment."""

    u8: int | None = Field(None, ge=0, le=0xFF)
    u16: int | None = Field(None, ge=0, le=0xFFFF)
    u32: int | None = Field(None, ge=0, le=0xFFFFFFFF)
    u64: Word | None = None
    guid: Guid | None = None
    hex: HexBytes | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len([name for name in type(self).model_fields if getattr(self, name) is not None]) != 1:
            raise ValueError(f"a field has one key, its kind: {', '.join(type(self).model_fields)}")
        return self

    def pack(self) -> tuple[bytes, int]:
        """Its bytes, and the alignment of the first."""
        if self.guid is not None:
            return self.guid.bytes_le, 4
        if self.hex is not None:
            return self.hex, 1
        for name, size in _INTEGERS.items():
            value = getattr(self, name)
            if value is not None:
                return int(value).to_bytes(size, "little"), size
        raise AssertionError("the validator lets no field through without a key")


class Number(Strict):
    """A number: the scenario's own, or `value` where it has none."""

    kind: Literal["number"]
    value: Word = Field(0, description="where a scenario leaves the argument open")


class Null(Strict):
    """Always NULL."""

    kind: Literal["null"]


class Pointer(Strict):
    """A pointer to a block in memory of the client's."""

    kind: Literal["pointer"]
    hex: HexBytes | None = Field(None, max_length=MAX_BLOCK, description="what it holds, in hexadecimal")
    fields: list[BlockField] | None = Field(
        None, min_length=1, max_length=256, description='the same by members: [{u32 = 12}, {guid = "..."}]'
    )
    length: int | None = Field(
        None, ge=1, le=MAX_BLOCK, description="bytes in all; those that nobody says are zero"
    )
    memory: Memory = Field("nonpaged", description="nonpaged or paged pool, or pages that cannot be written")
    writes: bool = Field(False, description="whether the driver may write into it")
    until: Literal["call", "close", "device"] = Field(
        "call",
        description="until when the driver may use it: its callback returns, its pin is closed, its device is"
        " gone",
    )

    @model_validator(mode="after")
    def _resolve(self) -> Self:
        if self.hex is not None and self.fields is not None:
            raise ValueError("hex and fields both say what the block holds: leave one")
        if self.hex is None and self.fields is None and self.length is None:
            raise ValueError("a block needs hex, fields or length")
        if not 0 < len(self.content) <= MAX_BLOCK:
            raise ValueError(f"a block has 1 to {MAX_BLOCK} bytes, not {len(self.content)}")
        if self.length is not None and len(self._said()) > self.length:
            raise ValueError(f"what it holds has {len(self._said())} bytes, more than its length")
        if self.writes and self.memory == "readonly":
            raise ValueError("a driver that writes into a block cannot be given memory that is read-only")
        return self

    def _said(self) -> bytes:
        if self.hex is not None:
            return self.hex
        made, widest = b"", 1
        for item in self.fields or ():
            data, alignment = item.pack()
            made += bytes(-len(made) % alignment) + data
            widest = max(widest, alignment)
        return made + bytes(-len(made) % widest)

    @property
    def content(self) -> bytes:
        """All of its bytes."""
        said = self._said()
        return said + bytes(max(0, (self.length or 0) - len(said)))


class Interface(Strict):
    """A pointer to an INTERFACE (wdm.h) that the client implements, and counts what is done with it."""

    kind: Literal["interface"]
    version: Version = Field(1, description="Version of the structure")
    functions: list[Word] | Annotated[int, Field(ge=0, le=MAX_FUNCTIONS)] = Field(
        0,
        description="how many function pointers follow InterfaceDereference, or what each of them returns (0"
        " by default); all take the interface's Context first",
    )
    memory: Memory = Field("nonpaged", description="where the structure itself lies")
    reference: Literal["borrowed", "given"] = Field(
        "borrowed",
        description="given: with a handshake that is accepted a reference becomes the driver's, which has to"
        " give it back; borrowed: a driver that keeps the interface takes a reference of its own",
    )
    holds: int | None = Field(
        None, ge=0, le=1000, description="references that the driver holds once it has accepted it"
    )
    until: Literal["call", "close", "device"] = Field(
        "close",
        description="when the last reference is back at the latest: its callback has returned, its pin is"
        " closed, its device is gone (not judged)",
    )
    within_ms: int = Field(
        2000, ge=0, le=60_000, description="how much longer a driver may take, by a work item say"
    )

    @model_validator(mode="after")
    def _resolve(self) -> Self:
        if isinstance(self.functions, list) and len(self.functions) > MAX_FUNCTIONS:
            raise ValueError(f"an interface has at most {MAX_FUNCTIONS} further functions")
        if self.until == "call" and self.holds:
            raise ValueError('holds cannot be more than 0 with until = "call"')
        return self

    @property
    def returns(self) -> tuple[int, ...]:
        """What each further function returns."""
        return tuple(self.functions) if isinstance(self.functions, list) else (0,) * self.functions


class AnswerPointer(Strict):
    """A pointer to memory of the driver's that can be read."""

    kind: Literal["pointer"]
    hex: HexBytes | None = Field(
        None, max_length=128, description="what it holds; recorded where this is absent"
    )
    length: int = Field(1, ge=1, le=128, description="bytes that can be read")

    @property
    def readable(self) -> int:
        """Bytes that have to be there."""
        return max(self.length, len(self.hex or b""))


class AnswerInterface(Strict):
    """A pointer to an INTERFACE that the driver implements."""

    kind: Literal["interface"]
    version: Version | None = Field(None, description="its Version; recorded where this is absent")
    functions: int = Field(
        0, ge=0, le=MAX_FUNCTIONS, description="function pointers that follow InterfaceDereference"
    )
    size: int | None = Field(
        None, ge=16, le=0xFFFF, description="its Size, where more than function pointers follow"
    )
    reference: Literal["borrowed", "given"] = Field(
        "given", description="given: the client owns a reference and gives it back; borrowed: it owns none"
    )
    until: Literal["close", "released"] = Field(
        "close",
        description="released: it is good until its last reference is back, also when its pin is closed",
    )
    elsewhere: bool = Field(False, description="its functions may lie outside the drivers of the device")

    def size_of(self, pointer_size: int) -> int:
        """Its Size."""
        return self.size or (self.functions + 4) * pointer_size


Argument = Annotated[
    Annotated[Number, Tag("number")]
    | Annotated[Null, Tag("null")]
    | Annotated[Pointer, Tag("pointer")]
    | Annotated[Interface, Tag("interface")],
    Discriminator("kind"),
]
AnswerArgument = Annotated[
    Annotated[Number, Tag("number")]
    | Annotated[Null, Tag("null")]
    | Annotated[AnswerPointer, Tag("pointer")]
    | Annotated[AnswerInterface, Tag("interface")],
    Discriminator("kind"),
]
AnyArgument = Number | Null | Pointer | Interface
AnyAnswer = Number | Null | AnswerPointer | AnswerInterface

NUMBER = Number.model_validate({"kind": "number"})


class Protocol(Strict):
    """A protocol: its GUID, what its arguments are, and what stands in their place in the answer."""

    guid: Guid
    argument1: Argument = Field(NUMBER, description="of the request")
    argument2: Argument = Field(NUMBER, description="of the request")
    answer1: AnswerArgument = Field(NUMBER, description="Argument1 of an answer that accepts")
    answer2: AnswerArgument = Field(NUMBER, description="Argument2 of an answer that accepts")

    @property
    def arguments(self) -> tuple[AnyArgument, AnyArgument]:
        """Both, in their order."""
        return self.argument1, self.argument2

    @property
    def answers(self) -> tuple[AnyAnswer, AnyAnswer]:
        """Both, in their order."""
        return self.answer1, self.answer2

    @property
    def is_plain(self) -> bool:
        """Whether it is about numbers alone."""
        return all(item.kind == "number" for item in (*self.arguments, *self.answers))

    @property
    def followed(self) -> int | None:
        """The first argument (1 or 2) that a callback follows as a pointer; None if it follows none."""
        kinds = [item.kind in {"pointer", "interface"} for item in self.arguments]
        return kinds.index(True) + 1 if True in kinds else None


def _guid_or_table(value: Any) -> str:
    return "<table>" if isinstance(value, dict | Protocol) else "<guid>"


ProtocolEntry = Annotated[
    Annotated[Guid, Tag("<guid>")] | Annotated[Protocol, Tag("<table>")], Discriminator(_guid_or_table)
]
"""A protocol by its GUID alone, whose arguments are numbers, or a table."""


def protocol_of(entry: uuid.UUID | Protocol) -> Protocol:
    """An entry of ``[protocols]``, whichever way it is written."""
    return entry if isinstance(entry, Protocol) else Protocol.model_validate({"guid": entry})


def check_protocol(name: str, protocol: Protocol) -> Iterator[Problem]:
    """What the parts of a protocol must agree on."""
    for number, answer in enumerate(protocol.answers, 1):
        if isinstance(answer, Number) and answer.value:
            yield Problem(
                ("protocols", name, f"answer{number}", "value"),
                "what a driver answers is not chosen here",
                "expect it in a scenario",
            )
