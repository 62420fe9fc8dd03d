# SPDX-License-Identifier: Apache-2.0
"""A bundle held against its statement: offline, without the store, one file of it in memory at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

from harness.capsule.archive import Archive
from harness.gate.bundle import STATEMENT, Bundle
from harness.gate.envelope import EnvelopeError, load
from harness.gate.keys import Trusted
from harness.gate.policy import May
from harness.gate.results_scan import ResultsError, Scanned, scan
from harness.gate.statement import RunSaid, Statement, results_name, when
from harness.gate.waivers import KIND as WAIVER_KIND
from harness.gate.waivers import Waiver, parsed
from harness.results.seal import RESULTS, SEAL, SealError, parse
from harness.store.origins import as_table, guest_row, run_row, target_row, time_of
from harness.verdict import Verdict
from vm.words import counted

#: Of files that are read whole: seals, waivers, the statement.
_MOST_TEXT = 64 << 20
_RESULTS, _SEAL = f"/{RESULTS}", f"/{SEAL}"


@dataclass
class _Kept:
    """What of a bundle is looked at more closely than by its digest."""

    digests: dict[str, str] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    results: dict[str, Scanned | str] = field(default_factory=dict)
    """What results say, or why they cannot be read."""


def wrong(path: Path, data: bytes, statement: Statement, trusted: Sequence[Trusted]) -> Iterator[str]:
    """What in a bundle is not as a statement says; nothing where all of it is.

    Args:
        path: of the bundle.
        data: the statement's file.
        statement: what it holds.
        trusted: signers of waivers; where none of them may waive, these are held by digest alone.

    Raises:
        UsageError: it is no bundle.
    """
    with Bundle(path) as opened:
        kept = _read(opened)
    if kept.texts.get(STATEMENT) != data:
        yield f"its {STATEMENT} is another one"
    said = {one.name: one.sha256 for one in statement.predicate.evidence}
    for name, digest in said.items():
        if name not in kept.digests:
            yield f"{name} is missing"
        elif kept.digests[name] != digest:
            yield f"{name} is not what the statement says"
    extra = sorted(set(kept.digests) - set(said) - {STATEMENT})
    if extra:
        yield f"it holds {counted(len(extra), 'file')} that the statement does not name: {extra[0]}"
    for run in statement.predicate.runs:
        yield from _wrong_run(run, kept)
    # One waiver may cover several failures.
    yield from dict.fromkeys(_wrong_waivers(statement, kept.texts, trusted))


def _read(opened: Archive) -> _Kept:
    kept = _Kept()
    for name in opened.members:
        if name.endswith(_RESULTS):
            data = opened.read(name)
            kept.digests[name] = hashlib.sha256(data).hexdigest()
            try:
                kept.results[name] = scan(data)
            except ResultsError as error:
                kept.results[name] = str(error)
        elif name == STATEMENT or name.endswith(_SEAL) or name.startswith("waivers/"):
            data = kept.texts[name] = opened.read(name, _MOST_TEXT)
            kept.digests[name] = hashlib.sha256(data).hexdigest()
        else:
            digest = hashlib.sha256()
            for piece in opened.pieces(name):
                digest.update(piece)
            kept.digests[name] = digest.hexdigest()
    return kept


def _wrong_run(run: RunSaid, kept: _Kept) -> Iterator[str]:
    place = results_name(run.name)
    scanned, seal = kept.results.get(place), kept.texts.get(place.removesuffix(RESULTS) + SEAL)
    if scanned is None or seal is None:
        yield f"the results of run {run.name}, or their seal, are missing"
        return
    if isinstance(scanned, str):
        yield f"{place}: {scanned}"
        return
    try:
        sealed = parse(seal)
    except SealError as error:
        yield f"{place}: {error}"
        return
    if sealed.run != run.name or scanned.head.get("id") != run.name:
        yield f"{place} is of another run"
    if sealed.files[RESULTS] != kept.digests[place]:
        yield f"{place} is not what the run has sealed"
    if {verdict: scanned.counts.get(verdict.value, 0) for verdict in Verdict} != dict(run.counts):
        yield f"{place} counts otherwise than the statement"
    other = [name for name, value in _origin(scanned).items() if getattr(run, name) != value]
    if other:
        yield f"{place} says otherwise than the statement: {', '.join(other)}"


def _origin(scanned: Scanned) -> dict[str, Any]:
    """Where results say that they come from, in the words of a statement."""
    head, environments = scanned.head, scanned.environments
    guest, target, run = guest_row(head, environments), target_row(head, environments), run_row(head, ())
    host = as_table(environments[0].get("host") if environments else None) or as_table(head.get("host"))
    return {
        "started": when(run["started"]),
        "guest": guest["recipe"],
        "kernel": guest["kernel"],
        "kernel_build": guest["kernel_build"],
        "ks_sha256": guest["ks_digest"],
        "ks_version": guest["ks_version"],
        "ks_ours": guest["ks_ours"],
        "verifier": guest["verifier"],
        "accelerator": guest["accelerator"],
        "image": guest["image"],
        "image_made": when(time_of(host.get("image_made"))),
        "image_expires": when(time_of(host.get("image_expires"))),
        "package": target["package"],
        "kshs": run["version"],
        "build": run["build"],
    }


def _wrong_waivers(
    statement: Statement, texts: Mapping[str, bytes], trusted: Sequence[Trusted]
) -> Iterator[str]:
    files = {hashlib.sha256(data).hexdigest(): data for name, data in texts.items() if name[:8] == "waivers/"}
    judges = any(May.WAIVE in one.may for one in trusted)
    for one in statement.predicate.waivers:
        data = files.get(one.sha256)
        if data is None:
            yield f"waiver {one.id} is missing"
            continue
        try:
            signed = load(data, WAIVER_KIND, trusted)
            waiver = parsed(signed)
        except EnvelopeError as error:
            yield f"waiver {one.id}: {error}"
            continue
        same = (waiver.id, waiver.owner, waiver.scenario, waiver.failure, str(waiver.expires), waiver.why)
        if same != (one.id, one.owner, one.scenario, one.failure, one.expires, one.why):
            yield f"waiver {one.id} is for something else"
        yield from _unfit(statement, waiver)
        if not judges:
            continue
        if one.owner not in {by.name for by in signed.by if May.WAIVE in by.may}:
            yield f"waiver {one.id} is not signed by {one.owner}: {'; '.join(signed.problems)}"
        seconds = {by.name for by in signed.by if May.SECOND in by.may} - {one.owner}
        if one.second is not None and one.second not in seconds:
            yield f"waiver {one.id} is not signed by {one.second} as the second signer"


def _unfit(statement: Statement, waiver: Waiver) -> Iterator[str]:
    """What of a waiver is not for this release."""
    candidate, created = statement.predicate.candidate, statement.predicate.created
    versions = set((candidate.version or "").split(", "))
    if waiver.package not in (None, candidate.package) or (
        waiver.package is None and versions.isdisjoint(waiver.versions)
    ):
        yield f"waiver {waiver.id} is for another driver"
    if created.astimezone(UTC).date() > waiver.expires or waiver.made > created + timedelta(minutes=5):
        yield f"waiver {waiver.id} was not in force when the statement was made"
