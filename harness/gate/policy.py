# SPDX-License-Identifier: Apache-2.0
"""gate.toml: what has to hold before a driver package may be released."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from harness.language.strict import Strict
from harness.language.toml_file import Complaint, TomlFile
from harness.language.toml_problems import validation_problems
from harness.rules import Rule

POLICY = "gate.toml"

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=400)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class May(StrEnum):
    """What a signer may do."""

    RELEASE = "release"
    """Sign the statement."""
    WAIVE = "waive"
    """Sign waivers."""
    SECOND = "second"
    """Sign a waiver as the second one, for a second release in a row."""


class Signer(Strict):
    """Somebody whose signature counts."""

    name: Word
    key: Path = Field(description="public key in PEM: ed25519, or ECDSA on P-256, P-384 or P-521")
    may: list[May] = Field(min_length=1, description="release, waive, second")
    revoked: date | None = Field(
        default=None, description="since when the key counts no more; nothing that it ever signed does"
    )


class TargetPolicy(Strict):
    """What is to be released."""

    name: str = Field(min_length=1, max_length=200, description="the target's name, as runs have it")
    run: str | None = Field(
        default=None,
        min_length=1,
        description="what kshs run calls it (--target), where that is another word",
    )
    hardware_id: str | None = Field(
        default=None, min_length=1, description="of the device; else as the store knows it from the last run"
    )
    beside: list[Pattern] = Field(
        default_factory=list,
        description="patterns of files in the package's directory that no guest gets, *.pdb say",
    )


class Released(Strict):
    """The package that was released last; one of the keys."""

    package: Path | None = Field(default=None, description="its directory")
    digest: Digest | None = Field(default=None, description="its digest, as kshs store list --json has it")
    statement: Path | None = Field(default=None, description="the statement of its gate")
    run: str | None = Field(default=None, min_length=1, description="what kshs run calls it (--target)")
    first: bool = Field(strict=True, default=False, description="true: nothing was released before")

    @model_validator(mode="after")
    def _says_what(self) -> Released:
        named = [self.package, self.digest, self.statement]
        if self.first and any(named):
            raise ValueError("first says that nothing was released before: take the other key away")
        if self.package is not None and self.digest is not None:
            raise ValueError("say package or digest: two of them may be two packages")
        if not self.first and not any(named):
            raise ValueError("say package, digest or statement, or first = true where nothing was released")
        return self


class Suite(Strict):
    """Scenarios that each run must hold, all of them; the keys are the options of kshs run."""

    paths: list[Path] = Field(
        default_factory=list, description="scenario files and directories; else the catalogue"
    )
    rule: list[Rule] = Field(default_factory=list, description="only scenarios of these rules")
    tag: list[Pattern] = Field(default_factory=list, description="only those with these tags")
    id: list[Pattern] = Field(default_factory=list, description="only those whose ids match these patterns")
    passed: int = Field(
        strict=True,
        default=1,
        ge=1,
        description="so many of them must pass in each run: skipped ones show nothing",
    )


class Require(Strict):
    """Runs that must be there: a guest, with its legs, and a suite."""

    name: Word
    guest: str = Field(
        min_length=1, max_length=200, description="recipe of the guest, as in kshs run --guest"
    )
    kernel_builds: list[str] = Field(
        default_factory=list, description="each of these builds; else whichever the last run was on"
    )
    verifier: Pattern | None = Field(
        default=None, description="pattern of the Driver Verifier's settings, as kshs store list has them"
    )
    accelerator: Word | None = Field(default=None, description="kvm or tcg")
    real_ks: bool = Field(
        strict=True, default=False, description="true: no run with the reference ks.sys counts"
    )
    repeats: int = Field(strict=True, default=1, ge=1, le=1000, description="so many whole runs")
    suite: Suite = Field(default_factory=Suite)


class Failures(Strict):
    """Which failures beside waived ones are let through."""

    known_issues: bool = Field(
        strict=True, default=False, description="true: those of known-issues.toml and quarantine.toml"
    )
    as_released: bool = Field(
        strict=True, default=False, description="true: those with which the released package fails as well"
    )


class Flakes(Strict):
    """How unreliable scenarios may be: the upper end of Wilson's interval at 95% must not be above it."""

    suite: float = Field(
        strict=True, default=0.05, gt=0, lt=1, description="all scenarios of a requirement together"
    )
    scenario: float | None = Field(
        strict=True, default=None, gt=0, lt=1, description="each one; needs many runs"
    )


