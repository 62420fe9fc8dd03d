# SPDX-License-Identifier: Apache-2.0
"""Whether the store says of a run, of a self-test, what these have left themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from harness.gate.results_scan import ResultsError, Scanned, scan
from harness.store.interning import tidy_text
from harness.store.proofs import AttemptInfo
from harness.store.provenance import origin_said
from harness.store.selftests import SELFTEST, SelfTestInfo, digest_of_file, row_of
from harness.verdict import Verdict

_SHOWN = 3
_LONG = 8000
#: Columns in the words of people; the others are told as they are called.
_WORDS = {
    "run.started": "its time",
    "run.version": "the version of kshs",
    "run.build": "the build of kshs",
    "run.image_made": "when its image was made",
    "run.image_expires": "when its image expires",
}


def of_results(
    path: Path, name: str, attempts: Iterable[AttemptInfo], origin: Mapping[str, Any]
) -> Iterator[str]:
    """What the store says otherwise than the results of a run.

    Args:
        path: of results.jsonl.
        name: the run's id.
        attempts: as the store has them.
        origin: where the run comes from, as the store says (`harness.store.provenance.origin_kept`).
    """
    try:
        scanned = scan(path.read_bytes())
    except (OSError, ResultsError) as error:
        yield f"{path}: {error}"
        return
    if scanned.head.get("id") != name:
        yield f"{path}: it is of run {scanned.head.get('id')}"
    said = origin_said(scanned.head, scanned.environments)
    other = [_WORDS.get(key, key.replace(".", ": ")) for key in said if said[key] != origin.get(key)]
    other += _other_verdicts(attempts, scanned)
    if other:
        more = f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN else ""
        yield f"the store says otherwise than {path}: {', '.join(other[:_SHOWN])}{more}"


def _other_verdicts(attempts: Iterable[AttemptInfo], scanned: Scanned) -> list[str]:
    """Scenarios that have other verdicts, attempts, reasons or contents."""
    there: dict[str, tuple[str, str | None, str | None]] = {}
    tries: dict[str, list[str]] = {}
    for one in attempts:
        tries.setdefault(one.key, []).append(one.verdict)
        if one.stands:
            there[one.key] = one.verdict, one.content, one.reason
    found = {}
    for key, said in scanned.scenarios.items():
        reason = None if said.reason is None else tidy_text(said.reason[:_LONG])
        found[tidy_text(key)[:1000]] = (said.verdict, said.content, reason), _tries(said.verdict, said.tries)
    said_there = {key: (there.get(key), tries[key]) for key in tries}
    return [key for key in {**said_there, **found} if said_there.get(key) != found.get(key)]


def _tries(verdict: str, tries: Iterable[object]) -> list[str]:
    """The verdicts of all attempts, as the store takes them: one of them has the verdict that stands."""
    known = [one if isinstance(one, str) and one in set(Verdict) else Verdict.ERROR.value for one in tries]
    if verdict not in known:
        return [verdict, *known[1:]]
    return known


def of_selftest(one: SelfTestInfo) -> str | None:
    """What is wrong with the file of a self-test; None where it says what the store says."""
    path = Path(one.folder) / SELFTEST
    try:
        data = path.read_bytes()
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    if digest_of_file(data) != one.digest:
        return f"{path} is not what was imported"
    said = from_json(data)
    row = row_of(said) if isinstance(said, dict) else None
    if row is None or any(getattr(one, name) != value for name, value in row.items()):
        return f"the store says otherwise than {path}"
    return None
