# SPDX-License-Identifier: Apache-2.0
"""Keys of the gate: public ones from PEM files, private ones from a PEM file or a PKCS#11 token.

securesystemslib does what is cryptography; what is here is which keys are taken, and what is said of others.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import CryptoSigner, HSMSigner, SSlibKey
from securesystemslib.signer import Signer as KeySigner

from harness.errors import HarnessError, UsageError
from harness.gate.policy import LoadedPolicy, May
from harness.gate_settings import TOKEN

_MOST_KEY_BYTES = 1 << 16
_MAKE = "make one: openssl genpkey -algorithm ed25519 -out KEY; openssl pkey -in KEY -pubout -out KEY.pub"


@dataclass(frozen=True)
class Trusted:
    """A public key, whose it is, what its owner may do, and since when it counts no more."""

    name: str
    key: SSlibKey
    may: frozenset[May]
    revoked: date | None = None

    @property
    def keyid(self) -> str:
        """By which signatures name it: it follows from the key alone."""
        return str(self.key.keyid)


@dataclass(frozen=True)
class TokenSettings:
    """How a PKCS#11 token is reached: its library, and the file with its PIN, else the variable KSHS_PIN."""

    module: Path | None = None
    pin: Path | None = None


def public_key(path: Path) -> SSlibKey:
    """A public key in PEM.

    Raises:
        UsageError: it cannot be read, or is of another kind.
    """
    try:
        loaded = load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"this is no public key in PEM ({error})", str(path), _MAKE) from None
    if not isinstance(loaded, Ed25519PublicKey | EllipticCurvePublicKey):
        raise UsageError("this is neither an ed25519 nor an ECDSA key", str(path), _MAKE)
    try:
        return SSlibKey.from_crypto(loaded)
    except ValueError as error:
        raise UsageError(f"this key is not taken: {error}", str(path), _MAKE) from None


def of_policy(loaded: LoadedPolicy) -> list[Trusted]:
    """The signers of a policy.

    Raises:
        UsageError: a key cannot be read, or two signers have the same: nobody can be his own second signer.
    """
    found: dict[str, Trusted] = {}
    for one in loaded.policy.signer:
        path = loaded.path(one.key)
        trusted = Trusted(one.name, public_key(path), frozenset(one.may), one.revoked)
        other = found.setdefault(trusted.keyid, trusted)
        if other is not trusted:
            raise UsageError(f"is the key of {other.name} and of {one.name}", str(path), "each has a key")
    return list(found.values())


def of_files(paths: Iterable[Path]) -> list[Trusted]:
    """Public keys that were given by hand: trusted for statements alone."""
    return [Trusted(path.name, public_key(path), frozenset({May.RELEASE})) for path in paths]


def signer(said: str, token: TokenSettings | None = None) -> KeySigner:
    """What signs with a private key.

    Args:
        said: a PEM file, or ``hsm:ID?label=TOKEN`` for an ECDSA key on a PKCS#11 token.
        token: how the token is reached.

    Raises:
        UsageError: there is no such key, it is of another kind, or it wants a password.
        HarnessError: the token does not answer.
    """
    if said.startswith(TOKEN):
        return _on_token(said, token or TokenSettings())
    path = Path(said)
    try:
        loaded = load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"this is no private key in PEM without a password ({error})", str(path), _MAKE
        ) from None
    if not isinstance(loaded, Ed25519PrivateKey | EllipticCurvePrivateKey):
        raise UsageError("this is neither an ed25519 nor an ECDSA key", str(path), _MAKE)
    try:
        return CryptoSigner(loaded)
    except ValueError as error:
        raise UsageError(f"this key is not taken: {error}", str(path), _MAKE) from None


def _on_token(said: str, token: TokenSettings) -> KeySigner:
    # Both are securesystemslib's: the library is found by this variable, and by nothing else.
    if token.module is not None:
        os.environ["PYKCS11LIB"] = str(token.module)
    uri, _, query = said.removeprefix(TOKEN).partition("?")
    label = query.removeprefix("label=") or None
    pin = _Pin(token.pin)
    try:
        made, key = HSMSigner.import_(int(uri) if uri else None, label, pin)
        return HSMSigner.from_priv_key_uri(made, key, pin)
    except UnsupportedLibraryError as error:
        raise UsageError(f"PKCS#11 needs a library: {error}", said, 'pip install "kshs[pkcs11]"') from None
    except ValueError as error:
        raise UsageError(
            f"there is no such key: {error}", said, "hsm:ID?label=TOKEN, and gate.pkcs11 in kshs.toml"
        ) from None
    except HarnessError:
        raise
    except Exception as error:  # every error of a token has a class of its own
        raise HarnessError(f"the token does not answer: {type(error).__name__} {error}", said) from None


def sign_with(made: KeySigner, envelope: Any) -> None:
    """Adds a signature to an envelope.

    Raises:
        HarnessError: the token does not sign.
    """
    try:
        envelope.sign(made)
    except HarnessError:
        raise
    except Exception as error:  # every error of a token has a class of its own
        raise HarnessError(
            f"nothing could be signed: {type(error).__name__} {error}", hint="is the PIN right?"
        ) from None


class _Pin:
    """Hands out a token's PIN; it is in no command line and no log."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def __call__(self, secret: str) -> str:
        if self._file is not None:
            return _read(self._file).decode("utf-8", errors="replace").strip()
        pin = os.environ.get("KSHS_PIN")
        if pin is None:
            raise UsageError("the token wants a PIN", hint="gate.pin in kshs.toml names a file, or KSHS_PIN")
        return pin


def by_keyid(trusted: Iterable[Trusted]) -> Mapping[str, Trusted]:
    """Signers by what signatures call their keys."""
    return {one.keyid: one for one in trusted}


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_MOST_KEY_BYTES)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", str(path)) from None
