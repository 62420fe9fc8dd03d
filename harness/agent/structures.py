# SPDX-License-Identifier: Apache-2.0
"""Structures of the ABI header as `struct.Struct`: what the session packs and unpacks for every step.

dissect.cstruct reads the header once and walks over the members of a structure each time it is read
or written, which takes ten times as long as all else that is done for a request.  The layout is
still the header's: it is taken from what cstruct made of it.
"""

from __future__ import annotations

import struct
from collections import namedtuple
from functools import cache
from typing import Any

#: Members that are whole numbers, by their size; all of them are unsigned in the header.
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


class StructCodec:
    """One structure of the header, without padding (`drivers.abi` has checked that).

    Args:
        structure: cstruct's class of it.  Its members are whole numbers; structures and arrays inside
            it are plain bytes here.

    Raises:
        ValueError: a member is of a kind that the header does not have.
    """

    def __init__(self, structure: Any) -> None:
        codes = []
        for member in structure.__fields__:
            if issubclass(member.type, int):
                size = member.type.size
                # cstruct takes the bytes for what they are, so all ones tell whether there is a sign.
                if size not in _CODES or int(member.type(b"\xff" * size)) < 0:
                    raise ValueError(f"{structure.__name__}.{member.name} is not an unsigned number")
                codes.append(_CODES[size])
            else:
                codes.append(f"{member.type.size}s")
        self._struct = struct.Struct("<" + "".join(codes))
        self.size = self._struct.size
        if self.size != len(structure):
            raise ValueError(f"{structure.__name__} has {len(structure)} bytes, its members {self.size}")
        self.names = tuple(member.name for member in structure.__fields__)
        self._blank = {
            name: 0 if code[-1] != "s" else bytes(int(code[:-1]))
            for name, code in zip(self.names, codes, strict=True)
        }
        make: Any = namedtuple  # its members come from the header: no type checker knows them
        self._tuple: Any = make(structure.__name__, self.names)

    def pack(self, **members: int | bytes) -> bytes:
        """The bytes of one; members that are left out are 0.

        Raises:
            KeyError: there is no such member.
            struct.error: a value does not fit.
        """
        values = {**self._blank, **members}
        if len(values) != len(self.names):
            raise KeyError(*(values.keys() - set(self.names)))
        return self._struct.pack(*values.values())

    def unpack(self, data: bytes | bytearray | memoryview) -> Any:
        """One from the first bytes of `data`, as a tuple with names."""
        return self._tuple._make(self._struct.unpack_from(data))


@cache
def codec(structure: Any) -> StructCodec:
    """The same, made once for each structure."""
    return StructCodec(structure)
