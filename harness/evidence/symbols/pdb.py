# SPDX-License-Identifier: Apache-2.0
"""What purepdb says of a PDB: whose it is, and where its functions begin and end."""

from __future__ import annotations

import functools
import hashlib
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from purepdb import PDB, PdbError, c13

from harness.errors import HarnessError

_MAX_PDB = 2 << 30
#: Kinds of checksums of source files (cvinfo.h of Microsoft's microsoft-pdb, CHKSUM_TYPE_...).
_CHECKSUMS = {1: "md5", 2: "sha1", 3: "sha256"}


@dataclass(frozen=True, slots=True)
class PdbIdentity:
    """GUID, and the ages that an image of it may have: of the file, and of its debug information."""

    guid: str
    ages: frozenset[int]


@dataclass(frozen=True, slots=True)
class Function:
    """A function: name, RVA and bytes."""

    name: str
    rva: int
    size: int


@dataclass(frozen=True)
class PdbFunctions:
    """The functions of a PDB whose sizes are known, by their RVA; of all of them lines: RVA, file, number."""

    functions: Sequence[Function]
    _starts: Sequence[int]
    lines: Sequence[tuple[int, str, int]]

    def around(self, rva: int) -> Function | None:
        """The function that an address lies in."""
        index = bisect_right(self._starts, rva) - 1
        if index < 0:
            return None
        found = self.functions[index]
        return found if rva < found.rva + found.size else None

    def line(self, rva: int) -> tuple[str, int] | None:
        """File and line of an address; of inlined code the line is the function's that was inlined."""
        function = self.around(rva)
        index = bisect_right(self.lines, rva, key=lambda line: line[0]) - 1
        if function is None or index < 0 or self.lines[index][0] < function.rva:
            return None
        return self.lines[index][1:]


class PdbUnreadableError(HarnessError):
    """A PDB is damaged, or of a kind that is not read."""


@contextmanager
def _opened(path: Path) -> Iterator[PDB]:
    """An open PDB.

    Raises:
        PdbUnreadableError: it is none, or damaged.
    """
    try:
        if path.stat().st_size > _MAX_PDB:
            raise PdbUnreadableError("is too large for a PDB", str(path))
        with PDB.open(str(path)) as pdb:
            yield pdb
    except PdbUnreadableError:
        raise
    # purepdb checks much, and a damaged file may still lead it anywhere.
    except (PdbError, OSError, ValueError, LookupError, ArithmeticError, AttributeError, TypeError) as error:
        raise PdbUnreadableError(f"cannot be read as a PDB: {error}", str(path)) from None


def pdb_identity(path: Path) -> PdbIdentity | None:
    """Whose a PDB is; None where the file is no PDB."""
    try:
        with _opened(path) as pdb:
            info = pdb.info()
            # The image's record has the age of the debug information, which a tool may have raised.
            ages = {int(info.age), int(pdb.dbi.age)}
            return PdbIdentity(str(UUID(bytes_le=bytes(info.guid))), frozenset(ages))
    except PdbUnreadableError:
        return None


@functools.lru_cache(maxsize=32)
def pdb_functions(path: Path) -> PdbFunctions:
    """The functions of a PDB.

    Raises:
        PdbUnreadableError: it is none, or damaged.
    """
    with _opened(path) as pdb:
        found = sorted(
            (
                Function(str(one.name), int(one.rva), int(one.code_size))
                for one in pdb.functions()
                if one.rva is not None and one.code_size
            ),
            key=lambda one: one.rva,
        )
        every: Iterable[Any] = pdb.lines()  # type: ignore[no-untyped-call]
        lines = sorted((int(one.rva), str(one.file), int(one.line)) for one in every if one.rva)
        return PdbFunctions(found, [one.rva for one in found], lines)


@dataclass(frozen=True, slots=True)
class Checksum:
    """Of a source file, as the compiler wrote it down."""

    algorithm: str
    digest: bytes

    def fits(self, content: bytes) -> bool:
        """Whether a file is the one that was compiled; how its lines end does not count."""
        plain = content.replace(b"\r\n", b"\n")
        forms = (content, plain, plain.replace(b"\n", b"\r\n"))
        return any(
            hashlib.new(self.algorithm, one, usedforsecurity=False).digest() == self.digest for one in forms
        )


def pdb_sources(path: Path) -> dict[str, Checksum]:
    """Of the source files that a PDB names their checksums, as far as it has them.

    Raises:
        PdbUnreadableError: it is none, or damaged.
    """
    found: dict[str, Checksum] = {}
    with _opened(path) as pdb:
        names = pdb.string_table()
        if names is None:
            return found
        for module in pdb.dbi.modules:
            for part in c13.iter_subsections(pdb.module_c13_bytes(module) or b""):
                if part.kind == c13.DEBUG_S_FILECHECKSUMS:
                    for name, checksum in _checksums(bytes(part.payload)):
                        found[str(names.get(name))] = checksum
    return found


def _checksums(payload: bytes) -> Iterator[tuple[int, Checksum]]:
    """Entries of four-byte alignment: the name's offset, the digest's size and kind, the digest."""
    place = 0
    while place + 6 <= len(payload):
        name, size, kind = struct.unpack_from("<IBB", payload, place)
        end = place + 6 + size
        if kind in _CHECKSUMS and end <= len(payload):
            yield name, Checksum(_CHECKSUMS[kind], payload[place + 6 : end])
        place = end + -end % 4
