# SPDX-License-Identifier: Apache-2.0
"""The ASN.1 of catalogues: PKCS#7 around a certificate trust list around Authenticode's indirect data.

From the public descriptions of ``CTL_INFO`` and ``SPC_INDIRECT_DATA_CONTENT`` (wincrypt.h, wintrust.h and the
Authenticode format document) and of ``CRYPTCATATTRIBUTE`` (mscat.h); docs/signing.md puts them together.
"""

from __future__ import annotations

# asn1crypto wants lists in class attributes.
# ruff: noqa: RUF012
from asn1crypto import algos, cms, core


class NameValue(core.Sequence):  # type: ignore[misc]
    """A named text (CRYPTCATATTRIBUTE)."""

    _fields = [("name", core.BMPString), ("flags", core.Integer), ("value", core.OctetString)]


class AnySet(core.SetOf):  # type: ignore[misc]
    """A SET OF anything."""

    _child_spec = core.Any


class Attribute(core.Sequence):  # type: ignore[misc]
    """A type and its values."""

    _fields = [("type", core.ObjectIdentifier), ("values", AnySet)]


class SpcString(core.Choice):  # type: ignore[misc]
    """SpcString of the Authenticode format."""

    _alternatives = [("unicode", core.BMPString, {"implicit": 0}), ("ascii", core.IA5String, {"implicit": 1})]


class SpcLink(core.Choice):  # type: ignore[misc]
    """SpcLink of the Authenticode format; monikers are not used in catalogues that we make."""

    _alternatives = [("url", core.IA5String, {"implicit": 0}), ("file", SpcString, {"explicit": 2})]


class SpcPeImageData(core.Sequence):  # type: ignore[misc]
    """What kind of PE image is meant."""

    _fields = [("flags", core.BitString), ("file", SpcLink, {"explicit": 0})]


class SpcData(core.Sequence):  # type: ignore[misc]
    """SpcAttributeTypeAndOptionalValue."""

    _fields = [("type", core.ObjectIdentifier), ("value", core.Any, {"optional": True})]


class IndirectData(core.Sequence):  # type: ignore[misc]
    """SpcIndirectDataContent: a file's kind and hash."""

    _fields = [("data", SpcData), ("digest", algos.DigestInfo)]


class Attributes(core.SetOf):  # type: ignore[misc]
    """The attributes of an entry."""

    _child_spec = Attribute


class Entry(core.Sequence):  # type: ignore[misc]
    """One member: its hash as tag, and what is said of it."""

    _fields = [("tag", core.OctetString), ("attributes", Attributes)]


class Entries(core.SequenceOf):  # type: ignore[misc]
    """All members."""

    _child_spec = Entry


class Extension(core.Sequence):  # type: ignore[misc]
    """A named text about the whole list."""

    _fields = [("type", core.ObjectIdentifier), ("value", core.OctetString)]


class Extensions(core.SequenceOf):  # type: ignore[misc]
    """All named texts about the list."""

    _child_spec = Extension


class Usage(core.SequenceOf):  # type: ignore[misc]
    """What the list is for."""

    _child_spec = core.ObjectIdentifier


class Algorithm(core.Sequence):  # type: ignore[misc]
    """By what the members are identified."""

    _fields = [("algorithm", core.ObjectIdentifier), ("parameters", core.Any, {"optional": True})]


class TrustList(core.Sequence):  # type: ignore[misc]
    """The certificate trust list (CTL_INFO)."""

    _fields = [
        ("usage", Usage),
        ("identifier", core.OctetString, {"optional": True}),
        ("this_update", core.UTCTime),
        ("algorithm", Algorithm),
        ("entries", Entries, {"optional": True}),
        ("extensions", Extensions, {"explicit": 0, "optional": True}),
    ]


class Content(core.Sequence):  # type: ignore[misc]
    """The content of the SignedData."""

    _fields = [("type", core.ObjectIdentifier), ("content", TrustList, {"explicit": 0})]


class SignedData(core.Sequence):  # type: ignore[misc]
    """PKCS#7's version 1, whose content is any structure; CMS allows octets only."""

    _fields = [
        ("version", core.Integer),
        ("digest_algorithms", AnySet),
        ("content", Content),
        ("certificates", cms.CertificateSet, {"implicit": 0, "optional": True}),
        ("crls", AnySet, {"implicit": 1, "optional": True}),
        ("signers", AnySet),
    ]


class Outer(core.Sequence):  # type: ignore[misc]
    """The whole file."""

    _fields = [("type", core.ObjectIdentifier), ("content", SignedData, {"explicit": 0})]
