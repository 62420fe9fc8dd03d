# SPDX-License-Identifier: Apache-2.0
r"""What SetupAPI wrote into its log about one installation (%SystemRoot%\INF\setupapi.dev.log).

The format is that of "SetupAPI Text Logs" (Windows driver documentation): sections from a line
``>>>  [title - instance]`` to a line ``<<<  [Exit status: ...]``, entries that begin with ``!!!``
for errors and ``!`` for warnings.  The log is ANSI text by its documentation; files with a byte
order mark (UTF-8, UTF-16) are read as well.  It has megabytes, and other installations write to
it: only what came since a mark is fetched, at most `MOST` bytes of that, and only the sections of
the device or the INF are kept.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import DeployError

if TYPE_CHECKING:
    from harness.guests.kshsctl import Kshsctl

VERB = "setupapi-log"
#: Bytes of the log that are looked at, from its end backwards.
MOST = 1 << 20
#: Lines that an error shows.
SHOWN = 5

_BEGIN = re.compile(r">>>\s*\[")
_END = "<<<"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Mark:
    """Where the log ended; `length` is in bytes."""

    length: int


def mark(guest: Kshsctl) -> Mark:
    """Remembers the end of the log; a guest that has none, or does not show it, begins at its start."""
    try:
        return Mark(_length(guest.call(VERB)))
    except DeployError:
        return Mark(0)


def since(guest: Kshsctl, begin: Mark) -> str:
    """What was written since the mark, decoded; at most the last `MOST` bytes of it.

    Raises:
        DeployError: the guest has no log, or does not show it.
    """
    first = guest.call(VERB)
    length = _length(first)
    # Windows begins a new file when the old one has grown too large.
    start = begin.length if begin.length <= length else 0
    start = max(start, length - MOST)
    head = _bytes(first, "head")
    if head.startswith(_UTF_16):
        start -= start % 2
    data = bytearray()
    while start + len(data) < length:
        piece = _bytes(guest.call(VERB, str(start + len(data))), "data")
        if not piece:
            break
        data += piece[: length - start - len(data)]
    return decode(bytes(data), head)


def decode(data: bytes, head: bytes) -> str:
    """Text of a piece of the log; `head` is how the file begins."""
    if head.startswith(_UTF_16):
        encoding = "utf-16-le" if head.startswith(b"\xff") else "utf-16-be"
        return data.decode(encoding, errors="replace").removeprefix("\ufeff")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def sections(text: str) -> Iterator[list[str]]:
    """The sections of a piece of the log; one that is cut off at either end is one, too."""
    current: list[str] = []
    ended = False
    for line in text.splitlines():
        if _BEGIN.match(line) or (ended and not line.startswith(_END)):
            if current:
                yield current
            current, ended = [], False
        if line.strip() or current:
            current.append(line)
        ended = ended or line.startswith(_END)
    if current:
        yield current


def about(text: str, names: Sequence[str]) -> str:
    """The sections that name one of these (hardware id, INF); all of the text where none does."""
    wanted = [name.casefold() for name in names if name]
    found = [
        section
        for section in sections(text)
        if any(name in line.casefold() for line in section for name in wanted)
    ]
    return "\n".join("\n".join(section) for section in found) + "\n" if found else text


def last_words(text: str, count: int = SHOWN) -> list[str]:
    """The lines that say most: errors, before them warnings, and how the last section ended."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("!!!")]
    telling = errors or [line for line in lines if line.startswith("!")]
    status = [line for line in lines if line.startswith(_END) and "exit status" in line.casefold()][-1:]
    chosen = telling[-(count - len(status)) :] + status
    return [" ".join(line.split())[:300] for line in chosen or lines[-count:]]


def _length(answer: Mapping[str, Any]) -> int:
    length = answer.get("length")
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        raise DeployError("the log's length is no number", step=VERB)
    return length


def _bytes(answer: Mapping[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode(str(answer.get(key) or ""), validate=True)
    except (binascii.Error, ValueError):
        raise DeployError("a piece of the log is not base64", step=VERB) from None
