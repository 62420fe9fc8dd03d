# SPDX-License-Identifier: Apache-2.0
"""The store's tables.

A night is much like the one before it, so that what repeats is kept once and referred to: the steps that
were sent (`Step`), the status blocks that came back (`StatusBlock`), and, of each attempt at a scenario, the
whole list of both (`Answers`).  Each of these is named by a digest of its content.  What differs by nature
from run to run (`harness.store.values`) is no part of that content.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

#: Names of constraints, which PostgreSQL and Alembic need to be the same everywhere.
NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

#: Of a status block the members that are compared as numbers (docs/results.md, `numbers`), in this order.
NUMBERS = (
    "detail",
    "answer",
    "returned",
    "status",
    "information",
    "pending",
    "pending_returned",
    "completions",
    "irql_after",
    "changed_bytes",
    "changed_first",
    "changed_last",
    "disclosed_bytes",
    "guards_intact",
    "input_intact",
    "argument1",
    "argument2",
    "repeats",
    "flags",
)


class Base(DeclarativeBase):
    """Of all tables."""

    metadata = MetaData(naming_convention=NAMES)


class Guest(Base):
    """What a run ran on; two runs have the same row where all of it is the same.

    `kernel` is the report's one line, `kernel_build` what orders builds, `ks_ours` whether ks.sys is the
    reference class driver, `verifier` what Driver Verifier was set to, in words.  What a guest cannot say
    is None.
    """

    __tablename__ = "guest"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(16), unique=True)
    recipe: Mapped[str] = mapped_column(String(200))
    family: Mapped[str | None] = mapped_column(String(50))
    kernel: Mapped[str | None] = mapped_column(String(400))
    kernel_build: Mapped[str | None] = mapped_column(String(100))
    architecture: Mapped[str | None] = mapped_column(String(100))
    ks_digest: Mapped[str | None] = mapped_column(String(100))
    ks_version: Mapped[str | None] = mapped_column(String(200))
    ks_ours: Mapped[bool | None]
    image: Mapped[str | None] = mapped_column(String(100))
    accelerator: Mapped[str | None] = mapped_column(String(50))
    verifier: Mapped[str | None] = mapped_column(String(1000))


class Target(Base):
    """A driver package: `package` is its digest, `version` that of its driver's file."""

    __tablename__ = "target"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(16), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    package: Mapped[str | None] = mapped_column(String(100))
    version: Mapped[str | None] = mapped_column(String(100))
    hardware_id: Mapped[str | None] = mapped_column(String(400))
    service: Mapped[str | None] = mapped_column(String(200))
    title: Mapped[str | None] = mapped_column(String(400))


class Run(Base):
    """One run; `name` is its id in results.jsonl, `digest` of what is kept of it.

    `memory_mib` is the most that its processes and guests held of the host's memory at the same time.
    `note` says what was wrong with its folder when it was imported, `problem` what the run said itself.
    `folder` is where its results lay then, `results` the SHA-256 of results.jsonl, `rows` that of what the
    store keeps of its attempts; `image_made` and `image_expires` are the guest image's (UTC).  All five are
    None of runs that an earlier kshs imported, the last two where nobody knew.
    """

    __tablename__ = "run"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(16))
    started: Mapped[datetime | None] = mapped_column(index=True)
    imported: Mapped[datetime]
    seconds: Mapped[float | None]
    version: Mapped[str | None] = mapped_column(String(100))
    command: Mapped[str | None] = mapped_column(Text)
    selection: Mapped[str | None] = mapped_column(Text)
    build: Mapped[str | None] = mapped_column(String(100))
    memory_mib: Mapped[int | None]
    problem: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str | None] = mapped_column(Text)
    guest_id: Mapped[int] = mapped_column(ForeignKey("guest.id"), index=True)
    target_id: Mapped[int] = mapped_column(ForeignKey("target.id"), index=True)
    folder: Mapped[str | None] = mapped_column(Text)
    results: Mapped[str | None] = mapped_column(String(64))
    rows: Mapped[str | None] = mapped_column(String(64))
    image_made: Mapped[datetime | None]
    image_expires: Mapped[datetime | None]


