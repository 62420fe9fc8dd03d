# SPDX-License-Identifier: Apache-2.0
"""KSHANDSHAKE as data (rule H10): packing and unpacking for both pointer sizes."""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass


def handshake_size(pointer_size: int) -> int:
    """sizeof(KSHANDSHAKE): 32 with pointers of 8 bytes, 24 with 4 (rule H2)."""
    return 16 + 2 * pointer_size


@dataclass(frozen=True, slots=True)
class HandshakeData:
    """{ GUID ProtocolId; PVOID Argument1; PVOID Argument2; } with its pointers as numbers."""

    protocol: uuid.UUID
    argument1: int = 0
    argument2: int = 0

    def narrowed(self, pointer_size: int) -> HandshakeData:
        """As a kernel of that pointer size can hold it: arguments are cut."""
        mask = (1 << 8 * pointer_size) - 1
        return HandshakeData(self.protocol, self.argument1 & mask, self.argument2 & mask)

    def flipped(self, bit: int) -> HandshakeData:
        """With one bit of the protocol the other way; bit 0 is the lowest of its first byte in memory."""
        protocol = bytearray(self.protocol.bytes_le)
        protocol[bit // 8] ^= 1 << bit % 8
        return HandshakeData(uuid.UUID(bytes_le=bytes(protocol)), self.argument1, self.argument2)

    def pack(self, pointer_size: int) -> bytes:
        """The bytes of the structure; arguments are cut to the pointer size."""
        cut = self.narrowed(pointer_size)
        return self.protocol.bytes_le + struct.pack(
            "<II" if pointer_size == 4 else "<QQ", cut.argument1, cut.argument2
        )

    @classmethod
    def unpack(cls, data: bytes, pointer_size: int) -> HandshakeData | None:
        """From the first bytes of a buffer; None where it is too short to hold one."""
        if len(data) < handshake_size(pointer_size):
            return None
        first, second = struct.unpack_from("<II" if pointer_size == 4 else "<QQ", data, 16)
        return cls(uuid.UUID(bytes_le=data[:16]), first, second)
