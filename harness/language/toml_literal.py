# SPDX-License-Identifier: Apache-2.0
"""Values and comments as TOML has them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any


def literal(value: Any) -> str:
    """A value of one line: text, number, truth, list or table."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        # TOML's integers have 64 bits with a sign.
        return str(value) if -(1 << 63) <= value < 1 << 63 else f'"{value:#x}"'
    if isinstance(value, uuid.UUID):
        return f'"{str(value).upper()}"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {literal(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    text = str(value)
    if "\\" in text and "'" not in text and text.isprintable():
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def comment(text: str) -> str:
    """A comment of one line; what is no visible character is none there either."""
    return "# " + "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split())
    )
