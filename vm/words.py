# SPDX-License-Identifier: Apache-2.0
"""Words for people."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """``1 scenario``, ``2 scenarios``: a number with its noun, whose plural has an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(text: str) -> str:
    """Text of a file or a guest as one line that is harmless in a terminal: no control characters."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
