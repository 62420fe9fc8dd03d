# SPDX-License-Identifier: Apache-2.0
"""Signatures of capsules: ed25519 over the manifest, which has the digests of all other members."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from harness.errors import UsageError

#: Bytes of an ed25519 signature (RFC 8032).
SIZE = 64
_MOST_KEY_BYTES = 1 << 16
_MAKE = "make one: openssl genpkey -algorithm ed25519 -out KEY"


def sign(manifest: bytes, key: Path) -> bytes:
    """The signature of a manifest by a private key in PEM.

    Raises:
        UsageError: there is no such key, or it is of another kind, or it wants a password.
    """
    try:
        loaded = load_pem_private_key(_read(key), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"this is no private key in PEM without a password ({error})", str(key), _MAKE
        ) from None
    if not isinstance(loaded, Ed25519PrivateKey):
        raise UsageError("this is no ed25519 key", str(key), _MAKE)
    return loaded.sign(manifest)


def signer(manifest: bytes, signature: bytes, keys: Sequence[Path]) -> Path | None:
    """The public key among these by which a manifest was signed; None: by none of them.

    Raises:
        UsageError: one of the keys cannot be read.
    """
    for path in keys:
        try:
            loaded = load_pem_public_key(_read(path))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise UsageError(
                f"this is no public key in PEM ({error})", str(path), "capsule.keys names it"
            ) from None
        if not isinstance(loaded, Ed25519PublicKey):
            raise UsageError("this is no ed25519 key", str(path), "capsule.keys names it")
        try:
            loaded.verify(signature, manifest)
        except InvalidSignature:
            continue
        return path
    return None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_MOST_KEY_BYTES)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", str(path)) from None
