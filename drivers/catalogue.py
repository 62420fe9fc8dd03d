# SPDX-License-Identifier: Apache-2.0
"""Driver catalogues (.cat): made, signed, read and compared with files.

A catalogue is a PKCS#7 SignedData around a certificate trust list whose entries are the SHA-256 hashes of
the package's files (``szOID_CTL`` with usage ``szOID_CATALOG_LIST``).  docs/signing.md describes the format,
where each part of it is known from, and what has been seen to accept it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asn1crypto import cms, core

from drivers import authenticode, inf, signing
from drivers.catalogue_format import (
    AnySet,
    Attribute,
    Attributes,
    Entry,
    IndirectData,
    NameValue,
    Outer,
    SpcLink,
    SpcPeImageData,
    SpcString,
    TrustList,
)
from drivers.errors import PackageError

_MS = "1.3.6.1.4.1.311"
_CTL = f"{_MS}.10.1"
_CATALOG_LIST = f"{_MS}.12.1.1"
_CATALOG_LIST_MEMBER_V2 = f"{_MS}.12.1.3"
_NAME_VALUE = f"{_MS}.12.2.1"
_MEMBER_INFO_V2 = f"{_MS}.12.2.3"
_INDIRECT_DATA = f"{_MS}.2.1.4"
_PE_IMAGE_DATA = f"{_MS}.2.1.15"
_FLAT_FILE = f"{_MS}.2.1.25"

# CRYPTCAT_ATTR_AUTHENTICATED | DATAASCII | NAMEASCII (mscat.h)
_ATTRIBUTE_FLAGS = 0x10010001

# Which systems the files are for, in the spelling of catalogues: every 64-bit Windows since 7.
_SYSTEM = "7X64,8X64,_v63_X64,_v100_X64"
_MEMBER_SYSTEMS = "2:6.1,2:6.2,2:6.3,2:10.0"

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_HASHES = {20: "sha1", 32: "sha256"}


@dataclass(frozen=True)
class Member:
    """One file that a catalogue vouches for."""

    name: str
    digest: bytes


@dataclass(frozen=True)
class Catalogue:
    """What a catalogue says: its members, hardware ids (lower case), and the certificates inside (DER)."""

    members: tuple[Member, ...]
    hardware_ids: tuple[str, ...]
    certificates: tuple[bytes, ...]
    signed: bool

    def covers(self, data: bytes, where: str) -> bool:
        """Whether a file with this content is a member."""
        known = {member.digest for member in self.members}
        # Catalogues of version 1 have SHA-1 hashes.
        algorithms = {_HASHES[len(digest)] for digest in known if len(digest) in _HASHES}
        return any(authenticode.file_hash(data, where, algorithm) in known for algorithm in algorithms)


def unsigned(files: Iterable[Path], hardware_ids: Sequence[str], when: int) -> bytes:
    """The DER of a catalogue without signature for these files; the same input gives the same bytes.

    ``when`` (Unix seconds) is the list's time of issue.
    """
    entries = sorted(
        (_entry(path.name, path.read_bytes()) for path in files), key=lambda entry: entry["tag"].native
    )
    if not entries:
        raise PackageError("a catalogue needs at least one file")
    named = [("OS", _SYSTEM)]
    named += [(f"HWID{number}", value.lower()) for number, value in enumerate(hardware_ids, 1)]
    extensions = [{"type": _NAME_VALUE, "value": _name_value(*pair).dump()} for pair in named]
    trust_list = TrustList(
        {
            "usage": [_CATALOG_LIST],
            "identifier": hashlib.sha256(b"".join(entry.dump() for entry in entries)).digest()[:16],
            "this_update": datetime.fromtimestamp(when, UTC),
            "algorithm": {"algorithm": _CATALOG_LIST_MEMBER_V2, "parameters": core.Any(core.Null())},
            "entries": entries,
            "extensions": extensions,
        }
    )
    signed_data = {
        "version": 1,
        "digest_algorithms": [],
        "content": {"type": _CTL, "content": trust_list},
        "signers": [],
    }
    return bytes(Outer({"type": _SIGNED_DATA, "content": signed_data}).dump())


def _name_value(name: str, value: str) -> NameValue:
    return NameValue({"name": name, "flags": _ATTRIBUTE_FLAGS, "value": (value + "\0").encode("utf-16-le")})


def _entry(name: str, data: bytes) -> Entry:
    digest = authenticode.file_hash(data, name)
    obsolete = SpcLink(name="file", value=SpcString(name="unicode", value="<<<Obsolete>>>"))
    if authenticode.is_pe(data):
        spc = {
            "type": _PE_IMAGE_DATA,
            "value": core.Any(SpcPeImageData({"flags": (1, 0, 1), "file": obsolete})),
        }
    else:
        spc = {"type": _FLAT_FILE, "value": core.Any(obsolete)}
    indirect = IndirectData(
        {
            "data": spc,
            "digest": {
                "digest_algorithm": {"algorithm": "sha256", "parameters": core.Null()},
                "digest": digest,
            },
        }
    )
    attributes: list[tuple[str, Any]] = [
        (_NAME_VALUE, _name_value("File", name.lower())),
        (_NAME_VALUE, _name_value("OSAttr", _MEMBER_SYSTEMS)),
        (_INDIRECT_DATA, indirect),
        (_MEMBER_INFO_V2, core.Null(implicit=0)),
    ]
    built = [Attribute({"type": kind, "values": AnySet([core.Any(value)])}) for kind, value in attributes]
    return Entry({"tag": digest, "attributes": Attributes(built)})


def parse(data: bytes, where: str) -> Catalogue:
    """Read a catalogue, ours or another maker's, of version 1 or 2; `PackageError` where it is none."""
    try:
        outer = Outer.load(data, strict=True)
        content = outer["content"]["content"]
        if outer["type"].native != _SIGNED_DATA or content["type"].native != _CTL:
            raise PackageError("is no catalogue: no signed certificate trust list", where)
        trust_list = content["content"]
        if trust_list["usage"].native != [_CATALOG_LIST]:
            raise PackageError("is no catalogue: the trust list is of another kind", where)
        members = tuple(_read_member(entry) for entry in trust_list["entries"])
        extensions = trust_list["extensions"]
        named = [
            NameValue.load(item["value"].native) for item in extensions if item["type"].native == _NAME_VALUE
        ]
        ids = tuple(_text(item["value"].native) for item in named if item["name"].native.startswith("HWID"))
        certificates = outer["content"]["certificates"]
        ders = tuple(choice.chosen.dump() for choice in certificates) if certificates else ()
        return Catalogue(members, ids, ders, len(outer["content"]["signers"]) > 0)
    except (ValueError, TypeError, KeyError) as error:
        raise PackageError(f"is no catalogue: {str(error).splitlines()[0]}", where) from error


