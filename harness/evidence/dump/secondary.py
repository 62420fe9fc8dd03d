# SPDX-License-Identifier: Apache-2.0
"""Secondary data behind a triage dump: what drivers and the kernel added, each under a GUID.

A driver puts it there from a KbCallbackSecondaryDumpData callback; it is known by its GUID alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from harness.evidence.dump.layout import TYPES
from harness.evidence.dump.source import Source

MAX_BLOBS = 4096
_SIGNATURE = b"DumpBlob"


@dataclass(frozen=True, slots=True)
class Secondary:
    """One piece: whose, where in the file, how many bytes."""

    guid: UUID
    offset: int
    size: int


def read_secondary(source: Source, offset: int) -> tuple[tuple[Secondary, ...], tuple[str, ...]]:
    """The pieces behind the dump itself, and what could not be read of them."""
    if not source.holds(offset, len(TYPES.BLOB_FILE)):
        return (), ()
    head = TYPES.BLOB_FILE(source.read(offset, len(TYPES.BLOB_FILE), "the secondary data"))
    if head.signature != _SIGNATURE:
        return (), ()
    size = len(TYPES.BLOB)
    at = offset + max(head.header_size, len(TYPES.BLOB_FILE))
    found: list[Secondary] = []
    while source.holds(at, size):
        blob = TYPES.BLOB(source.read(at, size, "the head of secondary data"))
        # The list ends with the file, or with zeros, behind which something else may follow.
        if blob.header_size == 0:
            break
        start = at + blob.header_size + blob.pre_pad
        if blob.header_size < size or not source.holds(start, blob.data_size):
            return tuple(found), ("the secondary data are damaged or cut short",)
        if len(found) == MAX_BLOBS:
            return tuple(found), (f"more than {MAX_BLOBS} pieces of secondary data, which were not read",)
        found.append(Secondary(UUID(bytes_le=bytes(blob.tag)), start, blob.data_size))
        at = start + blob.data_size + blob.post_pad
    return tuple(found), ()
