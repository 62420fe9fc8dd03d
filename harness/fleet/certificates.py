# SPDX-License-Identifier: Apache-2.0
"""The keys by which hosts know each other: an authority of their own, and a certificate for each.

dask.distributed runs what it is sent, and what it is sent are pickles: who may speak to a scheduler or a
worker may run anything there.  So both sides always show a certificate of this one authority (TLS 1.2 or
later), and nothing is ever spoken without.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from harness.errors import UsageError
from vm.files import private_directory, write_whole

AUTHORITY, AUTHORITY_KEY = "ca.pem", "ca-key.pem"
_YEARS = timedelta(days=3 * 365)
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")


def make(folder: Path, names: list[str]) -> list[Path]:
    """Makes the authority where there is none, and a certificate with its key for each name; gives the files.

    Raises:
        UsageError: a name is none, its certificate is there already, or the authority's key is not.
    """
    for name in names:
        if not _NAME.fullmatch(name) or name == "ca":
            raise UsageError("is no name of a host: a to z, digits, dots, dashes", where=name)
        if (folder / f"{name}.pem").exists():
            raise UsageError("is there already", where=str(folder / f"{name}.pem"), hint="remove it first")
    private_directory(folder)
    made = []
    if not (folder / AUTHORITY).exists():
        key = ec.generate_private_key(ec.SECP256R1())
        _write(folder / AUTHORITY, folder / AUTHORITY_KEY, _authority(key), key)
        made += [folder / AUTHORITY, folder / AUTHORITY_KEY]
    authority, authority_key = _read_authority(folder)
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(name, key, authority, authority_key)
        paths = folder / f"{name}.pem", folder / f"{name}-key.pem"
        _write(*paths, certificate, key)
        made += paths
    return made


def files_of(folder: Path | None, name: str) -> tuple[str, str, str]:
    """Authority, certificate and key of a host.

    Raises:
        UsageError: the settings name no folder, a file is missing, others may read the key, or no host would
            take the certificate: it is of another authority, or not valid now.
    """
    if folder is None:
        raise UsageError(
            "hosts.keys is not set: hosts speak with each other by certificates alone",
            hint="kshs hosts keys DIR NAME... makes some (docs/hosts.md)",
        )
    paths = folder / AUTHORITY, folder / f"{name}.pem", folder / f"{name}-key.pem"
    for path in paths:
        if not path.is_file():
            raise UsageError("there is no such file", str(path), f"kshs hosts keys {folder} {name} makes it")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_verify_locations(paths[0])
        context.load_cert_chain(paths[1], paths[2])
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"these are no keys of a host: {error}", where=str(paths[1])) from None
    _check(*paths)
    return str(paths[0]), str(paths[1]), str(paths[2])


def _check(authority: Path, certificate: Path, key: Path) -> None:
    """What else would be said by a handshake alone, and there in the words of OpenSSL."""
    if key.stat().st_mode & 0o077:
        raise UsageError("others may read this key", str(key), f"chmod 600 {shlex.quote(str(key))}")
    trusted, shown = (x509.load_pem_x509_certificates(path.read_bytes()) for path in (authority, certificate))
    issuer = next((one for one in trusted if _has_issued(one, shown[-1])), None)
    if issuer is None:
        raise UsageError(
            "is of another authority", str(certificate), f"{authority} is not the one that has signed it"
        )
    now = datetime.now(UTC)
    for one, path in ((issuer, authority), *((one, certificate) for one in shown)):
        if not one.not_valid_before_utc <= now <= one.not_valid_after_utc:
            since = f"{one.not_valid_before_utc:%Y-%m-%d} to {one.not_valid_after_utc:%Y-%m-%d}"
            raise UsageError(
                f"is valid from {since} and not now, {now:%Y-%m-%d}",
                where=str(path),
                hint="look at the clock; else remove the folder and make all keys anew: kshs hosts keys",
            )


def _has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    with contextlib.suppress(ValueError, TypeError, InvalidSignature):
        certificate.verify_directly_issued_by(issuer)
        return True
    return False


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    made = _builder("kshs hosts", "kshs hosts", key.public_key())
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    made = made.add_extension(usage, critical=True)
    subject = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return made.add_extension(subject, critical=False).sign(key, hashes.SHA256())


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    made = _builder(name, "kshs hosts", key.public_key())
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())  # type: ignore[arg-type]
    return made.add_extension(issuer, critical=False).sign(authority_key, hashes.SHA256())


def _builder(name: str, issuer: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _YEARS)
    )


def _read_authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate((folder / AUTHORITY).read_bytes())
        key = load_pem_private_key((folder / AUTHORITY_KEY).read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"the authority's key cannot be read: {error}", str(folder), "it stays where it was made"
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise UsageError("is not the authority's key", where=str(folder / AUTHORITY_KEY))
    return certificate, key


def _write(
    path: Path, key_path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_whole(key_path, secret, mode=0o600)
    write_whole(path, certificate.public_bytes(Encoding.PEM), mode=0o644)
