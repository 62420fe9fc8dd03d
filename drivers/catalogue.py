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
from functools import cached_property
from pathlib import Path
from typing import Any

from asn1crypto import core

from drivers import authenticode, inf, signing
from drivers.catalogue_format import (
    AnySet,
    Attribute,
    Attributes,
    Entry,
    Extension,
    IndirectData,
    NameValue,
    Outer,
    SpcLink,
    SpcPeImageData,
    SpcString,
    TrustList,
)
from drivers.catalogue_signature import BROKEN
from drivers.errors import PackageError
from drivers.files import find

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

    @cached_property
    def _known(self) -> tuple[frozenset[bytes], tuple[str, ...]]:
        known = frozenset(member.digest for member in self.members)
        # Catalogues of version 1 have SHA-1 hashes.
        return known, tuple({_HASHES[len(digest)] for digest in known if len(digest) in _HASHES})

    def covers(self, data: bytes, where: str) -> bool:
        """Whether a file with this content is a member."""
        known, algorithms = self._known
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
    """Read a catalogue, ours or another maker's, of version 1 or 2; `PackageError` where it is none.

    A member, a named text or a certificate of a kind that is not known is left out: it vouches for no file,
    and takes nothing from what the others vouch for.
    """
    try:
        outer = Outer.load(data)
        content = outer["content"]["content"]
        if outer["type"].native != _SIGNED_DATA or content["type"].native != _CTL:
            raise PackageError("is no catalogue: no signed certificate trust list", where)
        trust_list = content["content"]
        if _CATALOG_LIST not in trust_list["usage"].native:
            raise PackageError("is no catalogue: the trust list is of another kind", where)
        members = tuple(filter(None, map(_read_member, trust_list["entries"])))
        named = filter(None, map(_read_extension, trust_list["extensions"]))
        ids = tuple(text for name, text in named if name.startswith("HWID"))
        certificates = outer["content"]["certificates"]
        ders = tuple(choice.chosen.dump() for choice in certificates) if certificates else ()
        return Catalogue(members, ids, ders, len(outer["content"]["signers"]) > 0)
    except BROKEN as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise PackageError(f"is no catalogue: {reason}", where) from error


def _read_member(entry: Entry) -> Member | None:
    name, digest = "", b""
    for attribute in entry["attributes"]:
        try:
            value = attribute["values"][0]
            if attribute["type"].native == _NAME_VALUE:
                pair = value.parse(NameValue)
                if pair["name"].native == "File":
                    name = _text(pair["value"].native)
            elif attribute["type"].native == _INDIRECT_DATA:
                digest = value.parse(IndirectData)["digest"]["digest"].native
        except BROKEN:
            continue
    return Member(name, digest) if digest else None


def _read_extension(item: Extension) -> tuple[str, str] | None:
    try:
        if item["type"].native != _NAME_VALUE:
            return None
        pair = NameValue.load(item["value"].native)
        return pair["name"].native, _text(pair["value"].native)
    except BROKEN:
        return None


def _text(value: bytes) -> str:
    return value.decode("utf-16-le", errors="replace").rstrip("\0")


def make(directory: Path, signer: signing.Identity) -> Path:
    """Write the signed catalogues that a directory's INFs name, each over its INFs and all files they copy.

    Answers the first INF's; several INFs may name the same.

    Raises:
        PackageError: there is no INF, one names no catalogue, or a file that one copies is missing.
    """
    found = [inf.load(path) for path in sorted(directory.glob("*.inf"))]
    if not found:
        raise PackageError("holds no INF file", str(directory))
    by_name: dict[str, list[inf.Inf]] = {}
    for information in found:
        name = information.catalogue()
        if not name or Path(name).name != name:
            raise PackageError("[Version] names no CatalogFile", information.name)
        by_name.setdefault(name, []).append(information)
    for name, covered in by_name.items():
        _make_one(directory, name, covered, signer)
    return directory / next(iter(by_name))


def _make_one(directory: Path, name: str, infs: Sequence[inf.Inf], signer: signing.Identity) -> None:
    wanted = [inf.Copied(information.name) for information in infs]
    wanted += [copied for information in infs for copied in inf.copied_files(information)]
    files = []
    for copied in dict.fromkeys(wanted):
        path = find(directory, copied.path)
        if path is not None and path.is_file():
            files.append(path)
        elif not copied.systems:
            raise PackageError("is copied by the INF but missing", copied.path)
    files = list(dict.fromkeys(files))
    ids = [hardware_id for information in infs for hardware_id in information.hardware_ids()]
    raw = directory / f".{name}.unsigned"
    try:
        raw.write_bytes(unsigned(files, list(dict.fromkeys(ids)), signer.signing_time))
        signing.sign(raw, directory / name, signer, Path(infs[0].name).stem)
    finally:
        raw.unlink(missing_ok=True)
