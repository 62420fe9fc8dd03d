# SPDX-License-Identifier: Apache-2.0
"""The text of a file as people have it: with or without a byte-order mark, saved on Windows or not."""

from __future__ import annotations

import codecs

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
SAVE_AS = "save it as UTF-8"


class NotTextError(Exception):
    """The bytes are no UTF-8; the message says what they are instead, `line` where it shows (from 1)."""

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.line = line


def decode(raw: bytes) -> str:
    """The text of a file in UTF-8, without its byte-order mark, each line ended as in the file.

    Raises:
        NotTextError: it is UTF-16, as Windows' programs write it, holds NUL bytes, or is no UTF-8 at all.
    """
    if raw.startswith(_UTF16) or (raw[1:2] == b"\0" != raw[:1]) or (raw[:1] == b"\0" != raw[1:2]):
        raise NotTextError("is UTF-16, where UTF-8 is needed")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise NotTextError("is not UTF-8", raw.count(b"\n", 0, problem.start) + 1) from None
    if "\0" in text:
        raise NotTextError("holds NUL bytes and is no text", text.count("\n", 0, text.index("\0")) + 1)
    return text
