# SPDX-License-Identifier: Apache-2.0
"""The ABI between host, agent, client and sample target, read from ``kshs_abi.h``.

The header is the only definition; this module parses it with dissect.cstruct.  ``load()`` costs some
50 ms once per process and nothing afterwards.

    >>> abi = load()
    >>> step = abi.cs.kshs_step(size=len(abi.cs.kshs_step), op=abi.constants["KSHS_OP_NOP"])
    >>> bytes(step)  # doctest: +SKIP
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dissect.cstruct import cstruct

from drivers.errors import AbiMismatch

HEADER = Path(__file__).with_name("kshs_abi.h")

_GUARD = re.compile(r"^#(?:ifndef\s+\w+_H|define\s+\w+_H|endif)\s*$", re.MULTILINE)
_STRUCTURE = re.compile(r"^typedef struct (\w+)\s*\{", re.MULTILINE)
_DIRECTIVE = re.compile(r"^\s*#\s*(?!define\s)(\w+)", re.MULTILINE)
_GUID = re.compile(r"\{([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})\}\s+(KS[A-Z]*_?\w*)")


@dataclass(frozen=True)
class Abi:
    """What ``kshs_abi.h`` defines.

    ``cs`` holds the structures as classes (``abi.cs.kshs_step``), ``structures`` their names in the order
    of the header, ``constants`` every ``#define``, ``guids`` the GUIDs that its comments name.
    """

    cs: Any
    version: int
    structures: tuple[str, ...]
    constants: dict[str, int]
    guids: dict[str, uuid.UUID]

    def layout_text(self) -> str:
        """The layout of every structure, exactly as ``kshsctl abi`` and its hello frame give it.

        One line a structure in header order, ``name size member:offset member:offset ...``, sizes and
        offsets in decimal bytes, each line ended by a newline.
        """
        lines = []
        for name in self.structures:
            structure = getattr(self.cs, name)
            members = " ".join(f"{field.name}:{field.offset}" for field in structure.__fields__)
            lines.append(f"{name} {len(structure)} {members}\n")
        return "".join(lines)

    def difference(self, theirs: str) -> str | None:
        """The first thing in which the layout text of another side differs from ours, None if none does.

        ``theirs`` may come from a guest: it is compared and quoted in escaped, bounded form only.
        """
        ours = self.layout_text().split("\n")
        other = theirs.split("\n")
        for index, mine in enumerate(ours):
            line = other[index] if index < len(other) else ""
            if line == mine:
                continue
            if not mine:
                return f"structure {_quote(line.split(' ')[0])} exists only there"
            name = mine.split(" ")[0]
            if not line:
                return f"structure {name} is missing there"
            return _line_difference(mine.split(" "), line.split(" "))
        if len(other) > len(ours):
            return f"text after the last structure: {_quote(other[len(ours)])}"
        return None


def _quote(text: str) -> str:
    """Words of the other side, harmless and at most 80 characters long, however they are escaped."""
    quoted = ascii(text[:60])
    return quoted if len(quoted) <= 80 else f"{quoted[:76]}...'"


def _line_difference(mine: list[str], theirs: list[str]) -> str:
    """Where two layout lines, split at blanks, part."""
    name = mine[0]
    if theirs[0] != name:
        return f"structure {name} expected, found {_quote(theirs[0])}"
    for index in range(2, max(len(mine), len(theirs))):
        expected = mine[index] if index < len(mine) else "no further member"
        found = theirs[index] if index < len(theirs) else ""
        if expected != found:
            told = f"has {_quote(found)}" if found else "ends before it"
            return f"{name}: {expected} expected, the other side {told}"
    return f"{name} has {mine[1]} bytes here, {_quote(theirs[1]) if len(theirs) > 1 else 'no size'} there"


def parse(text: str, where: str = HEADER.name) -> Abi:
    """An `Abi` from the text of a header; `AbiMismatch` where it breaks the rules that its head states."""
    body = _GUARD.sub("", text)
    stray = _DIRECTIVE.search(body)
    if stray:
        raise AbiMismatch(f"#{stray[1]} is not allowed: only #define with one literal", where)
    cs = cstruct(endian="<")
    try:
        cs.load(body, align=True)
    except Exception as error:  # the parser raises its own, ValueError and KeyError
        raise AbiMismatch(f"cannot be parsed: {error}", where) from error
    constants: dict[str, int] = {}
    for name, value in cs.consts.items():
        if not isinstance(value, int):
            raise AbiMismatch(f"#define {name} is not one integer literal", where)
        constants[name] = value
    if "KSHS_ABI_VERSION" not in constants:
        raise AbiMismatch("KSHS_ABI_VERSION is not defined", where)
    structures = tuple(_STRUCTURE.findall(body))
    for name in structures:
        _check_layout(getattr(cs, name), name, where)
    guids = {name: uuid.UUID(value) for value, name in _GUID.findall(text)}
    return Abi(cs, constants["KSHS_ABI_VERSION"], structures, constants, guids)


def _check_layout(structure: Any, name: str, where: str) -> None:
    """No implicit padding: every compiler must come to the same layout whatever its packing."""
    end = 0
    for field in structure.__fields__:
        if field.offset is None or field.type.size is None:
            raise AbiMismatch(f"{name}.{field.name} has no fixed size", where)
        if field.offset != end:
            raise AbiMismatch(f"{name}: {field.offset - end} bytes of padding before {field.name}", where)
        end = field.offset + field.type.size
    if end != len(structure):
        raise AbiMismatch(f"{name}: {len(structure) - end} bytes of padding at its end", where)


@lru_cache(maxsize=1)
def load() -> Abi:
    """The project's ABI, parsed once per process."""
    return parse(HEADER.read_text(encoding="utf-8"))