def check_signature(data: bytes, where: str) -> bytes:
    """Check the mathematics of a catalogue's signature; answers the signer's certificate (DER).

    Whether that certificate is to be trusted is not asked here.  Independent of osslsigncode, and made from
    the Cryptographic Message Syntax (RFC 5652, section 5.4).
    """
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    try:
        signed = Outer.load(data, strict=True)["content"]
        signer = cms.SignerInfo.load(signed["signers"][0].dump())
        serial = signer["sid"].chosen["serial_number"].native
        choices = [choice.chosen for choice in signed["certificates"]]
        certificate = next(choice for choice in choices if choice.serial_number == serial)
        algorithm = signer["digest_algorithm"]["algorithm"].native
        attributes = signer["signed_attrs"]
        stated = next(
            item["values"][0].native for item in attributes if item["type"].native == "message_digest"
        )
        content = signed["content"]["content"]
        if hashlib.new(algorithm, content.contents).digest() != stated:
            raise PackageError("was changed after it was signed", where)
        key = x509.load_der_x509_certificate(certificate.dump()).public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise PackageError("is not signed with an RSA key", where)
        digests: dict[str, hashes.HashAlgorithm] = {
            "sha1": hashes.SHA1(),  # noqa: S303 - old catalogues of other makers
            "sha256": hashes.SHA256(),
            "sha384": hashes.SHA384(),
            "sha512": hashes.SHA512(),
        }
        # The signature is over the attributes as a SET, whatever tag they have in place.
        signed_bytes = attributes.untag().dump()
        key.verify(signer["signature"].native, signed_bytes, padding.PKCS1v15(), digests[algorithm])
        return bytes(certificate.dump())
    except InvalidSignature as error:
        raise PackageError("has a signature that does not fit its signer's key", where) from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, StopIteration) as error:
        raise PackageError("has no signature that can be read", where) from error


def _read_member(entry: Entry) -> Member:
    name, digest = "", b""
    for attribute in entry["attributes"]:
        value = attribute["values"][0]
        if attribute["type"].native == _NAME_VALUE:
            pair = value.parse(NameValue)
            if pair["name"].native == "File":
                name = _text(pair["value"].native)
        elif attribute["type"].native == _INDIRECT_DATA:
            digest = value.parse(IndirectData)["digest"]["digest"].native
    if not digest:
        raise ValueError("a member has no hash")
    return Member(name, digest)


def _text(value: bytes) -> str:
    return value.decode("utf-16-le", errors="replace").rstrip("\0")


def make(directory: Path, signer: signing.Identity) -> Path:
    """Write the signed catalogue that the directory's one INF names, over the INF and all files it copies."""
    found = sorted(directory.glob("*.inf"))
    if len(found) != 1:
        raise PackageError(f"{len(found)} INF files, one expected", str(directory))
    information = inf.load(found[0])
    name = information.catalogue()
    if not name or Path(name).name != name:
        raise PackageError("[Version] names no CatalogFile", found[0].name)
    files = [found[0], *(directory / copied for copied in information.files())]
    for path in files:
        if not path.is_file():
            raise PackageError("is copied by the INF but missing", path.name)
    raw = directory / f".{name}.unsigned"
    try:
        raw.write_bytes(unsigned(files, information.hardware_ids(), signer.signing_time))
        signing.sign(raw, directory / name, signer, found[0].stem)
    finally:
        raw.unlink(missing_ok=True)
    return directory / name
