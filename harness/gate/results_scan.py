# SPDX-License-Identifier: Apache-2.0
"""What a results.jsonl says in short, without the store and without its steps."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from harness.verdict import Verdict

_KIND = re.compile(rb'^\s*\{"kind": ?"(\w+)"')
#: How nearly all lines begin.
_STEP = b'{"kind":"step"'


class ResultsError(ValueError):
    """A results.jsonl cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class ScannedScenario:
    """What it says of a scenario or a test; `tries` are the verdicts of several attempts."""

    file: str
    id: str
    verdict: str
    reason: str | None
    content: str | None
    tries: tuple[Any, ...]


@dataclass
class Scanned:
    """The run's own record, its guests, and every scenario.

    Names are as the store has them: the file's name and the id, with the file's whole path where two files
    of one name have scenarios of one id.
    """

    head: Mapping[str, Any] = field(default_factory=dict)
    environments: list[Mapping[str, Any]] = field(default_factory=list)
    scenarios: dict[str, ScannedScenario] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


def scan(data: bytes) -> Scanned:
    """What a results.jsonl says of each scenario and test.

    Raises:
        ResultsError: a line of it is no record, or it says something twice.
    """
    found = Scanned()
    seen: list[ScannedScenario] = []
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
        elif record.get("kind") == "environment":
            found.environments.append(record)
        elif record.get("kind") in ("scenario", "test"):
            seen.append(_named(record, number))
    if not found.head:
        raise ResultsError("there is no record of the run")
    places = Counter((Path(one.file).name, one.id) for one in seen)
    for one in seen:
        name = Path(one.file).name
        shown = one.file if places[name, one.id] > 1 else name
        key = f"{shown}::{one.id}"[:1000]
        if key in found.scenarios:
            raise ResultsError(f"{key} is there twice")
        found.scenarios[key] = one
        found.counts[one.verdict] += 1
    return found


def _record(line: bytes, number: int) -> Mapping[str, Any]:
    try:
        record = from_json(line)
    except ValueError:
        try:
            record = json.loads(line)  # half of a surrogate pair is JSON, if no text
        except (ValueError, RecursionError):
            raise ResultsError(f"line {number} is no record") from None
    if not isinstance(record, dict):
        raise ResultsError(f"line {number} is no record")
    return record


def _named(record: Mapping[str, Any], number: int) -> ScannedScenario:
    """As `harness.store.reading` takes them."""
    name, verdict, content = record.get("id"), record.get("verdict"), record.get("content")
    if not isinstance(name, str) or not name or verdict not in set(Verdict):
        raise ResultsError(f"line {number} has no id or no verdict")
    said = record.get("reason")
    reason = said if isinstance(said, str) else None
    if record["kind"] == "test":
        place, _, test = name.partition("::")
        return ScannedScenario(place, test or name, str(verdict), reason, None, ())
    file = record.get("file")
    if not isinstance(file, str) or not file:
        raise ResultsError(f"line {number} has no file")
    tries = record.get("attempts")
    verdicts = [one.get("verdict") for one in tries or () if isinstance(one, Mapping)]
    kept = content if isinstance(content, str) else None
    return ScannedScenario(file, name, str(verdict), reason, kept, tuple(verdicts))
