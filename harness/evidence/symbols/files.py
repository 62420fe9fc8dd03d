# SPDX-License-Identifier: Apache-2.0
"""Images and PDBs in directories that a user names, and which of them belong together.

A name proves nothing: an image is a driver's own if stamp and size are what the dump says (and the checksum,
where both have one), and a PDB is an image's own if its GUID and age are those of the image's RSDS record.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pefile

from harness.errors import UsageError
from harness.evidence import image
from harness.evidence.image import DebugIdentity, Functions, ImageFacts
from harness.evidence.symbols.pdb import PdbIdentity, pdb_identity

_IMAGES = (".sys", ".exe", ".dll")
#: Files below the directories that are looked at, and bytes of one image.
_MAX_FILES = 50_000
_MAX_IMAGE = 256 << 20
#: PDBs of another name that are opened to find one by its GUID.
_MAX_OTHERS = 200


@dataclass(frozen=True, slots=True)
class Identity:
    """What is known of a driver whose symbols are wanted.

    ``path``: the very file, where that is known; nothing has to be proven of it then.
    """

    name: str
    time_stamp: int | None = None
    size: int | None = None
    check_sum: int | None = None
    debug: DebugIdentity | None = None
    path: Path | None = None


class ImageFile:
    """An image on disk, addressed as it lies in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pe = pefile.PE(str(path), fast_load=True)
        self.facts: ImageFacts | None = image.facts(self.read)
        self._functions: Functions | None = None
        self._asked = False

    def read(self, rva: int, size: int) -> bytes | None:
        """Exactly so many bytes; None where the file does not have them."""
        try:
            data = bytes(self._pe.get_data(rva, size))
        except pefile.PEFormatError:
            return None
        return data if len(data) == size else None

    @property
    def functions(self) -> Functions | None:
        """By the table for unwinding."""
        if not self._asked:
            self._functions, self._asked = image.functions(self.read), True
        return self._functions

    def copy_with_pdb_named(self, name: bytes) -> bytes | None:
        """The file with another name of its PDB; None where the name has no room."""
        place = image.pdb_name_place(self.read)
        if place is None or place[1] < len(name) + 1:
            return None
        at = self._pe.get_offset_from_rva(place[0])
        data = bytearray(self._pe.__data__)
        data[at : at + place[1]] = name.ljust(place[1], b"\0")
        return bytes(data)


class SymbolFiles:
    """The images and PDBs below some directories; a file may be named, too.

    Args:
        places: directories and files.

    Raises:
        UsageError: one of them is not there.
    """

    def __init__(self, places: Iterable[Path] = ()) -> None:
        self._images: dict[str, list[Path]] = {}
        self._pdbs: dict[str, list[Path]] = {}
        self._opened: dict[Path, ImageFile | None] = {}
        self._identities: dict[Path, PdbIdentity | None] = {}
        for number, path in enumerate(_files(places)):
            if number == _MAX_FILES:
                break
            name = path.name.lower()
            if name.endswith(".pdb"):
                self._pdbs.setdefault(name, []).append(path)
            elif name.endswith(_IMAGES):
                self._images.setdefault(name, []).append(path)

    def image(self, identity: Identity) -> tuple[ImageFile | None, str]:
        """The image of a driver, or why there is none."""
        if identity.path is not None:
            found = self._open(identity.path)
            return found, "" if found else f"{identity.path.name} is no image of 64-bit Windows"
        named = self._images.get(identity.name.lower(), [])
        if not named:
            return None, f"no {identity.name} in the directories of symbols"
        if identity.time_stamp is None:
            return None, f"the dump does not tell which build of {identity.name} was loaded"
        for path in named:
            found = self._open(path)
            if found is not None and found.facts is not None and _same(found.facts, identity):
                return found, ""
        return None, f"no {identity.name} in the directories of symbols is the build that was loaded"

    def pdb(self, debug: DebugIdentity, name: str) -> tuple[Path | None, str]:
        """The PDB of an image by the GUID of its record, or why there is none."""
        wanted = debug.pdb.replace("\\", "/").rsplit("/", 1)[-1].lower()
        stem = name.rsplit(".", 1)[0].lower() + ".pdb"
        first = [*self._pdbs.get(wanted, []), *(self._pdbs.get(stem, []) if stem != wanted else [])]
        others = [path for paths in self._pdbs.values() for path in paths if path not in first]
        for path in (*first, *others[:_MAX_OTHERS]):
            if path not in self._identities:
                self._identities[path] = pdb_identity(path)
            found = self._identities[path]
            if found is not None and found.guid == debug.guid and debug.age in found.ages:
                return path, ""
        if first:
            return None, f"{first[0].name} has another GUID than {name}: it is of another build"
        return None, f"no PDB with the GUID of {name}"

    def _open(self, path: Path) -> ImageFile | None:
        if path not in self._opened:
            try:
                fits = path.stat().st_size <= _MAX_IMAGE
                found = ImageFile(path) if fits else None
            except (OSError, pefile.PEFormatError, ValueError):
                found = None
            self._opened[path] = found if found is not None and found.facts is not None else None
        return self._opened[path]


def _same(facts: ImageFacts, identity: Identity) -> bool:
    sums = (facts.check_sum, identity.check_sum)
    return (
        facts.time_stamp == identity.time_stamp
        and (identity.size is None or facts.size == identity.size)
        and (not all(sums) or sums[0] == sums[1])
    )


def _files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        if place.is_file():
            yield place
        elif place.is_dir():
            for directory, _, names in os.walk(place):
                for name in sorted(names):
                    if name.lower().endswith((".pdb", *_IMAGES)):
                        yield Path(directory) / name
        else:
            raise UsageError("there is no such directory", where=str(place), hint="check --symbols")
