# SPDX-License-Identifier: Apache-2.0
"""Certificates as people have them beside a package: DER, PEM, several in one file, PKCS#7 bundles.

One odd certificate among them, or one that has nothing to do with the package, refuses nothing: it is left
out, and named where the others do not do.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
from asn1crypto import cms, core, x509

from drivers.errors import PackageError
from drivers.files import write_atomically

#: Files beside a package that are looked at.
ENDINGS = (".cer", ".crt", ".der", ".pem", ".p7b", ".p7c", ".spc")
_MOST_BYTES = 1 << 20
_PEM = re.compile(
    rb"-----BEGIN (?P<label>(?:X509 |TRUSTED )?CERTIFICATE|PKCS7|CMS)-----"
    rb"(?P<body>.*?)-----END (?P=label)-----",
    re.DOTALL,
)
_SIGNED_DATA = "signed_data"


@dataclass
class Found:
    """What lies beside a package.

    ``files`` are one DER or PEM certificate each, as a guest installs them, with their names there;
    ``certificates`` are the same as DER, ``names`` the files in which they lay.  ``left_out`` says of each
    odd file what is wrong with it.
    """

    files: dict[str, Path] = field(default_factory=dict)
    certificates: list[bytes] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def beside(paths: Iterable[Path]) -> Found:
    """Read the certificate files of a package."""
    found = Found()
    for path in paths:
        try:
            ders, alone = _read(path)
        except PackageError as error:
            found.left_out.append(f"{path.name}: {error.message}")
            continue
        fresh = [der for der in ders if der not in found.certificates]
        found.certificates += fresh
        found.names.append(path.name)
        if alone and fresh:
            found.files[path.name] = path
            continue
        for der in fresh:
            single = _single(path, der)
            found.files[single.name] = single
    return found


def read(path: Path) -> list[bytes]:
    """The certificates of a file as DER, in its order, each once.

    Raises:
        PackageError: it holds none that can be read.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[list[bytes], bool]:
    """The certificates, and whether the file is one of them and nothing else."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise PackageError(f"cannot be read: {error.strerror}", str(path)) from error
    if len(data) > _MOST_BYTES:
        raise PackageError("is too large for certificates", str(path))
    blocks = list(_PEM.finditer(data))
    contents = [_decoded(block["body"]) for block in blocks] if blocks else [data]
    ders = list(dict.fromkeys(der for content in contents for der in _certificates(content)))
    if not ders:
        raise PackageError("is no X.509 certificate", str(path))
    # A key in the same file must not leave this host.
    alone = len(ders) == 1 and (data == ders[0] or (len(blocks) == 1 and data.count(b"-----BEGIN ") == 1))
    return ders, alone and not (blocks and blocks[0]["label"] in (b"PKCS7", b"CMS", b"TRUSTED CERTIFICATE"))


def _decoded(body: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        return b""


def _certificates(data: bytes) -> list[bytes]:
    """The certificates in a DER file: one, several behind one another, or a bundle."""
    found = []
    while data:
        try:
            value = core.Asn1Value.load(data)
            content = value.dump()
            if is_certificate(content):
                found.append(content)
            else:
                found += _bundle(content)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            break
        data = data[len(content) :]
    return found


def _bundle(data: bytes) -> list[bytes]:
    outer = cms.ContentInfo.load(data)
    if outer["content_type"].native != _SIGNED_DATA:
        return []
    choices = outer["content"]["certificates"]
    ders = [choice.chosen.dump() for choice in choices] if choices else []
    return [der for der in ders if is_certificate(der)]


def is_certificate(data: bytes) -> bool:
    """Whether these bytes are one X.509 certificate that can be read to its end."""
    try:
        certificate = x509.Certificate.load(data, strict=True)
        if not isinstance(certificate.serial_number, int):
            return False
        certificate.subject.dump()
        certificate.public_key.dump()
        return bool(certificate["tbs_certificate"]["validity"].native)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return False


def _single(path: Path, der: bytes) -> Path:
    """A certificate of a bundle as a file of its own, in the user's cache."""
    name = f"{path.stem}-{hashlib.sha256(der).hexdigest()[:16]}.cer"
    single = platformdirs.user_cache_path("kshs") / "certificates" / name
    if not single.is_file() or single.read_bytes() != der:
        write_atomically(single, der)
    return single
