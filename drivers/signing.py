# SPDX-License-Identifier: Apache-2.0
"""The test signing identity of a user, and Authenticode signatures by ``osslsigncode``.

A root certificate and a code signing leaf are made once per user.  The root's private key is dropped as soon
as it has signed the leaf: what a guest is told to trust can never sign anything else.  The leaf's key lies in
a directory of mode 0700 with mode 0600; it appears on no command line (only its path does) and in no message.
"""

from __future__ import annotations

import base64
import hashlib
import json
import stat
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from filelock import FileLock

from drivers.errors import SigningError
from drivers.files import write_atomically
from drivers.toolchain import find_program

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import rsa

_ROOT = "root.pem"
_LEAF = "signing.pem"
_CHAIN = "chain.pem"
_KEY = "signing.key"
_ABOUT = "identity.json"
_VALIDITY = timedelta(days=3650)


@dataclass(frozen=True)
class Identity:
    """Who signs: certificates (PEM), the leaf's private key (PEM, mode 0600) and when they are valid.

    ``signing_time`` (Unix seconds) goes into every signature: always the same, so that signing the same
    bytes gives the same bytes.  ``fingerprint`` is the SHA-256 of the leaf certificate in hexadecimal.
    """

    root: Path
    leaf: Path
    chain: Path
    key: Path
    fingerprint: str
    signing_time: int


def default_store() -> Path:
    """Where the identity of this user lies."""
    return platformdirs.user_data_path("kshs") / "signing"


def identity(store: Path | None = None) -> Identity:
    """The user's signing identity; made on the first call, by one process however many ask.

    Raises `SigningError` where the store is incomplete, expired, or readable by others.
    """
    directory = store or default_store()
    if not (directory / _ABOUT).is_file():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_private(directory)
        with FileLock(str(directory / ".lock")):
            if not (directory / _ABOUT).is_file():
                _make(directory)
    return _load(directory)


def _load(directory: Path) -> Identity:
    renew = f"remove {directory} and build again: guests then trust a new root"
    _check_private(directory)
    paths = [directory / name for name in (_ROOT, _LEAF, _CHAIN, _KEY)]
    for path in paths:
        if not path.is_file():
            raise SigningError("is missing", str(path), renew)
    _check_private(directory / _KEY)
    try:
        about = json.loads((directory / _ABOUT).read_text(encoding="utf-8"))
        expires, signing_time = int(about["not_after"]), int(about["signing_time"])
        fingerprint = hashlib.sha256(der(directory / _LEAF)).hexdigest()
        if fingerprint != about["fingerprint"]:
            raise SigningError("is not the certificate that was made here", str(directory / _LEAF), renew)
    except (ValueError, KeyError, TypeError) as error:
        raise SigningError("cannot be read", str(directory / _ABOUT), renew) from error
    if datetime.now(UTC).timestamp() > expires:
        raise SigningError("the test signing certificate has expired", str(directory), renew)
    root, leaf, chain, key = paths
    return Identity(root, leaf, chain, key, fingerprint, signing_time)


def _check_private(path: Path) -> None:
    status = path.stat()
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = "700" if path.is_dir() else "600"
        raise SigningError("is open to other users", str(path), f"run: chmod {mode} {path}")


def _make(directory: Path) -> None:
    """Keys and certificates; ``identity.json`` is written last and says that all of them are there."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID

    # The clock of a guest may be behind ours, therefore a day of grace.
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    root_key = rsa.generate_private_key(65537, 3072)
    leaf_key = rsa.generate_private_key(65537, 2048)
    root_name = _name(f"kshs test root {_short_id(root_key)}")
    authority = x509.BasicConstraints(ca=True, path_length=0)
    root = (
        _certificate(root_name, root_name, root_key.public_key(), root_key.public_key(), start)
        .add_extension(authority, critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(root_key, _sha256())
    )
    leaf_name = _name(f"kshs test signing {_short_id(leaf_key)}")
    leaf = (
        _certificate(leaf_name, root_name, leaf_key.public_key(), root_key.public_key(), start)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .sign(root_key, _sha256())
    )
    pem = serialization.Encoding.PEM
    key_pem = leaf_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    root_pem, leaf_pem = root.public_bytes(pem), leaf.public_bytes(pem)
    write_atomically(directory / _KEY, key_pem, 0o600)
    write_atomically(directory / _ROOT, root_pem)
    write_atomically(directory / _LEAF, leaf_pem)
    write_atomically(directory / _CHAIN, leaf_pem + root_pem)
    about = {
        "fingerprint": hashlib.sha256(leaf.public_bytes(serialization.Encoding.DER)).hexdigest(),
        "not_after": int((start + _VALIDITY).timestamp()),
        "signing_time": int((start + timedelta(days=1)).timestamp()),
    }
    write_atomically(directory / _ABOUT, json.dumps(about).encode())


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: rsa.RSAPublicKey,
    issuer_key: rsa.RSAPublicKey,
    start: datetime,
) -> x509.CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _VALIDITY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _sha256() -> hashes.SHA256:
    from cryptography.hazmat.primitives import hashes

    return hashes.SHA256()


def _name(text: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _short_id(key: rsa.RSAPrivateKey) -> str:
    """Eight hexadecimal digits of the key, so that one person's root is told from another's by name."""
    from cryptography import x509

    return x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest[:4].hex()


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def der(certificate: Path) -> bytes:
    """A PEM file's first certificate as DER."""
    lines = certificate.read_text(encoding="ascii").splitlines()
    try:
        begin = lines.index("-----BEGIN CERTIFICATE-----")
        end = lines.index("-----END CERTIFICATE-----")
        return base64.b64decode("".join(lines[begin + 1 : end]), validate=True)
    except ValueError as error:
        raise SigningError("holds no PEM certificate", str(certificate)) from error


def sign(source: Path, target: Path, signer: Identity, description: str) -> None:
    """An Authenticode signature (SHA-256) on a PE file or catalogue, written to ``target``.

    The same input gives the same output.  The signature has no counter-signature of a time stamping
    authority: it holds as long as the certificate does.
    """
    target.unlink(missing_ok=True)
    command = ["sign", "-h", "sha256", "-certs", str(signer.chain), "-key", str(signer.key)]
    command += ["-time", str(signer.signing_time), "-n", description, "-in", str(source), "-out", str(target)]
    code, text = _osslsigncode(command)
    if code != 0 or not target.is_file():
        target.unlink(missing_ok=True)
        raise SigningError(f"osslsigncode cannot sign it: {_reason(text)}", source.name)


def _osslsigncode(arguments: list[str]) -> tuple[int, str]:
    program = find_program("osslsigncode", "osslsigncode")
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=120,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SigningError("osslsigncode did not end within two minutes") from error
    return done.returncode, done.stdout


def _reason(text: str) -> str:
    """The line of osslsigncode's output that says most."""
    lines = [line.strip() for line in text.splitlines() if line.strip() not in ("", "Failed", "Succeeded")]
    telling = [
        line
        for line in lines
        if any(word in line.lower() for word in ("error", "mismatch", "fail", "no sig"))
    ]
    return (telling or lines or ["no reason given"])[0][:200]
