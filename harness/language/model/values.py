# SPDX-License-Identifier: Apache-2.0
"""The small values of scenario and target files: statuses, lengths, GUIDs, 64-bit words, names."""

from __future__ import annotations

import re
import uuid
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, StringConstraints, WithJsonSchema

from harness import ntstatus
from harness.language.strict import Strict as Strict
from harness.rules import Rule as Rule

#: An open object, a request in flight, a pin of the target: what a scenario calls it.
NAME_PATTERN = r"^[a-z][a-z0-9_]*$"
#: A scenario's id, a case's id: stable words with dots and dashes.
ID_PATTERN = r"^[a-z0-9]+(?:[._-][a-z0-9]+)*$"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=40)]
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN, max_length=120)]


class Side(StrEnum):
    """Who opens an object or sends a request: the client in kernel mode, or the agent."""

    KERNEL = "kernel"
    USER = "user"


class Mode(StrEnum):
    """The requestor mode that a request carries (rule H5 turns on it)."""

    KERNEL = "kernel"
    USER = "user"


class Route(StrEnum):
    """How a request is sent; the first two by the client in kernel mode, the others by the agent."""

    CALL = "call"
    IRP = "irp"
    SYNC = "sync"
    EVENT = "event"
    PORT = "port"
    APC = "apc"

    @property
    def side(self) -> Side:
        """Kernel for `call` and `irp`, else user."""
        return Side.KERNEL if self in {Route.CALL, Route.IRP} else Side.USER


class Buffer(StrEnum):
    """What the buffer behind a pointer is."""

    NORMAL = "normal"
    NULL = "null"
    ALIAS = "alias"
    MISALIGNED = "misaligned"
    READONLY = "readonly"
    FREED = "freed"
    PAGE_END = "page_end"


class State(StrEnum):
    """KSSTATE of a pin; the order is that of the kernel's enumeration."""

    STOP = "stop"
    ACQUIRE = "acquire"
    PAUSE = "pause"
    RUN = "run"


# ---- 64-bit words -----------------------------------------------------------------------------


def _word(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")
    if isinstance(value, str):
        if not re.fullmatch(r"0[xX][0-9A-Fa-f]{1,16}", value.strip()):
            raise ValueError(f'{value!r} is not a number; write 18 or "0x12"')
        return int(value, 16)
    return value


def _in_word(value: int) -> int:
    if not -(1 << 63) <= value < 1 << 64:
        raise ValueError(f"{value} does not fit 64 bits")
    return value & 0xFFFFFFFFFFFFFFFF


Word = Annotated[
    int,
    BeforeValidator(_word),
    AfterValidator(_in_word),
    WithJsonSchema(
        {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^0[xX][0-9A-Fa-f]{1,16}$"}]}
    ),
]
"""64 bits, written as a number or, beyond what TOML's integers hold, as ``"0x..."``."""


#: What stands in the place of an argument that a scenario leaves to the protocol.
DEFAULT_ARGUMENT = "default"


def _argument(value: Any) -> Any:
    return value if value == DEFAULT_ARGUMENT else _word(value)


def _in_argument(value: int | str) -> int | str:
    return value if isinstance(value, str) else _in_word(value)


ArgumentValue = Annotated[
    int | Literal["default"],
    BeforeValidator(_argument),
    AfterValidator(_in_argument),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer"},
                {"type": "string", "pattern": "^(0[xX][0-9A-Fa-f]{1,16}|default)$"},
            ]
        }
    ),
]
"""An argument of a handshake: a `Word`, or ``default``: what the protocol wants."""


def _in_dword(value: int) -> int:
    if not 0 <= value <= 0xFFFFFFFF:
        raise ValueError(f"{value} does not fit 32 bits")
    return value


