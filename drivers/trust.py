# SPDX-License-Identifier: Apache-2.0
"""Whether a signer's certificate leads to one that is trusted, judged offline.

OpenSSL's verification in this process (pyOpenSSL): it knows the certificates that it is given and asks
nobody else, whatever CRL distribution points, OCSP responders and issuers' addresses (AIA) they name.
Revocation is not looked at: a test certificate has none, and whoever asked a network would judge the same
package one way today and another way tomorrow.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import UTC, datetime

from asn1crypto import x509

from drivers.errors import SigningError

_CODE_SIGNING = ("code_signing", "any_extended_key_usage")


def require(signer: bytes, others: Iterable[bytes], trusted: Iterable[bytes], when: datetime | None) -> None:
    """Raise `SigningError` unless ``signer`` (DER) leads to a root among ``trusted`` (DER).

    Args:
        signer: the certificate.
        others: certificates that came with the signature: they may lead on, and are not trusted for it.
        trusted: what the judge has; only self-signed ones end a chain.
        when: at which time the certificates must be valid; None is now.
    """
    from OpenSSL import crypto

    usage = x509.Certificate.load(signer).extended_key_usage_value
    if usage is not None and not any(purpose in _CODE_SIGNING for purpose in usage.native):
        raise SigningError("its signer's certificate is not for code signing")
    store = crypto.X509Store()
    store.set_time((when or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None))
    for certificate in _loaded(trusted):
        store.add_cert(certificate)
    (leaf, *_) = _loaded([signer]) or [None]
    if leaf is None:
        raise SigningError("its signer's certificate cannot be read")
    try:
        crypto.X509StoreContext(store, leaf, _loaded(others)).verify_certificate()
    except crypto.X509StoreContextError as error:
        name = error.certificate.to_cryptography().subject.rfc4514_string() or "a certificate"
        raise SigningError(f"its signature leads to no trusted root: {name}: {error}") from error


def _loaded(ders: Iterable[bytes]) -> list:  # type: ignore[type-arg]
    """Those that OpenSSL can read."""
    from OpenSSL import crypto

    found = []
    for der in ders:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an odd serial number is not this one's to complain about
                found.append(crypto.load_certificate(crypto.FILETYPE_ASN1, der))
        except (crypto.Error, ValueError):
            continue
    return found
