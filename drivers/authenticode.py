# SPDX-License-Identifier: Apache-2.0
"""The hash by which Authenticode and catalogues know a file.

For PE images that is SHA-256 over the file without what signing changes: the checksum, the entry of the
certificate table in the data directory, and that table (Windows Authenticode Portable Executable Signature
Format, "Calculating the PE Image Hash").  For all other files it is SHA-256 over everything.
"""

from __future__ import annotations

import hashlib
import struct

from drivers.errors import PackageError

_CHECKSUM_OFFSET = 64  # in the optional header, 32 and 64 bits alike
_SECURITY_DIRECTORY = 4
_MAGIC_DIRECTORIES = {0x10B: 96, 0x20B: 112}


def is_pe(data: bytes) -> bool:
    """Whether these bytes begin like an image for Windows."""
    if data[:2] != b"MZ" or len(data) < 0x40:
        return False
    (header,) = struct.unpack_from("<I", data, 0x3C)
    return data[header : header + 4] == b"PE\0\0"


def file_hash(data: bytes, where: str = "file", algorithm: str = "sha256") -> bytes:
    """The hash of a catalogue's member, 32 bytes with SHA-256."""
    return pe_hash(data, where, algorithm) if is_pe(data) else hashlib.new(algorithm, data).digest()


def pe_hash(data: bytes, where: str = "image", algorithm: str = "sha256") -> bytes:
    """The Authenticode hash of a PE image, signed or not; `PackageError` where its headers are broken."""
    try:
        (header,) = struct.unpack_from("<I", data, 0x3C)
        optional = header + 24
        (magic,) = struct.unpack_from("<H", data, optional)
        directories = optional + _MAGIC_DIRECTORIES[magic]
        (count,) = struct.unpack_from("<I", data, directories - 4)
        if count <= _SECURITY_DIRECTORY:
            raise PackageError("PE image has no place for a signature", where)
        entry = directories + 8 * _SECURITY_DIRECTORY
        table, size = struct.unpack_from("<II", data, entry)
    except (struct.error, KeyError) as error:
        raise PackageError("PE headers are broken", where) from error
    checksum = optional + _CHECKSUM_OFFSET
    end = len(data)
    if size:
        if table < entry + 8 or table + size != end:
            raise PackageError("certificate table does not lie at the end of the file", where)
        end = table
    digest = hashlib.new(algorithm)
    digest.update(data[:checksum])
    digest.update(data[checksum + 4 : entry])
    digest.update(data[entry + 8 : end])
    # A certificate table begins at a multiple of eight: signing pads the file with zeros before it.
    digest.update(b"\0" * (-end % 8))
    return digest.digest()
