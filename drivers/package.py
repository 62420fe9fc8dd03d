# SPDX-License-Identifier: Apache-2.0
"""Driver packages: an INF, the files it copies, their catalogue and its certificates, in one directory."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import PackageError, SigningError

if TYPE_CHECKING:
    from drivers.catalogue import Catalogue
    from drivers.inf import Inf


@dataclass(frozen=True)
class Package:
    """A package whose parts fit together.

    ``certificates`` are DER files for the guest's certificate stores: the root, if one comes along, and the
    signer.  ``digest`` is over the names and contents of all files of the package.
    """

    name: str
    directory: Path
    inf: Path
    sys: list[Path]
    cat: Path
    certificates: list[Path]
    digest: str


def load(directory: Path) -> Package:
    """Check a package directory, our own or a foreign one, and answer what is in it.

    There must be exactly one INF; every file that it copies must exist and be a member of the catalogue that
    it names, with the right hash; the catalogue's signature must be intact and lead to a certificate beside
    it (``*.cer``, ``*.crt``) or, where none lies there, inside it.  Raises `PackageError`.
    """
    from drivers import catalogue, inf

    if not directory.is_dir():
        raise PackageError(
            "is no directory", str(directory), "give the directory with the INF, SYS and CAT files"
        )
    names = {path.name.lower(): path for path in sorted(directory.iterdir()) if path.is_file()}
    infs = [path for name, path in names.items() if name.endswith(".inf")]
    if len(infs) != 1:
        raise PackageError(f"holds {len(infs)} INF files, exactly one is needed", str(directory))
    information = inf.load(infs[0])
    cat = _catalogue_path(information, names, directory)
    contents = catalogue.parse(cat.read_bytes(), cat.name)
    files = [infs[0], *(_find(directory, copied) for copied in information.files())]
    for path in files:
        if not contents.covers(path.read_bytes(), path.name):
            raise PackageError(
                f"is not the file that {cat.name} vouches for", str(path), "make and sign the catalogue again"
            )
    drivers = [path for path in files if path.suffix.lower() == ".sys"]
    if not drivers:
        raise PackageError("copies no .sys file", str(infs[0]))
    if not information.hardware_ids():
        raise PackageError("names no device for 64-bit systems", str(infs[0]))
    certificates = [path for name, path in names.items() if name.endswith((".cer", ".crt"))]
    _check_signature(cat, contents, certificates)
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in [*files, cat, *certificates]
    }
    return Package(
        name=infs[0].stem,
        directory=directory,
        inf=infs[0],
        sys=drivers,
        cat=cat,
        certificates=certificates,
        digest=digest_files(digests),
    )


def digest_files(digests: dict[str, str]) -> str:
    """One digest over files given by name and SHA-256."""
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def _catalogue_path(information: Inf, names: dict[str, Path], directory: Path) -> Path:
    name = information.catalogue()
    if not name:
        raise PackageError("[Version] names no CatalogFile", information.name, "a signed package needs one")
    if name.lower() not in names:
        raise PackageError(f"catalogue {name!r} that {information.name} names is missing", str(directory))
    return names[name.lower()]


def _find(directory: Path, name: str) -> Path:
    """A file of the package by the INF's spelling, which need not be that of the file system."""
    current = directory
    for part in name.split("/"):
        candidates = {path.name.lower(): path for path in current.iterdir()} if current.is_dir() else {}
        if part.lower() not in candidates:
            raise PackageError(f"{name!r} is copied by the INF but missing", str(directory))
        current = candidates[part.lower()]
    if not current.is_file():
        raise PackageError("is no file", str(current))
    return current


def _check_signature(cat: Path, contents: Catalogue, certificates: list[Path]) -> None:
    from drivers import catalogue, signing

    if not contents.signed:
        raise PackageError("is not signed", str(cat), "sign it, or let kshs build make the package")
    catalogue.check_signature(cat.read_bytes(), cat.name)
    if not certificates:
        # Intact as it is; whether its signer is trusted is the guest's to say.
        return
    try:
        trusted = signing.pem([_read_certificate(path) for path in certificates])
        with tempfile.TemporaryDirectory(prefix="kshs-") as scratch:
            anchors = Path(scratch) / "trusted.pem"
            anchors.write_text(trusted, encoding="ascii")
            signing.verify(cat, anchors)
    except SigningError as error:
        names = ", ".join(path.name for path in certificates)
        raise PackageError(f"{error.message}, judged by {names}", str(cat)) from error


def _read_certificate(path: Path) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    data = path.read_bytes()
    try:
        pem = data.lstrip().startswith(b"-----BEGIN")
        certificate = x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise PackageError("is no X.509 certificate", str(path)) from error
    return certificate.public_bytes(Encoding.DER)