class EvidencePolicy(Strict):
    """How old things may be."""

    run_days: float = Field(
        strict=True, default=30, gt=0, le=3660, description="runs that are older do not count"
    )
    image_days: float = Field(
        strict=True, default=90, gt=0, le=3660, description="how old an image may be when it is run"
    )


class SelfTestPolicy(Strict):
    """The self-test that must have passed beside each run."""

    required: bool = Field(default=True, strict=True, description="false: none is asked for")
    cases: Literal["all", "short"] = Field(default="all", description="all of its cases, or the short set")
    hours: float = Field(
        strict=True, default=24, gt=0, le=24 * 31, description="so far from the run at most, before or behind"
    )


class WaiverPolicy(Strict):
    """What may be waived, and for how long."""

    allowed: bool = Field(default=True, strict=True, description="false: no waiver counts")
    days: int = Field(strict=True, default=90, ge=1, le=366, description="how long a waiver may last at most")
    folder: Path = Field(default=Path("waivers"), description="where they are")


class Policy(Strict):
    """All of gate.toml."""

    schema_: Literal[1] = Field(alias="schema")
    name: str = Field(min_length=1, max_length=200, description="what the statement calls it")
    target: TargetPolicy
    released: Released
    require: list[Require] = Field(min_length=1, max_length=100)
    failures: Failures = Field(default_factory=Failures)
    flakes: Flakes = Field(default_factory=Flakes)
    evidence: EvidencePolicy = Field(default_factory=EvidencePolicy)
    selftest: SelfTestPolicy = Field(default_factory=SelfTestPolicy)
    waivers: WaiverPolicy = Field(default_factory=WaiverPolicy)
    signer: list[Signer] = Field(default_factory=list, max_length=100)


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy, the file that it came from, and the digest of that file's bytes."""

    policy: Policy
    file: Path
    sha256: str

    def path(self, path: Path) -> Path:
        """A path of the file, which is relative to it."""
        return path if path.is_absolute() else self.file.absolute().parent / path


def load(path: Path, *, judging: bool = True) -> LoadedPolicy:
    """Reads a policy.

    Args:
        path: of the file.
        judging: whether a package is to be judged by it; who verifies a statement needs its signers alone,
            and may have neither the scenarios nor the packages that it names.

    Raises:
        TomlFileError: what is wrong with it, each with its line.
    """
    file = TomlFile(path)
    try:
        found = Policy.model_validate(file.data)
    except ValidationError as error:
        problems = validation_problems(error, Policy, file.data)
        raise file.fail([file.complaint(key, message, hint) for key, message, hint in problems]) from None
    complaints = [
        *_twice(file, "require", [one.name for one in found.require]),
        *_twice(file, "signer", [one.name for one in found.signer]),
        *_missing(file, found, judging),
    ]
    if complaints:
        raise file.fail(complaints)
    return LoadedPolicy(found, path, hashlib.sha256(path.read_bytes()).hexdigest())


def _twice(file: TomlFile, table: str, names: list[str]) -> list[Complaint]:
    return [
        file.complaint((table, number, "name"), f"{name} is there twice")
        for number, name in enumerate(names)
        if name in names[:number]
    ]


def _missing(file: TomlFile, policy: Policy, judging: bool) -> list[Complaint]:
    """Paths of files that have to be there."""
    wanted: list[tuple[tuple[str | int, ...], Path]] = [
        (("signer", number, "key"), one.key) for number, one in enumerate(policy.signer)
    ]
    for key in ("package", "statement"):
        path = getattr(policy.released, key)
        if path is not None and judging:
            wanted.append((("released", key), path))
    for number, require in enumerate(policy.require if judging else ()):
        wanted += [
            (("require", number, "suite", "paths", place), path)
            for place, path in enumerate(require.suite.paths)
        ]
    return [
        file.complaint(key, f"there is no {path}", "paths are relative to this file")
        for key, path in wanted
        if not (file.path.absolute().parent / path).exists()
    ]
