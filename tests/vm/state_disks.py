# SPDX-License-Identifier: Apache-2.0
"""Headers of qcow2 disks, without a disk behind them."""

from __future__ import annotations

import struct

#: What QEMU 7 and later writes: the form of what lies below, and names of features.
FORM = (0xE2792ACA, b"raw")
FEATURES = (0x6803F857, b"\0\0dirty bit".ljust(48, b"\0"))


def disk(
    base: bytes = b"image",
    *extensions: tuple[int, bytes],
    magic: bytes = b"QFI\xfb",
    version: int = 3,
    bits: int = 16,
    encrypted: int = 0,
    incompatible: int = 0,
    autoclear: int = 0,
    header: int = 112,
    size: int | None = None,
    length: int = 131072,
) -> bytes:
    """One whose header says this, and that lies on what is called so."""
    more = b"".join(
        struct.pack(">II", kind, len(data)) + data.ljust(-len(data) % 8 + len(data), b"\0")
        for kind, data in (extensions or (FORM, FEATURES))
    )
    place = 112 + len(more) + 8
    fixed = struct.pack(">4sIQIIQII", magic, version, place, len(base), bits, 1 << 30, encrypted, 1)
    fixed += struct.pack(">QQIIQ", 3 << 16, 1 << 16, 1, 1, 5 << 16)
    fixed += struct.pack(">QQQII", incompatible, 0, autoclear, 4, header)
    whole = bytearray((fixed.ljust(112, b"\0") + more + bytes(8) + base).ljust(length, b"\0"))
    if size is not None:
        struct.pack_into(">I", whole, 16, size)
    return bytes(whole[:length])
