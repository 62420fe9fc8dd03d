# SPDX-License-Identifier: Apache-2.0
"""The images of the drivers that are counted, as they lie in memory."""

from __future__ import annotations

import functools
import struct
from bisect import bisect_left
from pathlib import Path
from typing import Any

import pefile

from harness.errors import UsageError
from harness.evidence.symbols.files import ImageFile

_DIR64 = 10
"""IMAGE_REL_BASED_DIR64 of Microsoft's "PE Format": the only kind that x64 images have in code."""


class CodeImage(ImageFile):
    """An image whose code can be compared with what a guest executes.

    Raises:
        UsageError: it is no image of 64-bit Windows.
    """

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(path)
        except (OSError, pefile.PEFormatError, ValueError) as error:
            raise UsageError(f"is no image of 64-bit Windows: {error}", str(path)) from None
        if self.facts is None:
            raise UsageError("is no image of 64-bit Windows", str(path))

    @property
    def size(self) -> int:
        """Bytes that it takes in memory."""
        return int(self._pe.OPTIONAL_HEADER.SizeOfImage)

    @property
    def preferred_base(self) -> int:
        """Where it would like to lie."""
        return int(self._pe.OPTIONAL_HEADER.ImageBase)

    @functools.cached_property
    def exports(self) -> dict[str, int]:
        """Exported functions by name, with their offsets; forwarded ones are left out."""
        table = self._directory("EXPORT")
        if table is None:
            return {}
        return {
            symbol.name.decode("ascii", "replace"): int(symbol.address)
            for symbol in table.symbols
            if symbol.name and symbol.forwarder is None and self.is_code(int(symbol.address))
        }

    @functools.cached_property
    def code(self) -> tuple[tuple[int, int], ...]:
        """Offsets of the executable sections, each begin and end."""
        executable = 0x20000000  # IMAGE_SCN_MEM_EXECUTE
        return tuple(
            (
                int(part.VirtualAddress),
                int(part.VirtualAddress + max(part.Misc_VirtualSize, part.SizeOfRawData)),
            )
            for part in self._pe.sections
            if part.Characteristics & executable
        )

    def is_code(self, offset: int) -> bool:
        """Whether an offset lies in an executable section."""
        return any(begin <= offset < end for begin, end in self.code)

    def loaded_at(self, base: int, offset: int, size: int) -> bytes | None:
        """Bytes as they are where the image lies at `base`; None where it has none there."""
        data = self.read(offset, size)
        delta = (base - self.preferred_base) & 0xFFFFFFFFFFFFFFFF
        if data is None or not delta:
            return data
        before = bisect_left(self._relocations, offset - 7)
        fields = self._relocations[before : bisect_left(self._relocations, offset + size)]
        if not fields:
            return data
        start = min(offset, *fields)
        wide = self.read(start, max(offset + size, fields[-1] + 8) - start)
        if wide is None:
            return data
        moved = bytearray(wide)
        for field in fields:
            (value,) = struct.unpack_from("<Q", moved, field - start)
            struct.pack_into("<Q", moved, field - start, (value + delta) & 0xFFFFFFFFFFFFFFFF)
        return bytes(moved[offset - start : offset - start + size])

    def _directory(self, name: str) -> Any:
        """One of pefile's directories; None where the image has none that can be read.

        An image may come from a guest, and pefile checks much, but a damaged one may still lead it anywhere.
        """
        try:
            self._pe.parse_data_directories([pefile.DIRECTORY_ENTRY[f"IMAGE_DIRECTORY_ENTRY_{name}"]])
        except (pefile.PEFormatError, ValueError, LookupError, ArithmeticError, AttributeError, TypeError):
            return None
        return getattr(self._pe, f"DIRECTORY_ENTRY_{name}", None)

    @functools.cached_property
    def _relocations(self) -> list[int]:
        blocks = self._directory("BASERELOC") or ()
        return sorted(int(entry.rva) for block in blocks for entry in block.entries if entry.type == _DIR64)
