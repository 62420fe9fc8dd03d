# SPDX-License-Identifier: Apache-2.0
"""Crash records of a guest (docs/agent.md) in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def crash_lines(text: str) -> list[str]:
    """One sentence a crash, from the recorder's JSON lines or a bugcheck's line of Wine.

    A record of `kshsctl crash` becomes a sentence (`crash_sentence`); of a line that
    is no such thing the text itself is kept: evidence is not thrown away because it is torn.
    """
    lines = []
    for line in text.splitlines():
        line = line.strip()
        if not line:
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            lines.append(line[:500])
            continue
        lines.append(crash_sentence(record))
    return lines


def crash_sentence(record: Mapping[str, Any]) -> str:
    """A crash record of `kshsctl` (docs/agent.md) in words: code, module and offset, access, process."""
    code = _hexadecimal(record.get("code"))
    process = f" in {record['process']}" if record.get("process") else ""
    if record.get("kind") == "bugcheck":
        return f"bugcheck {code}{process}"[:500]
    fault = record.get("fault")
    place = fault if isinstance(fault, Mapping) else record
    if place.get("module"):
        where = f" at {place['module']}+{_hexadecimal(place.get('offset'))}"
    else:
        where = f" at {_hexadecimal(place['address'])}" if place.get("address") is not None else ""
    # The fault may lie in a library that a driver called wrongly: the record names the nearest driver.
    driver = record.get("driver")
    if driver and driver != place.get("module"):
        where += f", called by {driver}"
    if record.get("access"):
        where += f", {record['access']} of {_hexadecimal(record.get('target'))}"
    return f"exception {code}{where}{process}"[:500]


def _hexadecimal(value: Any) -> str:
    return f"0x{value:X}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
