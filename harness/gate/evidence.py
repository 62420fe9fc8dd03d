# SPDX-License-Identifier: Apache-2.0
"""Whether what a run has left is there, is what it wrote, and says what the store says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from harness.results.seal import RESULTS, SEAL, Seal, SealError, broken
from harness.results.seal import read as read_seal
from harness.verdict import Verdict

if TYPE_CHECKING:  # a statement is verified without a store
    from harness.store.proofs import AttemptInfo, Proof

_KIND = re.compile(rb'^\s*\{"kind": ?"(\w+)"')
#: How nearly all lines begin.
_STEP = b'{"kind":"step"'
_SHOWN = 3
_LONG = 8000


class ResultsError(ValueError):
    """A results.jsonl cannot be read; the text says why."""


@dataclass
class Scanned:
    """What a results.jsonl says in short: the run's own record, and verdict and content by scenario.

    Names are as the store has them: the file's name and the id, with the file's whole path where two files
    of one name have scenarios of one id.
    """

    head: Mapping[str, Any] = field(default_factory=dict)
    verdicts: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Evidence:
    """The evidence of one run: where it lies, its files by digest, and what is wrong with it."""

    run: str
    folder: Path | None
    files: Mapping[str, str]
    problems: tuple[str, ...]


def of_run(
    name: str, proof: Proof, attempts: Iterable[AttemptInfo], rows: str, *, deep: bool = True
) -> Evidence:
    """Looks at what a run has left.

    Args:
        name: the run's id.
        proof: what the store knows of it.
        attempts: as the store has them.
        rows: the digest of the store's rows as they are now.
        deep: whether results are held against the store one by one, too.
    """
    if proof.folder is None or proof.results is None or proof.rows is None:
        why = "nothing says what its results were: an earlier kshs imported it (kshs store import DIR)"
        return Evidence(name, None, {}, (why,))
    folder = Path(proof.folder)
    try:
        seal = read_seal(folder)
    except SealError as error:
        return Evidence(name, folder, {}, (f"{folder}: {error}: its results cannot be told from others",))
    problems = [f"{folder}: {one}" for one in _of_seal(name, folder, seal, proof)]
    if rows != proof.rows:
        problems.append("its rows in the store are not what was imported")
    if deep and not problems:
        problems += _of_store(folder / RESULTS, name, attempts)
    return Evidence(name, folder, {**seal.files}, tuple(problems))


def _of_seal(name: str, folder: Path, seal: Seal, proof: Proof) -> Iterator[str]:
    if seal.run != name:
        yield f"{SEAL} is of run {seal.run}"
    yield from broken(folder, seal)
    if seal.files[RESULTS] != proof.results:
        yield f"{RESULTS} is not what was imported"


def _of_store(path: Path, name: str, attempts: Iterable[AttemptInfo]) -> Iterator[str]:
    try:
        scanned = scan(path.read_bytes())
    except (OSError, ResultsError) as error:
        yield f"{path}: {error}"
        return
    if scanned.head.get("id") != name:
        yield f"{path}: it is of run {scanned.head.get('id')}"
    there = {one.key: (one.verdict, one.content) for one in attempts if one.stands}
    other = [key for key in {**there, **scanned.verdicts} if there.get(key) != scanned.verdicts.get(key)]
    if other:
        more = f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN else ""
        yield f"the store says otherwise than {path}: {', '.join(other[:_SHOWN])}{more}"


def scan(data: bytes) -> Scanned:
    """What a results.jsonl says of each scenario and test.

    Raises:
        ResultsError: a line of it is no record, or it says something twice.
    """
    found = Scanned()
    seen: list[tuple[str, str, str, str | None]] = []
    for number, line in enumerate(data.splitlines(), start=1):
        if line.startswith(_STEP):
            continue
        kind = _KIND.match(line)
        if kind is not None and kind[1] == b"step":
            continue
        record = _record(line, number)
        if record.get("kind") == "run":
            if found.head:
                raise ResultsError(f"line {number}: a second record of a run")
            found.head = record
        elif record.get("kind") in ("scenario", "test"):
            seen.append(_named(record, number))
    if not found.head:
        raise ResultsError("there is no record of the run")
    places = Counter((Path(file).name, name) for file, name, _, _ in seen)
    for file, name, verdict, content in seen:
        shown = file if places[Path(file).name, name] > 1 else Path(file).name
        key = f"{shown}::{name}"[:1000]
        if key in found.verdicts:
            raise ResultsError(f"{key} is there twice")
        found.verdicts[key] = verdict, content
        found.counts[verdict] += 1
    return found


def _record(line: bytes, number: int) -> Mapping[str, Any]:
    try:
        record = from_json(line)
    except ValueError:
        raise ResultsError(f"line {number} is no record") from None
    if not isinstance(record, dict):
        raise ResultsError(f"line {number} is no record")
    return record


def _named(record: Mapping[str, Any], number: int) -> tuple[str, str, str, str | None]:
    """File, name, verdict and content, as `harness.store.reading` takes them."""
    name, verdict, content = record.get("id"), record.get("verdict"), record.get("content")
    file: Any
    if not isinstance(name, str) or not name or verdict not in set(Verdict):
        raise ResultsError(f"line {number} has no id or no verdict")
    if record["kind"] == "test":
        file, _, test = name.partition("::")
        return file, test or name, str(verdict), None
    file = record.get("file")
    if not isinstance(file, str) or not file:
        raise ResultsError(f"line {number} has no file")
    return file, name, str(verdict), content if isinstance(content, str) else None
