# SPDX-License-Identifier: Apache-2.0
"""What tells whether what the store says is what a run got: digests of files, and of the store's own rows.

`harness.gate` asks for it; nothing else is compared by it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from drivers.package import digest_files
from harness.results.seal import RESULTS, sha256
from harness.store.interning import table_of
from harness.store.models import Answers, Attempt, Guest, PackageFile, Run, Scenario, Signature, Target
from harness.store.origins import as_table, time_of
from harness.store.reading import ReadRun

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LONG = 400


def columns(folder: Path, run: ReadRun) -> dict[str, Any]:
    """Of `harness.store.models.Run`: where its results lie, what they are, and the dates of its image."""
    path = folder / RESULTS if folder.is_dir() else folder
    try:
        results = sha256(path) if path.is_file() else None
    except OSError:
        results = None
    host = _host(run)
    return {
        "folder": str(path.parent.absolute()),
        "results": results,
        "image_made": time_of(host.get("image_made")),
        "image_expires": time_of(host.get("image_expires")),
    }


def keep_package(connection: Connection, run: ReadRun) -> str | None:
    """Keeps the files of a run's package, where their digest is the package's; what is wrong with them."""
    target = as_table(run.head.get("target"))
    files, package = target.get("files"), target.get("digest")
    if files is None:
        return None
    if not _are_files(files) or digest_files(files) != package:
        return "the files of its package are not those of the package's digest"
    there = select(PackageFile.package).where(PackageFile.package == package).limit(1)
    if connection.execute(there).first() is None:
        rows = [{"package": package, "name": name, "sha256": digest} for name, digest in files.items()]
        connection.execute(insert(table_of(PackageFile)), rows)
    return None


def rows_digest(connection: Connection, run_id: int) -> str:
    """The SHA-256 of what the store says of a run: its guest, its target, and every attempt."""
    origin = (
        select(Run.name, Run.started, Run.problem, Run.note, Guest.digest, Target.digest)
        .join(Guest, Run.guest_id == Guest.id)
        .join(Target, Run.target_id == Target.id)
        .where(Run.id == run_id)
    )
    attempts = (
        select(
            Scenario.digest,
            Attempt.number,
            Attempt.position,
            Attempt.stands,
            Attempt.torn,
            Attempt.verdict,
            Attempt.reason,
            Answers.digest,
            Signature.digest,
        )
        .join(Scenario, Attempt.scenario_id == Scenario.id)
        .outerjoin(Answers, Attempt.answers_id == Answers.id)
        .outerjoin(Signature, Attempt.signature_id == Signature.id)
        .where(Attempt.run_id == run_id)
        .order_by(Attempt.position, Attempt.number)
    )
    said = hashlib.sha256()
    for query in (origin, attempts):
        for row in connection.execute(query):
            said.update(json.dumps([_plain(value) for value in row], ensure_ascii=True).encode() + b"\n")
    return said.hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else value


def _host(run: ReadRun) -> Mapping[str, Any]:
    environment = run.environments[0] if run.environments else {}
    return as_table(environment.get("host")) or as_table(run.head.get("host"))


def _are_files(files: Any) -> bool:
    return isinstance(files, dict) and all(
        isinstance(name, str)
        and 0 < len(name) <= _LONG
        and isinstance(digest, str)
        and _DIGEST.fullmatch(digest)
        for name, digest in files.items()
    )
