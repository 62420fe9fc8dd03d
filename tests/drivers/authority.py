# SPDX-License-Identifier: Apache-2.0
"""Certificates of a made-up company, and catalogues that they sign."""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as text
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import AuthorityInformationAccessOID as Access
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.UTC)


@cache
def key(number: int) -> rsa.RSAPrivateKey:
    """The same for the same number: making one takes long."""
    return rsa.generate_private_key(65537, 2048 + 64 * number)


def certificate(
    name: str,
    own: rsa.RSAPrivateKey,
    issuer: x509.Certificate | None = None,
    issuer_key: rsa.RSAPrivateKey | None = None,
    *,
    authority: bool = False,
    serial: int | None = None,
    extensions: Sequence[x509.ExtensionType] = (),
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
    days: tuple[int, int] = (-10, 400),
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(own.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(NOW + datetime.timedelta(days=days[0]))
        .not_valid_after(NOW + datetime.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key or own, hashes.SHA256())


def online(port: int) -> list[x509.ExtensionType]:
    """Every address in a certificate that somebody might ask: CRL, OCSP and the issuer's certificate."""
    address = x509.UniformResourceIdentifier(f"http://127.0.0.1:{port}/x")
    return [
        x509.CRLDistributionPoints([x509.DistributionPoint([address], None, None, None)]),
        x509.AuthorityInformationAccess(
            [x509.AccessDescription(Access.OCSP, address), x509.AccessDescription(Access.CA_ISSUERS, address)]
        ),
    ]


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(text.Encoding.PEM) for one in certificates)


def der(one: x509.Certificate) -> bytes:
    return one.public_bytes(text.Encoding.DER)


def private(own: rsa.RSAPrivateKey) -> bytes:
    return own.private_bytes(text.Encoding.PEM, text.PrivateFormat.TraditionalOpenSSL, text.NoEncryption())


def sign(unsigned: Path, signed: Path, chain: Sequence[x509.Certificate], own: rsa.RSAPrivateKey) -> None:
    """Sign a catalogue: the first certificate of ``chain`` is the signer's."""
    certificates, secret = signed.with_suffix(".chain"), signed.with_suffix(".key")
    certificates.write_bytes(pem(*chain))
    secret.write_bytes(private(own))
    command = ["osslsigncode", "sign", "-h", "sha256", "-certs", certificates, "-key", secret]
    signed.unlink(missing_ok=True)
    subprocess.run([*command, "-in", unsigned, "-out", signed], check=True, capture_output=True)
    certificates.unlink()
    secret.unlink()
