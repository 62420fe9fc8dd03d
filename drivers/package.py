# SPDX-License-Identifier: Apache-2.0
"""Driver packages: INFs, the files they copy, their catalogues and certificates, in one directory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import PackageError, SigningError
from drivers.files import find

if TYPE_CHECKING:
    from drivers.catalogue import Catalogue
    from drivers.certificates import Found
    from drivers.inf import Inf

_MOST_FILES = 4096


@dataclass(frozen=True)
class Package:
    """A package whose parts fit together.

    ``inf`` installs the device, ``sys`` are the drivers that it copies, ``certificates`` one certificate a
    file for the guest's stores: the root, if one comes along, and the signer.  ``files`` is all that is
    deployed, by names relative to the INF's folder with backslashes.  ``notes`` say in sentences what beside
    the device's own files was left out.  ``digest`` is over the names and contents of all of ``files``, and
    ``digests`` are their SHA-256, by names with slashes.
    """

    name: str
    directory: Path
    inf: Path
    sys: list[Path]
    cat: Path
    certificates: list[Path]
    digest: str
    files: dict[str, Path]
    notes: tuple[str, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)


def load(directory: Path, hardware_id: str | None = None) -> Package:
    """Check a package directory, our own or a foreign one, and answer what is in it.

    One of its INFs must install a device for x86_64, that of ``hardware_id`` where one is given.  Every file
    that it copies for it must exist and be a member of the catalogue that the INF names, with the right hash;
    the catalogue's signature must be intact and lead to a certificate beside it (`drivers.certificates`) or,
    where none lies there, be made by one inside it.  Further INFs and what they copy, files that are listed
    and members of the catalogue come along where they fit, and are noted where they do not.

    Raises:
        PackageError: there is no such package.
    """
    return _Loader(directory, hardware_id).load()


def digest_files(digests: Mapping[str, str]) -> str:
    """One digest over files given by name and SHA-256."""
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


@dataclass
class _Loader:
    """One package on its way from a directory to a `Package`."""

    directory: Path
    hardware_id: str | None
    names: dict[str, Path] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def load(self) -> Package:
        from drivers import certificates, package_infs
        from drivers.inf import further_infs

        if not self.directory.is_dir():
            raise PackageError(
                "is no directory", str(self.directory), "give the directory with the INF, SYS and CAT files"
            )
        self.names = {path.name.lower(): path for path in sorted(self.directory.iterdir()) if path.is_file()}
        infs, unreadable = package_infs.read(self.directory, self.names)
        main = package_infs.main(infs, self.directory, self.hardware_id, unreadable)
        self.notes += unreadable
        found = certificates.beside(
            path for name, path in self.names.items() if name.endswith(certificates.ENDINGS)
        )
        cat, contents = self._catalogue(main, found)
        drivers = [path for path in self._installed(main, contents, cat) if path.suffix.lower() == ".sys"]
        if not drivers:
            raise self._without_driver(main)
        brought = {name.lower() for name in further_infs(main, self.hardware_id)}
        for name in sorted(brought - {inf.name.lower() for inf in infs}):
            raise PackageError(f"{name!r} is copied by the INF but missing or no INF", str(self.directory))
        for inf in infs:
            if inf is not main:
                self._further(inf, contents, cat, found, required=inf.name.lower() in brought)
        self._listed(infs)
        self._members(contents)
        for name, path in found.files.items():
            self._add(name, path)
        digests = {
            name.replace("\\", "/"): hashlib.sha256(path.read_bytes()).hexdigest()
            for name, path in self.files.items()
        }
        return Package(
            name=Path(main.name).stem,
            directory=self.directory,
            inf=self.names[main.name.lower()],
            sys=drivers,
            cat=cat,
            certificates=list(found.files.values()),
            digest=digest_files(digests),
            files=self.files,
            notes=tuple(self.notes),
            digests=digests,
        )

    def _without_driver(self, main: Inf) -> PackageError:
        """Why a package has no driver that could be tested."""
        where = str(self.names[main.name.lower()])
        needed = main.needs_of_the_system(main.installs(self.hardware_id))
        if any(name.lower().startswith("wudfrd") for name in needed):
            return PackageError(
                "is of a user-mode driver (UMDF): it copies no .sys file",
                where,
                "streaming minidrivers of ks.sys run in the kernel",
            )
        return PackageError("copies no .sys file", where)

    def _catalogue(self, inf: Inf, found: Found) -> tuple[Path, Catalogue]:
        """The catalogue of an INF, its signature checked."""
        from drivers import catalogue

        name = inf.catalogue()
        if not name:
            raise PackageError("[Version] names no CatalogFile", inf.name, "a signed package needs one")
        if name.lower() not in self.names:
            raise PackageError(f"catalogue {name!r} that {inf.name} names is missing", str(self.directory))
        cat = self.names[name.lower()]
        data = cat.read_bytes()
        contents = catalogue.parse(data, cat.name)
        _check_signature(cat, data, contents, found)
        self._add(cat.name, cat)
        return cat, contents

    def _installed(self, inf: Inf, contents: Catalogue, cat: Path) -> list[Path]:
        """What an INF copies for the device, or for all of its devices: each there, and vouched for."""
        from drivers.inf import copied_files

        wanted = None if inf.adds_to_others() else self.hardware_id
        paths = {inf.name: self.names[inf.name.lower()]}
        for copied in copied_files(inf, wanted):
            path = self._find(copied.path, needed=not copied.systems)
            if path is not None:
                paths[str(path.relative_to(self.directory))] = path
        for path in paths.values():
            if not contents.covers(path.read_bytes(), path.name):
                raise PackageError(
                    f"is not the file that {cat.name} vouches for",
                    str(path),
                    "make and sign the catalogue again",
                )
        for name, path in paths.items():
            self._add(name, path)
        return list(paths.values())

    def _further(self, inf: Inf, contents: Catalogue, cat: Path, found: Found, *, required: bool) -> None:
        """Another INF of the package with its files; one that does not fit is left out and noted."""
        before = dict(self.files)
        try:
            own = inf.catalogue()
            if own and own.lower() != cat.name.lower() and own.lower() in self.names:
                cat, contents = self._catalogue(inf, found)
            self._installed(inf, contents, cat)
        except PackageError as error:
            if required:
                raise
            self.files = before
            self.notes.append(f"{inf.name} is not deployed: {error}")

    def _listed(self, infs: Iterable[Inf]) -> None:
        """Files that [SourceDisksFiles] lists without a device's CopyFiles: deployed where they are there."""
        from drivers.inf import listed_files

        for inf in infs:
            if inf.name in self.files:
                for name in listed_files(inf):
                    path = self._find(name, needed=False)
                    if path is not None:
                        self._add(str(path.relative_to(self.directory)), path)

    def _members(self, contents: Catalogue) -> None:
        """Members of the catalogue that no INF copies, in whatever folder of the package they lie."""
        wanted = {member.name.replace("/", "\\").rpartition("\\")[2].lower() for member in contents.members}
        candidates = (path for path in sorted(self.directory.rglob("*")) if path.name.lower() in wanted)
        for number, path in enumerate(candidates):
            if number == _MOST_FILES:
                self.notes.append(f"more than {_MOST_FILES} files have names of the catalogue's members")
                return
            if not path.is_file() or not self._inside(path) or path in self.files.values():
                continue
            try:
                if contents.covers(path.read_bytes(), path.name):
                    self._add(str(path.relative_to(self.directory)), path)
            except (PackageError, OSError) as error:
                self.notes.append(f"{path.name} is not deployed: {error}")

    def _add(self, name: str, path: Path) -> None:
        self.files.setdefault(name.replace("/", "\\"), path)

    def _find(self, name: str, *, needed: bool) -> Path | None:
        """A file of the package by the INF's spelling, which need not be that of the file system."""
        current = find(self.directory, name)
        if current is None:
            if needed:
                raise PackageError(f"{name!r} is copied by the INF but missing", str(self.directory))
            return None
        if not current.is_file() or not self._inside(current):
            if needed:
                what = "lies outside the package" if current.is_file() else "is no file"
                raise PackageError(what, str(current))
            return None
        return current

    def _inside(self, path: Path) -> bool:
        """Whether a file is where its path says: a link may lead anywhere."""
        return path.resolve().is_relative_to(self.directory.resolve())


def _check_signature(cat: Path, data: bytes, contents: Catalogue, found: Found) -> None:
    from drivers import catalogue_signature, trust

    if not contents.signed:
        raise PackageError("is not signed", str(cat), "sign it, or let kshs build make the package")
    signature = catalogue_signature.check(data, cat.name)
    if not found.certificates and not found.left_out:
        # Intact as it is; whether its signer is trusted is the guest's to say.
        return
    try:
        trust.require(signature.certificate, contents.certificates, found.certificates, signature.when)
    except SigningError as error:
        judges = ", ".join(found.names) or "no certificate"
        odd = f" ({'; '.join(found.left_out)})" if found.left_out else ""
        raise PackageError(f"{error.message}, judged by {judges}{odd}", str(cat)) from error
