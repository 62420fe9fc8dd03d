# SPDX-License-Identifier: Apache-2.0
"""A trace as its file says it: lines of JSON, written by ``kshsctl trace save`` (docs/tracing.md).

Whoever sent it is not trusted: lines, their number and every value are bounded and typed, and unknown keys
are refused.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from harness.capsule.archive import CapsuleError
from harness.capsule.manifest import once

SCHEMA = 1
MOST_BYTES = 64 << 20
MOST_EVENTS = 65_536
_MOST_LINE = 16_384
_AGAIN = "ask its sender for what kshsctl trace save wrote"

_Model = TypeVar("_Model", bound=BaseModel)

#: Where a value is the address of memory of the kernel, a trace has a number in its place.
_POINTER = "pointer:"


def _word(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith("0x") or len(value) > 18:
        raise ValueError("a number like 0x1f is needed")
    return int(value, 16)


def _argument(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_POINTER) and value[len(_POINTER) :].isdecimal():
        return value
    return _word(value)


def _hex(value: Any) -> Any:
    if not isinstance(value, str) or len(value) > 1024:
        raise ValueError("bytes in hexadecimal are needed")
    return bytes.fromhex(value)


Word = Annotated[int, BeforeValidator(_word)]
Argument = Annotated[int | str, BeforeValidator(_argument)]
Bytes = Annotated[bytes, BeforeValidator(_hex)]
#: At most as much as a KSHANDSHAKE has, of which it is a part.
Part = Annotated[bytes, BeforeValidator(_hex), Field(max_length=32)]
Object = Annotated[str, Field(pattern=r"^o[1-9][0-9]{0,9}$")]
Kind = Literal["open", "pin", "handshake", "state", "property", "cleanup", "close", "device", "unknown"]
Mode = Literal["kernel", "user"]
BufferKind = Literal["normal", "null", "misaligned", "alias"]
Unsigned = Annotated[int, Field(ge=0, lt=1 << 64)]
Text = Annotated[str, Field(max_length=1000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Content(_Strict):
    """What a buffer held: a KSHANDSHAKE by its members and what lay behind it, or a part of one as bytes."""

    bytes_: Part | None = Field(None, alias="bytes")
    protocol: Annotated[uuid.UUID, Field(strict=False)] | None = None
    argument1: Argument = 0
    argument2: Argument = 0
    behind: Bytes = b""


class Event(_Strict):
    """One event; the keys beyond the first lines belong to some kinds alone."""

    n: Unsigned
    event: Kind
    at_ns: Unsigned
    device: Unsigned = 0
    object: Object | None = None
    requestor: Mode
    previous: Mode | None = None
    bits: Literal[32, 64] | None = None
    irp_flags: Word = 0
    pid: Unsigned = 0
    tid: Unsigned = 0
    irql: Unsigned = 0
    returned: Word | None = None
    pending: bool = False
    came_back: bool = False
    status: Word | None = None
    information: Word | None = None
    took_ns: Unsigned | None = None
    marked_pending: bool = False
    cancelled: bool = False
    unwatched: bool = False
    input_unread: bool = False
    output_unread: bool = False
    cut: bool = False
    # opens
    below: Object | None = None
    name: Text | None = None
    connect: Bytes | None = None
    connects: bool = False
    sink: Object | None = None
    made: bool = False
    whole: Unsigned = 0
    process: Text | None = None
    # requests
    control: Word | None = None
    in_length: Unsigned = 0
    out_length: Unsigned = 0
    in_buffer: BufferKind = "normal"
    out_buffer: BufferKind = "normal"
    input: Content | None = None
    output: Content | None = None
    fast: bool = False
    # states and properties
    to: str | int | None = Field(None, union_mode="left_to_right")
    set: Annotated[uuid.UUID, Field(strict=False)] | None = None
    id: Unsigned = 0
    type: Word = 0
    instance: Bytes = b""
    value: Bytes | None = None
    answer: Bytes | None = None
    # of the device
    change: Text | None = None

    @property
    def succeeded(self) -> bool:
        """Whether it is known to have ended with a success."""
        return self.came_back and self.status is not None and self.status < 0xC0000000

    @property
    def end_ns(self) -> int | None:
        """When it had gone back; None of one that did not, or of which nobody knows."""
        return self.at_ns + self.took_ns if self.came_back and self.took_ns is not None else None


class Head(_Strict):
    """The first line: what was recorded, and what was not."""

    kind: Literal["kshs trace"]
    schema_version: int = Field(alias="schema", ge=1)
    wine: bool
    pointer_size: Literal[4, 8]
    events: Unsigned
    overwritten: Unsigned
    lost: Unsigned
    devices: Unsigned
    under_way: Unsigned


@dataclass(frozen=True)
class Trace:
    """A trace: its head, and its events in the order in which they came."""

    head: Head
    events: tuple[Event, ...]


def parse(data: bytes, where: str) -> Trace:
    """A trace from its bytes.

    Raises:
        CapsuleError: it is none that this program reads; the line that is wrong is named.
    """
    lines = _lines(data, where)
    head = _model(Head, next(lines, (1, b"")), where)
    if head.schema_version > SCHEMA:
        raise CapsuleError(
            f"the trace was made by a newer kshs (schema {head.schema_version})", where, "update kshs"
        )
    events = tuple(_model(Event, line, where) for line in lines)
    numbers = [event.n for event in events]
    if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
        raise CapsuleError("the trace is not in the order of its numbers", where, _AGAIN)
    return Trace(head, events)


def _lines(data: bytes, where: str) -> Iterator[tuple[int, bytes]]:
    lines = data.split(b"\n", MOST_EVENTS + 2)
    if len(data) > MOST_BYTES or len(lines) > MOST_EVENTS + 2:
        raise CapsuleError(f"the trace has more than {MOST_EVENTS:,} events", where, _AGAIN)
    for number, line in enumerate(lines, 1):
        if len(line) > _MOST_LINE:
            why = f"line {number} of the trace is longer than {_MOST_LINE:,} bytes"
            raise CapsuleError(why, where, _AGAIN)
        if line:
            yield number, line


def _model(model: type[_Model], line: tuple[int, bytes], where: str) -> _Model:
    number, text = line
    try:
        return model.model_validate(json.loads(text.decode("utf-8"), object_pairs_hook=once))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        why = f"it is not JSON ({error})"
    raise CapsuleError(f"line {number} of the trace is none: {why}", where, _AGAIN)