class PackageFile(Base):
    """One file of a driver package; `package` is the package's digest, as in `Target`."""

    __tablename__ = "package_file"
    package: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(400), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))


class SelfTest(Base):
    """One ``kshs selftest``; `digest` is the SHA-256 of its selftest.json, which lay in `folder`.

    `selected` is all, short or some; `wrong` counts the cases that did not come out as they must.
    """

    __tablename__ = "selftest"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    folder: Mapped[str] = mapped_column(Text)
    started: Mapped[datetime | None] = mapped_column(index=True)
    imported: Mapped[datetime]
    version: Mapped[str | None] = mapped_column(String(100))
    image: Mapped[str | None] = mapped_column(String(100))
    build: Mapped[str | None] = mapped_column(String(100))
    selected: Mapped[str] = mapped_column(String(20))
    cases: Mapped[int]
    wrong: Mapped[int]


class Scenario(Base):
    """One content of one scenario: `key` is its file's name and its id, the same over contents.

    `content` is None for tests in Python and for records of an earlier kshs.
    """

    __tablename__ = "scenario"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(16), unique=True)
    key: Mapped[str] = mapped_column(String(1000), index=True)
    name: Mapped[str] = mapped_column(String(600))
    file: Mapped[str] = mapped_column(String(1000))
    content: Mapped[str | None] = mapped_column(String(100))
    title: Mapped[str | None] = mapped_column(Text)
    rules: Mapped[str] = mapped_column(String(400))
    kind: Mapped[str] = mapped_column(String(20))


class Step(Base):
    """What was asked of the driver in one step; `request` is JSON."""

    __tablename__ = "step"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(16), unique=True)
    do: Mapped[str] = mapped_column(String(50))
    name: Mapped[str] = mapped_column(Text)
    route: Mapped[str | None] = mapped_column(String(50))
    mode: Mapped[str | None] = mapped_column(String(50))
    request: Mapped[str] = mapped_column(Text)


class StatusBlock(Base):
    """What came back, as far as it can be the same again.

    Numbers are as docs/results.md has them, those above 63 bits as their two's complement.  `protocol` is
    that of a handshake's output; `seen`, JSON, what the target's callback or the client's counters said.
    """

    __tablename__ = "status_block"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(16), unique=True)
    outcome: Mapped[str] = mapped_column(String(20))
    detail: Mapped[int | None] = mapped_column(BigInteger)
    answer: Mapped[int | None] = mapped_column(BigInteger)
    returned: Mapped[int | None] = mapped_column(BigInteger)
    status: Mapped[int | None] = mapped_column(BigInteger)
    information: Mapped[int | None] = mapped_column(BigInteger)
    pending: Mapped[int | None] = mapped_column(BigInteger)
    pending_returned: Mapped[int | None] = mapped_column(BigInteger)
    completions: Mapped[int | None] = mapped_column(BigInteger)
    irql_after: Mapped[int | None] = mapped_column(BigInteger)
    changed_bytes: Mapped[int | None] = mapped_column(BigInteger)
    changed_first: Mapped[int | None] = mapped_column(BigInteger)
    changed_last: Mapped[int | None] = mapped_column(BigInteger)
    disclosed_bytes: Mapped[int | None] = mapped_column(BigInteger)
    guards_intact: Mapped[int | None] = mapped_column(BigInteger)
    input_intact: Mapped[int | None] = mapped_column(BigInteger)
    argument1: Mapped[int | None] = mapped_column(BigInteger)
    argument2: Mapped[int | None] = mapped_column(BigInteger)
    repeats: Mapped[int | None] = mapped_column(BigInteger)
    flags: Mapped[int | None] = mapped_column(BigInteger)
    protocol: Mapped[str | None] = mapped_column(String(50))
    seen: Mapped[str | None] = mapped_column(Text)


