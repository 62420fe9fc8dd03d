# SPDX-License-Identifier: Apache-2.0
"""What the store knows of where runs come from, and every attempt of them, as plain values (`provenance`)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from harness.store.interning import among
from harness.store.models import (
    Acceptance,
    Attempt,
    Guest,
    PackageFile,
    Run,
    Scenario,
    SelfTest,
    Signature,
    Target,
)


@dataclass(frozen=True, slots=True)
class Proof:
    """By what a run can be checked; see `harness.store.models.Run`.  `digest` is hexadecimal."""

    folder: str | None
    results: str | None
    rows: str | None
    digest: str
    imported: datetime
    image_made: datetime | None
    image_expires: datetime | None
    architecture: str | None
    ks_version: str | None


@dataclass(frozen=True, slots=True)
class AttemptInfo:
    """One attempt at a scenario; `harness.store.queries.Outcome` is made of those of one run."""

    run: int
    scenario: int
    key: str
    content: str | None
    kind: str
    number: int
    stands: bool
    torn: bool
    verdict: str
    reason: str | None
    version: str | None
    signature: str | None
    words: str | None
    answers: int | None


def proofs(connection: Connection, run_ids: Collection[int]) -> dict[int, Proof]:
    """Of some runs, by their ids."""
    query = select(
        Run.id,
        Run.folder,
        Run.results,
        Run.rows,
        Run.digest,
        Run.imported,
        Run.image_made,
        Run.image_expires,
        Guest.architecture,
        Guest.ks_version,
    ).join(Guest, Run.guest_id == Guest.id)
    found = {}
    for row in among(connection, query, Run.id, run_ids):
        said: list[Any] = [*row[1:4], bytes(row[4]).hex(), *row[5:]]
        found[row[0]] = Proof(*said)
    return found


def attempts(connection: Connection, run_ids: Collection[int]) -> list[AttemptInfo]:
    """All attempts of some runs, by run and in the order of collection."""
    query = (
        select(
            Attempt.run_id,
            Attempt.scenario_id,
            Scenario.key,
            Scenario.content,
            Scenario.kind,
            Attempt.number,
            Attempt.stands,
            Attempt.torn,
            Attempt.verdict,
            Attempt.reason,
            Signature.version,
            Signature.text,
            Signature.words,
            Attempt.answers_id,
        )
        .join(Scenario, Attempt.scenario_id == Scenario.id)
        .outerjoin(Signature, Attempt.signature_id == Signature.id)
        .order_by(Attempt.run_id, Attempt.position, Attempt.number)
    )
    return [AttemptInfo(*row) for row in among(connection, query, Attempt.run_id, run_ids)]


def package_files(connection: Connection, package: str) -> dict[str, str]:
    """The files of a package by its digest: SHA-256 by name; none where no run has said them."""
    query = (
        select(PackageFile.name, PackageFile.sha256)
        .where(PackageFile.package == package)
        .order_by(PackageFile.name)
    )
    return {row["name"]: row["sha256"] for row in connection.execute(query).mappings()}


def hardware_id(connection: Connection, target: str) -> str | None:
    """Of the device of a target, as its last run said."""
    query = (
        select(Target.hardware_id)
        .join(Run, Run.target_id == Target.id)
        .where(Target.name == target, Target.hardware_id.is_not(None))
        .order_by(func.coalesce(Run.started, Run.imported).desc())
        .limit(1)
    )
    return connection.scalar(query)


def latest(connection: Connection) -> datetime | None:
    """The latest time that is on record of anything: no clock that is before it is right."""
    columns = (Run.started, Run.imported, Acceptance.at, SelfTest.started, SelfTest.imported)
    times = [connection.scalar(select(func.max(column))) for column in columns]
    return max((time for time in times if time is not None), default=None)
