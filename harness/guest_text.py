# SPDX-License-Identifier: Apache-2.0
"""Text and JSON that a guest sent, made harmless where it comes in.

A guest runs drivers that are wrong by profession: its words go to terminals, reports and files of ours, and
its JSON may be anything.  What passes here has no control characters, and is bounded in length, depth and
number.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

#: Characters of one text, levels of one JSON value, entries of one list or table, digits of one number.
MAX_TEXT = 4096
MAX_DEPTH = 16
MAX_ENTRIES = 4096
#: Numbers beyond 64 bits, signed or not, are text from here on: nothing that a kernel says is one.
_LOW, _HIGH = -(1 << 63), (1 << 64) - 1

_REPLACED = "\N{REPLACEMENT CHARACTER}"
#: Unicode's categories of what is no visible character: controls, formats (the bidi overrides among them),
#: surrogates, private use, unassigned, line and paragraph separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


Tidy = Callable[[str], str]


class GuestJsonError(ValueError):
    """What a guest sent is not the JSON that was expected; the text says what it is instead."""


def one_line(text: str, limit: int = MAX_TEXT) -> str:
    """Guest's text as one line of visible characters; white space becomes single blanks."""
    return _visible(" ".join(text[: 4 * limit].split()))[:limit]


def shown(name: str) -> str:
    """The name of a file as terminals may see it: as it is, unless it has what is no visible character."""
    return name if name.isprintable() else one_line(name)


def lines(text: str, limit: int = MAX_TEXT) -> str:
    """Guest's text with its lines and tabs kept, everything else made visible."""
    kept = text[: 2 * limit].replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(_visible, line.split("\t"))) for line in kept)[:limit].rstrip()


def _visible(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or unicodedata.category(c) not in _HIDDEN else _REPLACED for c in text
    )


def load_object(text: str | bytes, tidy: Tidy | None = None) -> dict[str, Any]:
    """One JSON object from a guest, cleaned; see `clean`.

    Raises:
        GuestJsonError: it is no JSON, another value than an object, or nested too deeply.
    """
    value = load(text, tidy)
    if not isinstance(value, dict):
        raise GuestJsonError(f"a JSON {_kind(value)} instead of an object")
    return value


def load(text: str | bytes, tidy: Tidy | None = None) -> Any:
    """Any JSON value from a guest, cleaned; see `clean`.

    Raises:
        GuestJsonError: it is no JSON, or nested too deeply.
    """
    try:
        value = json.loads(text, parse_int=_integer, parse_constant=lambda name: None)
    except RecursionError:
        raise GuestJsonError("JSON that is nested too deeply") from None
    except ValueError as error:
        raise GuestJsonError(f"no JSON: {one_line(str(error), 200)}") from None
    return clean(value, tidy=tidy)


def clean(value: Any, depth: int = MAX_DEPTH, *, tidy: Tidy | None = None) -> Any:
    """A JSON value with its texts made harmless, and bounded.

    What is too deep becomes None, what is too many is left out, a number that is none (NaN) becomes None.
    ``tidy`` is what makes a text harmless, `one_line` unless told otherwise.
    """
    if isinstance(value, str):
        return (tidy or one_line)(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if _LOW <= value <= _HIGH else one_line(hex(value), 80)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth <= 0:
        return None
    if isinstance(value, Mapping):
        entries = list(value.items())[:MAX_ENTRIES]
        return {one_line(str(key), 200): clean(item, depth - 1, tidy=tidy) for key, item in entries}
    if isinstance(value, (list, tuple)):
        return [clean(item, depth - 1, tidy=tidy) for item in value[:MAX_ENTRIES]]
    return one_line(str(value))


def _integer(digits: str) -> int | str:
    # int() refuses thousands of digits with an error of its own.
    return int(digits) if len(digits) <= 40 else f"{digits[:20]}... ({len(digits)} digits)"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "truth value", int: "number", float: "number", str: "text", list: "list", dict: "object"}
    return names[type(value)]
