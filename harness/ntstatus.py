# SPDX-License-Identifier: Apache-2.0
"""NTSTATUS values by name and names by value.

The table `ntstatus.json` is generated from mingw-w64's public `ntstatus.h` by
``python -m harness.ntstatus HEADER`` and checked in, so that a run needs no header.
"""

from __future__ import annotations

import json
import re
import sys
from difflib import get_close_matches
from functools import cache
from pathlib import Path

_TABLE = Path(__file__).with_name("ntstatus.json")
_DEFINE = re.compile(r"^#define\s+(\w+)\s+\(\(NTSTATUS\)\s*(0x[0-9A-Fa-f]{1,8})L?\)", re.MULTILINE)

SUCCESS = 0x00000000
PENDING = 0x00000103
INVALID_PARAMETER = 0xC000000D
NO_SUCH_DEVICE = 0xC000000E
INVALID_DEVICE_REQUEST = 0xC0000010
INVALID_BUFFER_SIZE = 0xC0000206
CANCELLED = 0xC0000120


@cache
def _values() -> dict[str, int]:
    table: dict[str, str] = json.loads(_TABLE.read_text("utf-8"))
    return {symbol: int(number, 16) for symbol, number in table.items()}


@cache
def _names() -> dict[int, str]:
    """The first name of each value: STATUS_SUCCESS stands before STATUS_WAIT_0 in the table."""
    names: dict[int, str] = {}
    for symbol, number in _values().items():
        names.setdefault(number, symbol)
    return names


def symbol(value: int) -> str | None:
    """The symbolic name alone, or None where the value has none."""
    return _names().get(value & 0xFFFFFFFF)


def name(value: int) -> str:
    """A status for people: ``STATUS_INVALID_BUFFER_SIZE (0xC0000206)``, or just ``0xDEADF00D``."""
    number = value & 0xFFFFFFFF
    known = symbol(number)
    return f"{known} (0x{number:08X})" if known else f"0x{number:08X}"


def value(text: str | int) -> int:
    """The number behind a name or a hexadecimal number.

    Args:
        text: ``STATUS_...`` in any case, with or without the prefix, ``0x...``, or a number;
            a negative number is taken as the 32-bit NTSTATUS of that sign.

    Raises:
        ValueError: no such name, or out of 32 bits; the message names the nearest known one.
    """
    if isinstance(text, int):
        number = text
    elif re.fullmatch(r"0[xX][0-9A-Fa-f]+", text.strip()):
        number = int(text, 16)
    else:
        wanted = text.strip().upper()
        for candidate in (wanted, f"STATUS_{wanted}"):
            if candidate in _values():
                return _values()[candidate]
        near = get_close_matches(wanted, _values(), n=1, cutoff=0.6)
        raise ValueError(
            f"no NTSTATUS is named {text!r}"
            + (f"; did you mean {near[0]}?" if near else "; write it as 0x...")
        )
    if not -0x80000000 <= number <= 0xFFFFFFFF:
        raise ValueError(f"{text!r} does not fit the 32 bits of an NTSTATUS")
    return number & 0xFFFFFFFF


def is_success(status: int) -> bool:
    """``NT_SUCCESS``: severity success or informational."""
    return status & 0x80000000 == 0


def is_error(status: int) -> bool:
    """``NT_ERROR``: severity error; a warning (0x8...) is neither success nor error."""
    return status & 0xC0000000 == 0xC0000000


def read_header(text: str) -> dict[str, int]:
    """All ``#define NAME ((NTSTATUS)0x...)`` of a header, in its order."""
    return {found[1]: int(found[2], 16) for found in _DEFINE.finditer(text)}


def _regenerate(header: Path) -> int:
    table = sorted(
        read_header(header.read_text("utf-8", "replace")).items(), key=lambda item: (item[1], item[0])
    )
    lines = ",\n".join(f'{json.dumps(symbol)}: "0x{number:08X}"' for symbol, number in table)
    _TABLE.write_text("{\n" + lines + "\n}\n", "utf-8")
    return len(table)


if __name__ == "__main__":
    print(_regenerate(Path(sys.argv[1])), "names")
