# SPDX-License-Identifier: Apache-2.0
"""The disk that recordings begin with: which image lies below it, as its header says, and no more of it.

A qcow2 file names the file below it by a path, and QEMU opens whatever is named there: a file of the host, or
a description of anything that QEMU can open.  So the name is read and written here, in the header alone, and
a header that asks for more than a name is refused (docs/interop/qcow2.rst of QEMU).
"""

from __future__ import annotations

import struct
from pathlib import Path

from vm.errors import VmError

HEAD_BYTES = 65536
"""Of the header: one cluster, in which everything lies that is looked at here."""
NOWHERE = "image"
"""The name of the image below a disk that is on its way to another machine."""

_FIXED = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_MAGIC, _VERSION, _CLUSTER_BITS = b"QFI\xfb", 3, 16
_LEAST_HEADER, _MOST_NAME = 104, 1023
_END, _FORM, _FEATURES = 0, 0xE2792ACA, 0x6803F857


def base_of(head: bytes) -> str:
    """The name of the file below a disk.

    Args:
        head: its first `HEAD_BYTES`.

    Raises:
        ValueError: this is no disk that a state is kept in; what is wrong with it, in a few words.
    """
    place, size = _name(head)
    try:
        return head[place : place + size].decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("the name of the image below it is no text") from None


def set_base(disk: Path, base: str) -> None:
    """Names another file below a disk.

    Raises:
        VmError: it is none that a state is kept in, or the name is too long.
    """
    name = base.encode()
    with disk.open("r+b") as file:
        head = file.read(HEAD_BYTES)
        try:
            place, size = _name(head)
            if len(name) > _MOST_NAME or place + len(name) > HEAD_BYTES:
                raise ValueError("the name of the image below it would be too long")
        except ValueError as error:
            raise VmError(f"no state can be kept in it: {error}", str(disk)) from None
        file.seek(place)
        file.write(name.ljust(size, b"\0"))
        file.seek(16)
        file.write(struct.pack(">I", len(name)))


def _name(head: bytes) -> tuple[int, int]:
    """Where the name lies, and how many bytes it has."""
    if len(head) < HEAD_BYTES:
        raise ValueError("it is too short")
    magic, version, place, size, bits, _, encrypted, *rest = _FIXED.unpack_from(head)
    incompatible, _, autoclear, _, header = rest[6:]
    if (magic, version, bits) != (_MAGIC, _VERSION, _CLUSTER_BITS):
        raise ValueError("it is no qcow2 disk of the kind that is made here")
    if encrypted or incompatible or autoclear:
        raise ValueError("its header asks for more than the disk itself")
    if not _LEAST_HEADER <= header <= HEAD_BYTES or any(head[_LEAST_HEADER:header]):
        raise ValueError("its header is of another kind")
    if not 1 <= size <= _MOST_NAME or not header <= place <= HEAD_BYTES - size:
        raise ValueError("it names no image below it")
    _look_at_extensions(head[:place], header)
    return place, size


def _look_at_extensions(head: bytes, place: int) -> None:
    """That none of what follows the header names another file, or another form than a plain image's."""
    while place + 8 <= len(head):
        kind, size = struct.unpack_from(">II", head, place)
        if kind == _END:
            return
        data = head[place + 8 : place + 8 + size]
        if len(data) != size or kind not in (_FORM, _FEATURES) or (kind == _FORM and data != b"raw"):
            raise ValueError("its header asks for more than the disk itself")
        place += 8 + (size + 7) // 8 * 8
