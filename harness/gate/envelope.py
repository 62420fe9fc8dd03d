# SPDX-License-Identifier: Apache-2.0
"""Signed files: a payload in a DSSE envelope, in one spelling only: no byte of one is free to be changed.

DSSE signs type and payload; how the envelope around them is spelt is left open, and libraries take much of
it (blanks, base64 that no encoder writes, members in any order).  A file of ours that is not spelt as we
spell it was touched by somebody, and is refused although its signature may still be good.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import Signer as KeySigner

from harness.gate.keys import Trusted, by_keyid, sign_with

MOST_BYTES = 1 << 26


class EnvelopeError(ValueError):
    """A signed file cannot be taken; the text says why."""


@dataclass(frozen=True)
class Signed:
    """A signed file that was read: what it holds, and who has signed it as far as keys are known.

    `by` are signers whose signature is good, `problems` says what is wrong with the others.
    """

    payload: bytes
    envelope: Envelope
    by: tuple[Trusted, ...]
    problems: tuple[str, ...]


def seal(payload: bytes, kind: str, signer: KeySigner) -> bytes:
    """The file of a payload, signed.

    Raises:
        HarnessError: the key's token does not sign.
    """
    envelope = Envelope(payload, kind, {})
    sign_with(signer, envelope)
    return spelt(envelope)


def add_signature(signed: Signed, signer: KeySigner) -> bytes:
    """The file with one more signature.

    Raises:
        HarnessError: the key's token does not sign.
    """
    sign_with(signer, signed.envelope)
    return spelt(signed.envelope)


def spelt(envelope: Envelope) -> bytes:
    """The one spelling of an envelope."""
    return (json.dumps(envelope.to_dict(), indent=1, sort_keys=True) + "\n").encode()


def load(data: bytes, kind: str, trusted: Iterable[Trusted]) -> Signed:
    """Reads a signed file.

    Args:
        data: its bytes.
        kind: the payload's type that it must have.
        trusted: whose signatures are looked at.

    Raises:
        EnvelopeError: it is no such file, or not spelt as it was written.
    """
    if len(data) > MOST_BYTES:
        raise EnvelopeError(f"it has more than {MOST_BYTES >> 20} MiB")
    try:
        envelope = Envelope.from_dict(json.loads(data))
        again = spelt(envelope)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EnvelopeError(f"it is no DSSE envelope ({type(error).__name__}: {error})") from None
    except Exception as error:  # securesystemslib's own errors share no base class with Python's
        raise EnvelopeError(f"it is no DSSE envelope ({error})") from None
    if again != data:
        raise EnvelopeError("it is not spelt as it was written: somebody has changed it")
    if envelope.payload_type != kind:
        raise EnvelopeError(f"it holds {str(envelope.payload_type)[:100]!r}, where {kind} is wanted")
    by, problems = _signatures(envelope, by_keyid(trusted))
    return Signed(envelope.payload, envelope, by, problems)


def read(path: Path, kind: str, trusted: Iterable[Trusted]) -> Signed:
    """The same of a file.

    Raises:
        EnvelopeError: see `load`.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return load(file.read(MOST_BYTES + 1), kind, trusted)


def _signatures(
    envelope: Envelope, keys: Mapping[str, Trusted]
) -> tuple[tuple[Trusted, ...], tuple[str, ...]]:
    by: list[Trusted] = []
    problems: list[str] = []
    if not envelope.signatures:
        problems.append("nobody has signed it")
    for keyid, signature in envelope.signatures.items():
        known = keys.get(keyid)
        if known is None:
            problems.append(f"signed by a key that is not known here ({keyid[:16]})")
            continue
        try:
            known.key.verify_signature(signature, envelope.pae())
        except (UnverifiedSignatureError, VerificationError):
            problems.append(f"its signature by {known.name} is wrong")
            continue
        if known.revoked is not None:
            problems.append(f"the key of {known.name} counts no more since {known.revoked}")
        else:
            by.append(known)
    return tuple(by), tuple(problems)


def strict_json(payload: bytes) -> Any:
    """A JSON value in which no name stands twice: of two, readers differ in which one they see.

    Raises:
        EnvelopeError: it is none.
    """

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(members)
        if len(made) != len(members):
            raise EnvelopeError("a name in it stands twice")
        return made

    try:
        return json.loads(payload, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        if isinstance(error, EnvelopeError):
            raise
        raise EnvelopeError("it holds no JSON") from None
