# SPDX-License-Identifier: Apache-2.0
"""The statement of a yes: an in-toto Statement v1 in a DSSE envelope.

Its predicate is our own: in-toto's for test results (v0.1) knows passed, warned and failed, and would have to
call what was skipped or never ran one of these.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError, model_validator
from securesystemslib.signer import Signer as KeySigner

from drivers.package import digest_files
from harness.gate.envelope import EnvelopeError, Signed, read, seal, strict_json
from harness.gate.keys import Trusted
from harness.gate.policy import Digest, May
from harness.gate.rule_names import RuleName
from harness.language.strict import Strict
from harness.results.seal import is_path
from harness.verdict import Verdict

KIND = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
#: No address: nothing is to be fetched to understand it (docs/gate.md, "The statement").
PREDICATE_TYPE: Final = "urn:kshs:gate:1"

MOST_TEXT = 8000
Text = Annotated[str, StringConstraints(min_length=1, max_length=MOST_TEXT)]
Maybe = Annotated[str, StringConstraints(max_length=MOST_TEXT)] | None
Count = Annotated[int, Field(ge=0)]


class StatementError(ValueError):
    """A statement cannot be relied on; the text says why."""


class DigestSet(Strict):
    """in-toto's: SHA-256 alone."""

    sha256: Digest


class Subject(Strict):
    """One file of the package."""

    name: Text
    digest: DigestSet

    @model_validator(mode="after")
    def _stays_inside(self) -> Subject:
        if not is_path(self.name):
            raise ValueError("it is no path within a package")
        return self


class PolicySaid(Strict):
    """The policy by which it was judged."""

    name: Text
    sha256: Digest


class CandidateSaid(Strict):
    """The package; `beside` are patterns of files that may lie beside its own."""

    target: Text
    package: Digest
    version: Maybe
    catalogue: Text
    beside: list[Text]


class RuleSaid(Strict):
    """One rule, and the runs behind it."""

    rule: RuleName
    ok: bool
    said: list[Text]
    runs: list[Text]


class RunSaid(Strict):
    """One run: what it was made on, what it says, and by which digests it can be found again."""

    name: Text
    role: Literal["candidate", "released"]
    counted: bool
    started: Maybe
    guest: Text
    kernel: Maybe
    kernel_build: Maybe
    ks_sha256: Maybe
    ks_version: Maybe
    ks_ours: bool | None
    verifier: Maybe
    accelerator: Maybe
    image: Maybe
    image_made: Maybe
    image_expires: Maybe
    package: Maybe
    kshs: Maybe
    build: Maybe
    store_row: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    store_rows: Digest
    results: Digest
    counts: dict[Verdict, Count]

    @model_validator(mode="after")
    def _all_six(self) -> RunSaid:
        if set(self.counts) != set(Verdict):
            raise ValueError("each of the six verdicts has its count")
        return self


class SelfTestSaid(Strict):
    """A self-test behind the verdict."""

    sha256: Digest
    started: Maybe
    selected: Text
    cases: Count


class WaiverSaid(Strict):
    """A waiver that was needed, with what it covers; one row for each failure."""

    id: Text
    sha256: Digest
    owner: Text
    second: Maybe
    expires: Text
    scenario: Text
    failure: Digest
    why: Text


class Skip(Strict):
    """What was not tested, and why."""

    scenario: Text
    reason: Maybe


class Evidence(Strict):
    """A file that an auditor needs, by the name that a bundle gives it."""

    name: Text
    sha256: Digest

    @model_validator(mode="after")
    def _stays_inside(self) -> Evidence:
        if not is_path(self.name):
            raise ValueError("it is no path within a bundle")
        return self


class Predicate(Strict):
    """All that was said of the candidate."""

    schema_: Literal[1] = Field(alias="schema")
    verdict: Literal["yes"]
    created: AwareDatetime
    kshs: Text
    policy: PolicySaid
    candidate: CandidateSaid
    released: Maybe
    rules: list[RuleSaid]
    counts: dict[Verdict, Count]
    runs: list[RunSaid]
    selftests: list[SelfTestSaid]
    waivers: list[WaiverSaid]
    skipped: list[Skip]
    never_accepted: list[Text]
    not_counted: list[Text]
    evidence: list[Evidence]