Dword = Annotated[
    int,
    BeforeValidator(_word),
    AfterValidator(_in_dword),
    WithJsonSchema(
        {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^0[xX][0-9A-Fa-f]{1,8}$"}]}
    ),
]
"""32 bits, written as a number or as ``"0x..."``."""

# ---- lengths ----------------------------------------------------------------------------------

_LENGTH = re.compile(r"^(?:(\d{1,5})\*)?size(?:/(\d{1,5}))?(?:([+-])(\d{1,10}))?$")


def length(text: int | str, size: int) -> int:
    """A length in bytes, where ``size`` in it stands for sizeof(KSHANDSHAKE).

    Args:
        text: a number, or ``size``, ``size-1``, ``size+1``, ``2*size``, ``size/2``, ``2*size+1``.
        size: 24 or 32 (rule H2).

    Raises:
        ValueError: no such form, or the result is negative or beyond 32 bits.
    """
    if isinstance(text, int):
        result = text
    else:
        found = _LENGTH.match(text.replace(" ", ""))
        if not found:
            raise ValueError(f"{text!r} is no length; write a number or size, size-1, size+1, 2*size, size/2")
        if found[2] and int(found[2]) == 0:
            raise ValueError(f"{text!r} divides by zero")
        result = size * int(found[1] or 1) // int(found[2] or 1)
        if found[3]:
            result += int(found[4]) if found[3] == "+" else -int(found[4])
    if not 0 <= result <= 0xFFFFFFFF:
        raise ValueError(f"{text!r} is {result}, which is no length of 32 bits")
    return result


def _length(value: int | str) -> int | str:
    for size in (24, 32):
        length(value, size)
    return value.replace(" ", "") if isinstance(value, str) else value


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('a number or text like "size-1" is needed')
    return value


Length = Annotated[
    int | str,
    BeforeValidator(_not_bool),
    AfterValidator(_length),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": 0xFFFFFFFF},
                {"type": "string", "pattern": r"^(\d+\*)?size(/\d+)?([+-]\d+)?$"},
            ]
        }
    ),
]
"""Bytes as the driver is told: a number, or in terms of ``size``; see `length`."""

# ---- NTSTATUS ---------------------------------------------------------------------------------


def _status(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('write an NTSTATUS by name or as "0x..."')
    return ntstatus.value(value)


_STATUS_SCHEMA = {
    "anyOf": [
        {"type": "integer"},
        {"type": "string", "pattern": "^(0[xX][0-9A-Fa-f]{1,8}|[A-Za-z][A-Za-z0-9_]*)$"},
    ]
}

Status = Annotated[int, BeforeValidator(_status), WithJsonSchema(_STATUS_SCHEMA)]
"""An NTSTATUS, written by name (with or without ``STATUS_``) or as a hexadecimal number."""

#: Words that stand for a set of statuses, or for an IO_STATUS_BLOCK that nobody wrote.
STATUS_WORDS = ("success", "error", "untouched")


def _status_want(value: Any) -> int | str:
    if isinstance(value, str) and value.lower() in STATUS_WORDS:
        return value.lower()
    return _status(value)


StatusWant = Annotated[
    int | str,
    BeforeValidator(_status_want),
    WithJsonSchema(_STATUS_SCHEMA),
]
"""A `Status`, or ``success`` (NT_SUCCESS), ``error`` (NT_ERROR), ``untouched`` (still the poison)."""

# ---- GUIDs and bytes --------------------------------------------------------------------------


def _guid(value: Any) -> uuid.UUID:
    if isinstance(value, uuid.UUID):
        return value
    if not isinstance(value, str) or not re.fullmatch(
        r"\{?[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}?", value.strip()
    ):
        raise ValueError(f'{value!r} is no GUID; write "6b2f7a12-52d3-4c0e-9e1b-0b9c1b7d5a01"')
    return uuid.UUID(value.strip())


Guid = Annotated[
    uuid.UUID,
    BeforeValidator(_guid),
    WithJsonSchema(
        {"type": "string", "pattern": r"^\{?[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}?$"}
    ),
]
"""A GUID, with or without braces."""


def _hex_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        raise ValueError(f'{value!r} is not a row of hexadecimal bytes like "01 a0 ff"') from None


HexBytes = Annotated[
    bytes,
    BeforeValidator(_hex_bytes),
    WithJsonSchema({"type": "string", "pattern": r"^([0-9A-Fa-f]{2}\s*)*$"}),
]
"""Bytes, written as hexadecimal digits; blanks between bytes are fine."""
