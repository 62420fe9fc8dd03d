# SPDX-License-Identifier: Apache-2.0
"""Names of functions and drivers without what differs from build to build."""

from __future__ import annotations

import re

from harness.guest_text import one_line

MAX_NAME = 200

#: What compilers append to copies and parts of a function, and what they number.
_MASKS = (
    (re.compile(r"\.(?:llvm|part|isra|constprop|cold|lto_priv|__uniq)(?:\.\d+)*(?=\.|$)"), ""),
    (re.compile(r"<lambda_[0-9a-f]+>"), "<lambda>"),
    (re.compile(r"`anonymous[- ]namespace'|\?A0x[0-9a-f]{8}"), "(anonymous)"),
    (re.compile(r"\$\d+\b"), ""),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "#"),
)
#: The kernel's image has one name in signatures, whatever its file is called.
_KERNEL = re.compile(r"nt(?:oskrnl|krnlmp|krnlpa|krpamp|krla57)\.exe", re.IGNORECASE)


def masked(function: str) -> str:
    """A function's name, one line, without numbers that a compiler made up."""
    text = one_line(function, MAX_NAME)
    for pattern, instead in _MASKS:
        text = pattern.sub(instead, text)
    return text


def module_key(name: str) -> str:
    """A driver's file name as a key: small letters, without a path; ``nt`` for the kernel."""
    base = one_line(name.replace("/", "\\").rsplit("\\", 1)[-1], MAX_NAME).lower()
    return "nt" if _KERNEL.fullmatch(base) else base
