# SPDX-License-Identifier: Apache-2.0
"""Waivers: signed and expiring allowances, each for one failure of one driver on one guest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError, model_validator
from securesystemslib.signer import Signer as KeySigner

from harness.gate.envelope import MOST_BYTES, EnvelopeError, Signed, add_signature, seal, strict_json
from harness.gate.envelope import load as load_signed
from harness.gate.keys import Trusted
from harness.gate.policy import Digest, May, Word
from harness.language.strict import Strict

if TYPE_CHECKING:  # a statement is verified without a store
    from harness.gate.failures import Failure

KIND = "application/vnd.kshs.waiver+json"
ENDING = ".waiver.json"

Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]


class Waiver(Strict):
    """What is let through: one failure, of these versions or this package, until a day.

    `failure` is the identity of the failure (`harness.gate.failures.Failure`); scenario, what, reason and
    signature say the same for people.
    """

    schema_: Literal[1] = Field(alias="schema")
    id: Word
    made: AwareDatetime
    expires: date
    owner: Word
    why: Text
    target: Text
    package: Digest | None = None
    versions: list[Text] = Field(default_factory=list)
    guest: Text
    scenario: Text
    what: Text
    reason: Text
    signature: Text | None = None
    failure: Digest

    @model_validator(mode="after")
    def _bound(self) -> Waiver:
        if (self.package is None) == (not self.versions):
            raise ValueError("a waiver is for one package, or for versions of the driver")
        return self

    def covers(self, failure: Failure) -> bool:
        """Whether it is about a failure: the same scenario, the same answers, the same driver and guest."""
        conditions = failure.conditions
        if failure.identity is None or (failure.key, failure.identity) != (self.scenario, self.failure):
            return False
        if (conditions.target, conditions.recipe) != (self.target, self.guest):
            return False
        if self.package is not None:
            return conditions.package == self.package
        return conditions.version is not None and conditions.version in self.versions

    @property
    def matter(self) -> tuple[str, str]:
        """What is waived, whatever the waiver is called: a second waiver for it is the same again."""
        return self.scenario, self.failure


@dataclass(frozen=True)
class WaiverFile:
    """A waiver's file; `problem` says why it does not count, and `waiver` is None where it cannot be read."""

    file: Path
    sha256: str
    waiver: Waiver | None
    signed: Signed | None
    problem: str | None

    @property
    def name(self) -> str:
        """Its id, or that of the file."""
        return self.waiver.id if self.waiver is not None else self.file.name

    @property
    def second(self) -> Trusted | None:
        """The second signer, where one has signed who is not the owner."""
        if self.signed is None or self.waiver is None:
            return None
        owner = self.waiver.owner
        return next((one for one in self.signed.by if May.SECOND in one.may and one.name != owner), None)


def write(waiver: Waiver, signer: KeySigner) -> bytes:
    """A waiver's file.

    Raises:
        HarnessError: the key's token does not sign.
    """
    payload = json.dumps(waiver.model_dump(mode="json", by_alias=True), sort_keys=True, ensure_ascii=True)
    return seal(payload.encode(), KIND, signer)


def sign_again(file: WaiverFile, signer: KeySigner) -> bytes:
    """A waiver's file with one more signature.

    Raises:
        HarnessError: the key's token does not sign.
    """
    assert file.signed is not None, "somebody has read it"
    return add_signature(file.signed, signer)


def load_folder(folder: Path, signers: Sequence[Trusted], now: datetime, days: int) -> list[WaiverFile]:
    """All waivers of a directory; there need not be one.

    Args:
        folder: of the policy.
        signers: of the policy.
        now: UTC.
        days: how long a waiver may last.
    """
    files = sorted(folder.glob(f"*{ENDING}")) if folder.is_dir() else []
    found = [load(path, signers, now, days) for path in files]
    names = [one.name for one in found]
    return [_once(one, names) for one in found]


def load(path: Path, signers: Sequence[Trusted], now: datetime, days: int) -> WaiverFile:
    """One waiver, with what is wrong with it."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return WaiverFile(path, "", None, None, "is no file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        signed = load_signed(data, KIND, signers)
        waiver = parsed(signed)
    except OSError as error:
        return WaiverFile(path, "", None, None, f"cannot be read: {error.strerror}")
    except EnvelopeError as error:
        return WaiverFile(path, "", None, None, str(error))
    digest = hashlib.sha256(data).hexdigest()
    return WaiverFile(path, digest, waiver, signed, _problem(waiver, signed, now, days))


def parsed(signed: Signed) -> Waiver:
    """The waiver in a signed file, whoever has signed it.

    Raises:
        EnvelopeError: it holds none.
    """
    try:
        return Waiver.model_validate_json(json.dumps(strict_json(signed.payload)))
    except ValidationError:
        raise EnvelopeError("it is no waiver of this kshs") from None


def _problem(waiver: Waiver, signed: Signed, now: datetime, days: int) -> str | None:
    owner = next((one for one in signed.by if one.name == waiver.owner and May.WAIVE in one.may), None)
    if owner is None:
        others = "; ".join(signed.problems) or "who has signed it may not, or is somebody else"
        return f"it is not signed by its owner {waiver.owner}: {others}"
    today = now.astimezone(UTC).date()
    if waiver.made > now:
        return f"it was made on {waiver.made:%Y-%m-%d %H:%M}, which is still to come"
    if (waiver.expires - waiver.made.astimezone(UTC).date()).days > days:
        return f"it lasts longer than the {days} days of the policy"
    if today > waiver.expires:
        return f"it expired on {waiver.expires}"
    return None


def _once(one: WaiverFile, names: Sequence[str]) -> WaiverFile:
    if one.problem is None and names.count(one.name) > 1:
        return WaiverFile(one.file, one.sha256, one.waiver, one.signed, "its id stands in several files")
    return one


@dataclass(frozen=True)
class Waived:
    """Failures by what became of them; `used` are waivers with what each covers, `idle` those for nothing."""

    covered: Sequence[tuple[Failure, WaiverFile]]
    open: Sequence[Failure]
    used: Sequence[WaiverFile]
    idle: Sequence[WaiverFile]


def apply(files: Sequence[WaiverFile], failures: Iterable[Failure]) -> Waived:
    """Holds failures against waivers that count."""
    sound = [one for one in files if one.problem is None and one.waiver is not None]
    covered: list[tuple[Failure, WaiverFile]] = []
    left: list[Failure] = []
    for failure in failures:
        found = next((one for one in sound if one.waiver and one.waiver.covers(failure)), None)
        if found is None:
            left.append(failure)
        else:
            covered.append((failure, found))
    used = [one for one in sound if any(other is one for _, other in covered)]
    return Waived(covered, left, used, [one for one in sound if one not in used])
