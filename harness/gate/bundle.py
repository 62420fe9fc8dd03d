# SPDX-License-Identifier: Apache-2.0
"""What an auditor needs, in one zip file: the statement, and each piece of evidence that it names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.capsule.archive import MOST_BYTES, MOST_MEMBERS, Archive, CapsuleError, is_name, write
from harness.errors import UsageError
from harness.gate.envelope import EnvelopeError, load, strict_json
from harness.gate.evidence import ResultsError, scan
from harness.gate.keys import Trusted
from harness.gate.policy import May
from harness.gate.statement import Statement, results_name
from harness.gate.waivers import KIND as WAIVER_KIND
from harness.results.seal import SEAL, SealError, parse
from harness.verdict import Verdict
from vm.words import counted

STATEMENT = "statement.json"
SOURCES = "evidence.json"
PAGE = "gate.html"
_WHAT = "this is no bundle that may be opened"


class BundleError(UsageError):
    """A bundle cannot be opened, or one cannot be made: what is wrong, in one line."""


class Bundle(Archive):
    """An opened bundle; use it as a context.  Its directory is checked as a capsule's is."""

    def _refusal(self, why: str) -> CapsuleError:
        return CapsuleError(f"{_WHAT}: {why}", str(self.path), "ask its sender for a new one")


def make(folder: Path, file: Path, statement: Statement) -> int:
    """Writes a bundle; how many files it has.

    Args:
        folder: what ``kshs gate run`` has left.
        file: that is written.
        statement: that lies in the folder.

    Raises:
        BundleError: a piece of evidence is not there, or not what it was, or all of it is too much.
        OSError: it cannot be written.
    """
    sources = _sources(folder / SOURCES)
    members: dict[str, bytes | Path] = {STATEMENT: folder / STATEMENT}
    for one in statement.predicate.evidence:
        path = sources.get(one.name)
        if path is None:
            raise BundleError(f"nothing says where {one.name} lies", str(folder / SOURCES))
        if not is_name(one.name):
            raise BundleError("no bundle may have a file of this name", one.name, "rename it")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BundleError(f"cannot be read: {error.strerror}", str(path)) from None
        if hashlib.sha256(data).hexdigest() != one.sha256:
            raise BundleError("is not what the statement says", str(path), "the gate has to be asked anew")
        members[one.name] = data
    size = sum(len(one) if isinstance(one, bytes) else one.stat().st_size for one in members.values())
    if size > MOST_BYTES or len(members) > MOST_MEMBERS:
        limit = f"{MOST_MEMBERS} files, {MOST_BYTES >> 20} MiB"
        raise BundleError(f"{len(members)} files with {size >> 20} MiB are too much", str(file), limit)
    write(file, members)
    return len(members)


def _sources(path: Path) -> dict[str, Path]:
    try:
        said = json.loads(path.read_bytes())
        return {str(name): Path(str(place)) for name, place in said["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise BundleError("there is no list of the evidence", str(path), "kshs gate run --out DIR") from None


def sources_text(evidence: Mapping[str, tuple[Path, str]]) -> str:
    """What `make` reads: where each piece of evidence lies."""
    files = {name: str(path) for name, (path, _) in sorted(evidence.items())}
    return json.dumps({"schema": 1, "files": files}, indent=1) + "\n"


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
        kept = {name: opened.read(name) for name in opened.members}
    if kept.get(STATEMENT) != data:
        yield f"its {STATEMENT} is another one"
    said = {one.name: one.sha256 for one in statement.predicate.evidence}
    for name, digest in said.items():
        if name not in kept:
            yield f"{name} is missing"
        elif hashlib.sha256(kept[name]).hexdigest() != digest:
            yield f"{name} is not what the statement says"
    extra = sorted(set(kept) - set(said) - {STATEMENT})
    if extra:
        yield f"it holds {counted(len(extra), 'file')} that the statement does not name: {extra[0]}"
    for run in statement.predicate.runs:
        yield from _wrong_run(run.name, run.counts, kept)
    yield from _wrong_waivers(statement, kept, trusted)


def _wrong_run(name: str, counts: Mapping[Verdict, int], kept: Mapping[str, bytes]) -> Iterator[str]:
    place = results_name(name)
    results, seal = kept.get(place), kept.get(f"{place.rpartition('/')[0]}/{SEAL}")
    if results is None or seal is None:
        yield f"the results of run {name}, or their seal, are missing"
        return
    try:
        scanned, sealed = scan(results), parse(seal)
    except (ResultsError, SealError) as error:
        yield f"{place}: {error}"
        return
    if sealed.run != name or scanned.head.get("id") != name:
        yield f"{place} is of another run"
    if sealed.files["results.jsonl"] != hashlib.sha256(results).hexdigest():
        yield f"{place} is not what the run has sealed"
    if {verdict: scanned.counts.get(verdict.value, 0) for verdict in Verdict} != dict(counts):
        yield f"{place} counts otherwise than the statement"


def _wrong_waivers(
    statement: Statement, kept: Mapping[str, bytes], trusted: Sequence[Trusted]
) -> Iterator[str]:
    files = {hashlib.sha256(data).hexdigest(): data for name, data in kept.items() if name[:8] == "waivers/"}
    judges = any(May.WAIVE in one.may for one in trusted)
    for one in statement.predicate.waivers:
        data = files.get(one.sha256)
        if data is None:
            yield f"waiver {one.id} is missing"
            continue
        try:
            signed = load(data, WAIVER_KIND, trusted)
            said = strict_json(signed.payload)
            same = (said["id"], said["scenario"], said["failure"]) == (one.id, one.scenario, one.failure)
        except (EnvelopeError, KeyError, TypeError) as error:
            yield f"waiver {one.id}: {error}"
            continue
        if not same:
            yield f"waiver {one.id} is for something else"
        if judges and one.owner not in {by.name for by in signed.by if May.WAIVE in by.may}:
            yield f"waiver {one.id} is not signed by {one.owner}: {'; '.join(signed.problems)}"
