# SPDX-License-Identifier: Apache-2.0
"""What tells whether what the store says is what a run got: digests of files, and of the store's own rows.

`harness.gate` asks for it; nothing else is compared by it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from drivers.package import digest_files
from harness.results.seal import RESULTS, sha256
from harness.store.interning import table_of, tidy
from harness.store.models import Answers, Attempt, Guest, PackageFile, Run, Scenario, Signature, Target
from harness.store.origins import as_table, guest_row, run_row, target_row, time_of
from harness.store.reading import ReadRun

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LONG = 400
#: Columns of a run that results say themselves, and by which somebody may judge them.
_OF_RUN = ("name", "started", "version", "build", "selection", "problem")
_DATES = ("image_made", "image_expires")


def columns(folder: Path, run: ReadRun) -> dict[str, Any]:
    """Of `harness.store.models.Run`: where its results lie, what they are, and the dates of its image."""
    path = folder / RESULTS if folder.is_dir() else folder
    try:
        results = sha256(path) if path.is_file() else None
    except OSError:
        results = None
    dates = _dates(_host_of(run.head, run.environments))
    kept = {name: dates[f"run.{name}"] for name in _DATES}
    return {"folder": str(path.parent.absolute()), "results": results, **kept}


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


def origin_said(head: Mapping[str, Any], environments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Where results say that they come from, in the words of the store: by table and column."""
    run = run_row(head, ())
    said = {f"run.{name}": run[name] for name in _OF_RUN} | _dates(_host_of(head, environments))
    said |= {f"guest.{name}": value for name, value in guest_row(head, environments).items()}
    return tidy(said | {f"target.{name}": value for name, value in target_row(head, environments).items()})


def origin_kept(connection: Connection, run_id: int) -> dict[str, Any]:
    """The same as the store says it."""
    columns = [getattr(Run, name).label(f"run.{name}") for name in (*_OF_RUN, *_DATES)]
    for model, word in ((Guest, "guest"), (Target, "target")):
        names = [column.name for column in table_of(model).columns if column.name not in ("id", "digest")]
        columns += [getattr(model, name).label(f"{word}.{name}") for name in names]
    query = select(*columns).join(Guest, Run.guest_id == Guest.id).join(Target, Run.target_id == Target.id)
    row = connection.execute(query.where(Run.id == run_id)).mappings().one()
    return {str(name): value for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else value


def _host_of(head: Mapping[str, Any], environments: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    environment = environments[0] if environments else {}
    return as_table(environment.get("host")) or as_table(head.get("host"))


def _dates(host: Mapping[str, Any]) -> dict[str, Any]:
    return {f"run.{name}": time_of(host.get(name)) for name in _DATES}


def _are_files(files: Any) -> bool:
    return isinstance(files, dict) and all(
        isinstance(name, str)
        and 0 < len(name) <= _LONG
        and isinstance(digest, str)
        and _DIGEST.fullmatch(digest)
        for name, digest in files.items()
    )