class Answers(Base):
    """The steps of one attempt with what came back of each; the rows are `Answer`."""

    __tablename__ = "answers"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(16), unique=True)


class Answer(Base):
    """One step of `Answers`: no status block where nothing came back, no reason where it passed."""

    __tablename__ = "answer"
    answers_id: Mapped[int] = mapped_column(ForeignKey("answers.id"), primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    step_id: Mapped[int] = mapped_column(ForeignKey("step.id"))
    status_block_id: Mapped[int | None] = mapped_column(ForeignKey("status_block.id"))
    verdict: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(Text)
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own name


class Signature(Base):
    """What groups the same failure: `version` says how `text` was made."""

    __tablename__ = "signature"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(16), unique=True)
    version: Mapped[str] = mapped_column(String(50))
    text: Mapped[str] = mapped_column(Text)
    words: Mapped[str] = mapped_column(Text)


class Attempt(Base):
    """One try of a scenario in a run; that which `stands` is what the run says of it.

    `torn` says that not all of its steps are on record: its fields are not compared.
    """

    __tablename__ = "attempt"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"))
    scenario_id: Mapped[int] = mapped_column(ForeignKey("scenario.id"), index=True)
    number: Mapped[int]
    position: Mapped[int]
    stands: Mapped[bool]
    torn: Mapped[bool]
    verdict: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(Text)
    seconds: Mapped[float | None]
    lease: Mapped[str | None] = mapped_column(String(200))
    worker: Mapped[str | None] = mapped_column(String(100))
    answers_id: Mapped[int | None] = mapped_column(ForeignKey("answers.id"), index=True)
    signature_id: Mapped[int | None] = mapped_column(ForeignKey("signature.id"))
    __table_args__ = (UniqueConstraint("run_id", "scenario_id", "number"),)


class Incident(Base):
    """What an attempt left behind that crashed or hung, or that ended with evidence; `evidence` is JSON."""

    __tablename__ = "incident"
    id: Mapped[int] = mapped_column(primary_key=True)
    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempt.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    evidence: Mapped[str] = mapped_column(Text)


class Varying(Base):
    """A field that came differently on identical inputs: same scenario content, guest and package.

    `field` is that of the step at `position`; `seen` are the values so far, JSON, at most `MAX_SEEN`;
    `run_id` is the run in which it first differed, None once that was pruned.
    """

    __tablename__ = "varying"
    id: Mapped[int] = mapped_column(primary_key=True)
    scenario_id: Mapped[int] = mapped_column(ForeignKey("scenario.id"))
    guest_id: Mapped[int] = mapped_column(ForeignKey("guest.id"))
    target_id: Mapped[int] = mapped_column(ForeignKey("target.id"))
    position: Mapped[int]
    field: Mapped[str] = mapped_column(String(200))
    seen: Mapped[str] = mapped_column(Text)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))
    __table_args__ = (
        UniqueConstraint("scenario_id", "guest_id", "target_id", "position", "field"),
        Index("ix_varying_inputs", "guest_id", "target_id"),
    )


class Acceptance(Base):
    """That somebody has accepted what a run got: who, why, when, and for which scenarios."""

    __tablename__ = "acceptance"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"))
    who: Mapped[str] = mapped_column(String(400))
    why: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]
    pattern: Mapped[str] = mapped_column(String(1000))
    guest_id: Mapped[int] = mapped_column(ForeignKey("guest.id"))
    target_name: Mapped[str] = mapped_column(String(200))


class Accepted(Base):
    """The answers of one scenario that an acceptance stands for; of several the last one counts."""

    __tablename__ = "accepted"
    acceptance_id: Mapped[int] = mapped_column(
        ForeignKey("acceptance.id"), primary_key=True, autoincrement=False
    )
    scenario_id: Mapped[int] = mapped_column(ForeignKey("scenario.id"), primary_key=True, autoincrement=False)
    answers_id: Mapped[int] = mapped_column(ForeignKey("answers.id"))
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own name