class Statement(Strict):
    """The whole statement."""

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: list[Subject] = Field(min_length=1)
    predicateType: Literal["urn:kshs:gate:1"]  # noqa: N815 - in-toto's own spelling
    predicate: Predicate

    @model_validator(mode="after")
    def _consistent(self) -> Statement:
        wrong = contradiction(self)
        if wrong is not None:
            raise ValueError(wrong)
        return self


def contradiction(statement: Statement) -> str | None:
    """What in a statement contradicts itself; None where nothing does."""
    said = statement.predicate
    names = [subject.name for subject in statement.subject]
    if len(set(names)) != len(names):
        return "a file stands in it twice"
    if said.candidate.catalogue not in names:
        return "the catalogue is not among its files"
    files = {subject.name: subject.digest.sha256 for subject in statement.subject}
    if digest_files(files) != said.candidate.package:
        return "its files are not those of the package that was tested"
    rules = [rule.rule for rule in said.rules]
    if sorted(rules) != sorted(RuleName) or not all(rule.ok for rule in said.rules):
        return "not every rule of the gate is in it and holds"
    counted = [run for run in said.runs if run.counted]
    if not counted or any(run.role != "candidate" for run in counted):
        return "no run of the candidate counts"
    if any(run.package != said.candidate.package for run in said.runs if run.role == "candidate"):
        return "a run is of another package"
    total = {verdict: sum(run.counts[verdict] for run in counted) for verdict in Verdict}
    if total != said.counts:
        return "its counts are not those of its runs"
    if said.counts[Verdict.ERROR] or not said.counts[Verdict.PASSED]:
        return "what it counts is no yes"
    kept = {one.name: one.sha256 for one in said.evidence}
    if len(kept) != len(said.evidence):
        return "a piece of evidence stands in it twice"
    if kept.get("gate.toml") != said.policy.sha256:
        return "the policy is not among its evidence"
    if any(kept.get(results_name(run.name)) != run.results for run in said.runs):
        return "the results of a run are not among its evidence"
    return None


def results_name(run: str) -> str:
    """The name of a run's results in a bundle."""
    return f"runs/{run}/results.jsonl"


def when(time: datetime | None) -> str | None:
    """A time as statements have it: UTC, to the second."""
    return None if time is None else f"{time:%Y-%m-%dT%H:%M:%SZ}"


def shown(text: str) -> str:
    """A text of a driver's or a guest's, as long as statements have texts, and never empty."""
    more = " and more"
    return (text if len(text) <= MOST_TEXT else text[: MOST_TEXT - len(more)] + more) or "-"


def signed(statement: Statement, signer: KeySigner) -> bytes:
    """The file of a statement.

    Raises:
        HarnessError: the key's token does not sign.
    """
    value = statement.model_dump(mode="json", by_alias=True)
    return seal(json.dumps(value, sort_keys=True, ensure_ascii=True).encode(), KIND, signer)


def opened(path: Path, signers: Sequence[Trusted]) -> tuple[Statement, Signed]:
    """A statement that somebody has signed who may.

    Raises:
        StatementError: it cannot be relied on.
    """
    try:
        found = read(path, KIND, signers)
    except OSError as error:
        raise StatementError(f"cannot be read: {error.strerror}") from None
    except EnvelopeError as error:
        raise StatementError(str(error)) from None
    if not any(May.RELEASE in one.may for one in found.by):
        who = f"{found.by[0].name} may not sign releases" if found.by else "; ".join(found.problems)
        raise StatementError(who)
    return _parsed(found), found


def unsigned(path: Path) -> Statement:
    """A statement without a look at who has signed it.

    Raises:
        StatementError: it is none.
    """
    try:
        return _parsed(read(path, KIND, ()))
    except OSError as error:
        raise StatementError(f"cannot be read: {error.strerror}") from None
    except EnvelopeError as error:
        raise StatementError(str(error)) from None


def _parsed(found: Signed) -> Statement:
    try:
        return Statement.model_validate_json(json.dumps(strict_json(found.payload)))
    except EnvelopeError as error:
        raise StatementError(str(error)) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise StatementError(f"it is no statement of this kshs: {where}: {first['msg']}") from None
