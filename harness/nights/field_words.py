# SPDX-License-Identifier: Apache-2.0
"""Values of fields as people read them."""

from __future__ import annotations

import json

from harness import ntstatus
from harness.store.values import Value

_STATUS_FIELDS = frozenset({"detail", "answer", "returned", "status", "seen.returned"})
_HEX_FIELDS = frozenset({"argument1", "argument2", "flags"})


def value_words(field: str, value: Value) -> str:
    """A value as reports show it."""
    if value is None:
        return "nothing"
    if isinstance(value, int) and field in _STATUS_FIELDS:
        return ntstatus.name(value & 0xFFFFFFFF)
    if isinstance(value, int) and field in _HEX_FIELDS:
        return f"0x{value:X}"
    return str(value)


def values_in_words(field: str, seen: str) -> str:
    """The values that a field was seen to have, from their JSON."""
    return " or ".join(value_words(field, value) for value in json.loads(seen))
