# SPDX-License-Identifier: Apache-2.0
"""The mathematics of a catalogue's signature, from the Cryptographic Message Syntax (RFC 5652, section 5.4).

Independent of osslsigncode, and without any connection: who signed, whether the content and the signature
are intact, and when a time stamping authority saw it.  Whether the signer is trusted is not asked here
(`drivers.trust`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asn1crypto import cms, core, tsp, x509

from drivers.catalogue_format import Outer
from drivers.errors import PackageError

#: What a broken structure raises in asn1crypto, depending on where it breaks.
BROKEN = (ValueError, TypeError, KeyError, IndexError, AttributeError)
_TIME_STAMP = "1.3.6.1.4.1.311.3.3.1"  # szOID_RFC3161_counterSign


@dataclass(frozen=True)
class Signature:
    """Who signed (DER), and when by a counter-signature; ``when`` is None where there is none."""

    certificate: bytes
    when: datetime | None


def check(data: bytes, where: str) -> Signature:
    """Check a catalogue's signature.

    Raises:
        PackageError: there is none, it cannot be read, or it does not fit the content or the signer's key.
    """
    try:
        signed = Outer.load(data)["content"]
        signer = cms.SignerInfo.load(signed["signers"][0].dump())
        named = _signer_certificates(signer["sid"], signed["certificates"])
        if not named:
            raise PackageError("does not hold the certificate of its signer", where)
        algorithm = signer["digest_algorithm"]["algorithm"].native
        attributes = signer["signed_attrs"]
        stated = next(
            item["values"][0].native for item in attributes if item["type"].native == "message_digest"
        )
        content = signed["content"]["content"]
        if hashlib.new(algorithm, content.contents).digest() != stated:
            raise PackageError("was changed after it was signed", where)
        # The signature is over the attributes as a SET, whatever tag they have in place.
        over = attributes.untag().dump()
        certificate = _maker(named, signer["signature"].native, over, algorithm, where)
        return Signature(bytes(certificate.dump()), _countersigned(signer))
    except BROKEN as error:
        raise PackageError("has no signature that can be read", where) from error
    except StopIteration as error:
        raise PackageError("has no signature that can be read", where) from error


def _signer_certificates(sid: cms.SignerIdentifier, choices: Iterable[Any]) -> list[x509.Certificate]:
    """The certificates by issuer and serial number, or by the identifier of the key (RFC 5652, 5.3).

    A serial number alone names nobody: each authority counts for itself.  There is more than one where an
    authority has given one number twice, as some test roots do that begin with their own.
    """
    found = []
    for choice in choices:
        certificate = choice.chosen
        try:
            if sid.name == "subject_key_identifier":
                public_key = hashlib.sha1(bytes(certificate.public_key["public_key"])).digest()  # noqa: S324
                named = sid.chosen.native in (certificate.key_identifier, public_key)
            else:
                named = certificate.serial_number == sid.chosen["serial_number"].native
                named = named and certificate.issuer == sid.chosen["issuer"]
        except BROKEN:
            continue  # an odd certificate among them is nobody's signer
        found += [certificate] if named else []
    return found


def _maker(
    named: list[x509.Certificate], signature: bytes, data: bytes, algorithm: str, where: str
) -> x509.Certificate:
    """The one of several certificates by whose key the signature was made."""
    for number, certificate in enumerate(named, 1):
        try:
            _verify(certificate, signature, data, algorithm, where)
        except PackageError:
            if number == len(named):
                raise
        else:
            return certificate
    raise PackageError("does not hold the certificate of its signer", where)


def _verify(certificate: x509.Certificate, signature: bytes, data: bytes, name: str, where: str) -> None:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    digests: dict[str, hashes.HashAlgorithm] = {
        "sha1": hashes.SHA1(),  # noqa: S303 - old catalogues of other makers
        "sha256": hashes.SHA256(),
        "sha384": hashes.SHA384(),
        "sha512": hashes.SHA512(),
    }
    if name not in digests:
        raise PackageError(f"is signed with the hash {name}, which is not known here", where)
    try:
        key = serialization.load_der_public_key(certificate.public_key.dump())
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), digests[name])
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(digests[name]))
        else:
            raise PackageError("is signed with a key that is neither RSA nor ECDSA", where)
    except InvalidSignature as error:
        raise PackageError("has a signature that does not fit its signer's key", where) from error
    except UnsupportedAlgorithm as error:
        raise PackageError("is signed with a key that is neither RSA nor ECDSA", where) from error


def _countersigned(signer: cms.SignerInfo) -> datetime | None:
    """When a counter-signature says that this signature was there (RFC 3161, or PKCS#9 as before).

    The authority itself is not judged: it only decides at which time the signer's certificate is looked at.
    """
    attributes = signer["unsigned_attrs"]
    if isinstance(attributes, core.Void):
        return None
    for attribute in attributes:
        try:
            if attribute["type"].dotted == _TIME_STAMP:
                stamp = cms.ContentInfo.load(attribute["values"][0].dump())
                info = tsp.TSTInfo.load(stamp["content"]["encap_content_info"]["content"].parsed.dump())
                imprint = info["message_imprint"]
                hashed = hashlib.new(
                    imprint["hash_algorithm"]["algorithm"].native, signer["signature"].native
                )
                if hashed.digest() == imprint["hashed_message"].native:
                    return _utc(info["gen_time"].native)
            elif attribute["type"].native == "counter_signature":
                said = attribute["values"][0]["signed_attrs"]
                times = [item["values"][0] for item in said if item["type"].native == "signing_time"]
                return _utc(times[0].native)
        except BROKEN:
            continue
    return None


def _utc(when: datetime) -> datetime:
    return when if when.tzinfo else when.replace(tzinfo=UTC)
