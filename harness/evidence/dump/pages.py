# SPDX-License-Identifier: Apache-2.0
"""Dumps that hold pages of memory: whether such a file is whole, before a library of C++ is let at it.

kdmp-parser maps the file and believes what the header says; a page that the header counts and the file does
not
have ends its process when it is read.  Its own structures (public, MIT) are where the layouts here come from.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.evidence.dump.header import Header
from harness.evidence.dump.layout import HEADER_SIZE, TYPES
from harness.evidence.dump.source import Source

PAGE = 0x1000
#: 16 TiB of memory: a bitmap of more would be larger than any machine's.
_MAX_PAGES = 1 << 32
_CHUNK = 1 << 20
_MAX_RANGES = 1 << 20
_RANGE = 16
_RANGES_MARKER = 0x40


def check_whole(source: Source, header: Header) -> tuple[int, tuple[str, ...]]:
    """The number of pages of 4 KiB that are in the file, and what is to be said of them.

    Raises:
        DumpError: the file ends before its last page, or what it says of its pages contradicts itself.
    """
    return _CHECKS[header.dump_type](source, header)


def _runs(source: Source, header: Header) -> tuple[int, tuple[str, ...]]:
    runs = header.memory_runs
    if not runs:
        raise source.error("is damaged: its header does not say which pages of memory it holds")
    pages = sum(run.page_count for run in runs)
    if any(run.base_page + run.page_count > _MAX_PAGES for run in runs):
        raise source.error("is damaged: it is said to hold pages beyond all memory")
    _check_end(source, HEADER_SIZE, pages)
    return pages, ()


def _bitmap(source: Source, header: Header) -> tuple[int, tuple[str, ...]]:
    raw = TYPES.BITMAP(source.read(HEADER_SIZE, len(TYPES.BITMAP), "the bitmap's header"))
    if raw.signature not in (b"SDMP", b"FDMP") or raw.valid != b"DUMP":
        raise source.error(
            "is not whole: the mark before its bitmap is missing, so Windows did not finish it"
        )
    start = HEADER_SIZE + len(TYPES.BITMAP)
    size = (raw.pages + 7) // 8
    if raw.pages > _MAX_PAGES or start + size > raw.first_page:
        raise source.error("is damaged: its bitmap is larger than the room for it")
    present = 0
    for at in range(start, start + size, _CHUNK):
        part = source.read(at, min(_CHUNK, start + size - at), "the bitmap of pages")
        present += int.from_bytes(part, "little").bit_count()
    _check_end(source, raw.first_page, present)
    notes = []
    if present != raw.present_pages:
        notes.append(f"the bitmap has {present} pages, and its header says {raw.present_pages}")
    if raw.pages % 8:
        notes.append(
            f"the last {raw.pages % 8} pages of the bitmap are not read: kdmp-parser passes them over"
        )
    return present, tuple(notes)


def _ranges(source: Source, header: Header) -> tuple[int, tuple[str, ...]]:
    raw = TYPES.RANGES(source.read(HEADER_SIZE, len(TYPES.RANGES), "the header of its ranges"))
    if (raw.marker, raw.signature, raw.valid) != (_RANGES_MARKER, b"RDMP", b"DUMP"):
        raise source.error(
            "is not whole: the mark before its ranges is missing, so Windows did not finish it"
        )
    start = HEADER_SIZE + 0x30
    if raw.first_page < start or not source.holds(raw.first_page, 0):
        raise source.error("is damaged or cut short: its first page is said to be beyond the end of the file")
    room = raw.first_page - start
    if room // _RANGE > _MAX_RANGES or raw.metadata_size != room + 0x10:
        raise source.error("is damaged: the size of its ranges contradicts the place of its first page")
    pages = 0
    for at in range(start, start + room // _RANGE * _RANGE, _CHUNK):
        size = min(_CHUNK, start + room // _RANGE * _RANGE - at)
        part = source.read(at, size, "the ranges of pages")
        for offset in range(0, size, _RANGE):
            first = int.from_bytes(part[offset : offset + 8], "little")
            count = int.from_bytes(part[offset + 8 : offset + 16], "little")
            if not first:
                _check_end(source, raw.first_page, pages)
                return pages, ()
            if first + count > _MAX_PAGES:
                raise source.error("is damaged: it is said to hold pages beyond all memory")
            pages += count
    _check_end(source, raw.first_page, pages)
    return pages, ()


def _check_end(source: Source, first: int, pages: int) -> None:
    end = first + pages * PAGE
    if end > source.size:
        missing = -(-(end - source.size) // PAGE)
        raise source.error(
            f"is cut short: {missing} of its {pages} pages are missing ({source.size} bytes instead of {end})"
        )


_CHECKS: dict[int, Callable[[Source, Header], tuple[int, tuple[str, ...]]]] = {
    1: _runs,
    5: _bitmap,
    6: _bitmap,
    8: _ranges,
    9: _ranges,
    10: _ranges,
}
#: Kinds of dumps that hold pages and that kdmp-parser reads.
PAGED = frozenset(_CHECKS)
