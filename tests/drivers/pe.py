# SPDX-License-Identifier: Apache-2.0
"""Driver images made by hand, for tests that start no linker."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

_SECTION = 0x1000
_RAW = 0x400


def driver_image(imported: Mapping[str, Sequence[str]], data: bytes = b"") -> bytes:
    """A PE32+ image for x64 with one section: an import directory, and bytes of data behind it."""
    descriptors, tail = b"", b""
    base = _SECTION + 20 * (len(imported) + 1)
    for module, names in imported.items():
        tables = base + len(tail)
        text_at = tables + 16 * (len(names) + 1)
        texts, slots = b"", []
        for name in names:
            slots.append(text_at + len(texts))
            entry = struct.pack("<H", 0) + name.encode() + b"\0"
            texts += entry + bytes(len(entry) % 2)
        name_at = text_at + len(texts)
        words = struct.pack(f"<{len(slots) + 1}Q", *slots, 0)
        descriptors += struct.pack("<5I", tables, 0, 0, name_at, tables + len(words))
        tail += words + words + texts + module.encode() + b"\0"
        tail += bytes(-len(tail) % 8)
    content = descriptors + bytes(20) + tail + data
    size = -(-len(content) // 0x200) * 0x200
    head = b"MZ" + bytes(58) + struct.pack("<I", 0x40)
    head += b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 240, 0x22)
    optional = struct.pack("<HBBIIIII", 0x20B, 14, 0, 0, size, 0, 0, _SECTION)
    versions = (6, 0, 0, 0, 6, 0)
    optional += struct.pack("<QII6H", 0x140000000, 0x1000, 0x200, *versions)
    optional += struct.pack("<IIIIHH", 0, 0x10000, _RAW, 0, 1, 0)
    optional += struct.pack("<QQQQII", 0x100000, 0x1000, 0x100000, 0x1000, 0, 16)
    optional += struct.pack("<4I", 0, 0, _SECTION, 20 * (len(imported) + 1)) + bytes(14 * 8)
    head += optional
    head += struct.pack("<8s6I2HI", b".data", len(content), _SECTION, size, _RAW, 0, 0, 0, 0, 0xC0000040)
    return head + bytes(_RAW - len(head)) + content + bytes(size - len(content))
