# SPDX-License-Identifier: Apache-2.0
"""Values as TOML has them, and formats as the keys of a target file."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from harness.language.format_blocks import form_of, read
from harness.language.model.format import Format, Identifier
from harness.language.toml_literal import comment, literal
from harness.onboarding.known_guids import name_of

_HEAD = ("major", "sub", "specifier", "sample_size", "flags")
_GUIDS = ("major", "sub", "specifier", "SubFormat")

#: A key by its parts, and its value.
_Leaf = tuple[tuple[str, ...], Any]


def identifier(item: Identifier) -> str:
    """A KSIDENTIFIER as an inline table."""
    table: dict[str, Any] = {"set": item.set, "id": item.id}
    if item.flags:
        table["flags"] = item.flags
    return literal(table)


def format_lines(item: Format, prefix: str) -> list[str]:
    """The keys that say a format, one a line, each beginning with ``prefix``.

    The fields of a structure where the block has the form of one and these fields give the very same bytes,
    only those that nothing else implies; else the bytes.
    """
    return [
        f"{prefix}{'.'.join(path)} = {literal(value)}{_named(path, value)}" for path, value in _minimal(item)
    ]


def _named(path: tuple[str, ...], value: Any) -> str:
    """What a GUID is called, as a comment behind it."""
    name = name_of(uuid.UUID(str(value))) if path[-1] in _GUIDS else None
    return f"  {comment(name)}" if name else ""


def _minimal(item: Format) -> list[_Leaf]:
    """The least keys, with their values, that are read as this very format."""
    head: list[_Leaf] = [((name,), getattr(item, name)) for name in _HEAD]
    leaves = [*head, (("block",), item.block.hex())] if item.block else head
    form = form_of(item.specifier, item.block)
    fields = read(form, item.block) if form is not None else None
    if form is not None and fields is not None:
        named = [*head, *(((form, *name.split(".")), _field(name, value)) for name, value in fields.items())]
        if _same(named, item):
            leaves = named
    for leaf in list(leaves):
        without = [other for other in leaves if other is not leaf]
        if _same(without, item):
            leaves = without
    return leaves


def _field(name: str, value: Any) -> Any:
    return _fourcc(value) if name.endswith("biCompression") else value


def _fourcc(value: int) -> int | str:
    text = value.to_bytes(4, "little")
    return text.decode("ascii") if all(0x20 < byte < 0x7F for byte in text) else value


def _same(leaves: Sequence[_Leaf], item: Format) -> bool:
    table: dict[str, Any] = {}
    for path, value in leaves:
        inner = table
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
        inner[path[-1]] = str(value) if isinstance(value, uuid.UUID) else value
    try:
        return Format.model_validate(table).pack() == item.pack()
    except ValidationError:
        return False
