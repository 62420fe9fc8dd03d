# SPDX-License-Identifier: Apache-2.0
"""``results.jsonl``: written in parts, one a worker, and merged into one file.

Each worker appends to its own part as it goes, one flushed line at a time, so that whatever ends
the run leaves what was known.  The controller merges the parts in the order of collection, which
makes two runs comparable line by line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.results import missing_calls
from harness.results.record import BEGUN, ScenarioResult, begun_record, scenario_records
from harness.results.tally import counts
from harness.verdict import Verdict, after_retry, worst

#: Raised when a key changes its meaning or goes away; new keys do not count.
SCHEMA = 1

#: In a part only: an item that was handed out a second time, and not run again.
AGAIN = "again"

_Line = tuple[dict[str, Any], str]


class PartWriter:
    """Appends records to the part of one worker; each line is on its way to the disk when `write` returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Half of a surrogate pair, which a guest's JSON may hold, is no UTF-8: its escape is JSON again.
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace", newline="\n")

    def write(self, record: Mapping[str, Any]) -> None:
        """One record as one line."""
        self._file.write(_line(record) + "\n")
        self._file.flush()

    def write_begun(self, result: ScenarioResult, *, order: int, worker: str) -> None:
        """A scenario is about to run: what is known of it, should nothing more come."""
        self.write(begun_record(result, order=order, worker=worker))

    def write_scenario(self, result: ScenarioResult, *, order: int, worker: str) -> None:
        """All lines of one scenario."""
        for record in scenario_records(result, order=order, worker=worker):
            self.write(record)

    def close(self) -> None:
        """Closes the part."""
        self._file.close()


@dataclass
class Entry:
    """One scenario as it is on record: its line, and those of its steps."""

    scenario: _Line
    steps: list[_Line] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Its node id: two files may have scenarios of one name."""
        return key_of(self.scenario[0])


@dataclass
class Gathered:
    """What the parts hold.

    `begun` are the scenarios that were about to run, by node id, `again` the items that were handed out
    more than once.
    """

    entries: list[Entry] = field(default_factory=list)
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: list[dict[str, Any]] = field(default_factory=list)
    begun: dict[str, dict[str, Any]] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)

    def add(self, result: ScenarioResult, *, order: int, worker: str) -> None:
        """One scenario of which no part has the lines."""
        head, *steps = [(record, _line(record)) for record in _records(result, order, worker)]
        self.entries.append(Entry(head, steps))

    def records(self) -> list[dict[str, Any]]:
        """Scenarios and steps, in the order of collection."""
        return [record for record, _ in self.lines()]

    def lines(self) -> Iterator[_Line]:
        """The same, each with its line."""
        for entry in sorted(self.entries, key=lambda entry: entry.scenario[0].get("order", -1)):
            yield entry.scenario
            yield from sorted(entry.steps, key=lambda step: step[0].get("index", -1))


def key_of(record: Mapping[str, Any]) -> str:
    """The node id of a scenario's record."""
    return f"{record.get('file', '')}::{record.get('id', '')}"


def read(path: Path, *, torn: bool = False) -> list[dict[str, Any]]:
    """The records of a results file.

    Args:
        path: of the file.
        torn: whether a broken last line is forgiven, as in the part of a worker that died.

    Raises:
        HarnessError: a line that is no record, with its number.
    """
    return list(stream(path, torn=torn))


def stream(path: Path, *, torn: bool = False) -> Iterator[dict[str, Any]]:
    """The same, one after another, for those who need not have all in memory."""
    for record, _ in _numbered(path, torn=torn):
        yield record


def gather(parts: Iterable[Path]) -> Gathered:
    """Reads the workers' parts; each scenario is there once, whatever was tried how often.

    Raises:
        HarnessError: a line that is no record, with its number.
    """
    gathered = Gathered()
    tried: dict[str, list[list[Entry]]] = {}
    for part in sorted(parts):
        here: dict[str, list[Entry]] = {}
        _take_part(part, gathered, here)
        for key, entries in here.items():
            tried.setdefault(key, []).append(entries)
    gathered.entries = [_settled(by_worker) for by_worker in tried.values()]
    return gathered


def _take_part(part: Path, gathered: Gathered, here: dict[str, list[Entry]]) -> None:
    current: Entry | None = None
    for record, line in _numbered(part, torn=True):
        match record["kind"]:
            case "scenario":
                current = Entry((record, line))
                here.setdefault(current.key, []).append(current)
            case "step":
                # A step whose scenario has no line belongs to nobody; the scenario is missed elsewhere.
                if current is not None and record.get("scenario") == current.scenario[0].get("id"):
                    current.steps.append((record, line))
            case "environment":
                # Every worker has its own lease of the same template: one description is enough.
                name = json.dumps(record.get("guest"), sort_keys=True)
                gathered.environments.setdefault(name, record)
            case kind if kind == missing_calls.KIND:
                gathered.missing.append(record)
            case kind if kind == BEGUN:
                gathered.begun[key_of(record)] = record
            case kind if kind == AGAIN:
                gathered.again.add(str(record.get("id")))


def _settled(by_worker: list[list[Entry]]) -> Entry:
    """Of all that was tried of one scenario what stands: within a worker one attempt followed another."""
    stands = [_last(entries) for entries in by_worker]
    verdicts = [_verdict(entry) for entry in stands]
    entry = stands[verdicts.index(worst(verdicts))]
    attempts = [attempt for entries in by_worker for attempt in entries]
    if len(attempts) > 1:
        record = {**entry.scenario[0], "attempts": [_attempt(attempt.scenario[0]) for attempt in attempts]}
        entry.scenario = record, _line(record)
    return entry


def _last(entries: list[Entry]) -> Entry:
    stands = entries[0]
    for entry in entries[1:]:
        if after_retry(_verdict(stands), _verdict(entry)) is _verdict(entry):
            stands = entry
    return stands


def _verdict(entry: Entry) -> Verdict:
    return Verdict(entry.scenario[0]["verdict"])


def _attempt(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: record.get(key) for key in ("verdict", "reason", "lease", "worker", "seconds")}


def _records(result: ScenarioResult, order: int, worker: str) -> Iterator[dict[str, Any]]:
    return scenario_records(result, order=order, worker=worker)


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def _numbered(path: Path, *, torn: bool) -> Iterator[_Line]:
    """Records, each with its line; see `read`."""
    # Line by line: the whole catalogue leaves 20 MB.  With newline="\n" nothing else ends a line, U+2028 and
    # others that JSON leaves as they are among it.
    with path.open(encoding="utf-8-sig", errors="replace", newline="\n") as file:
        for number, read_line in enumerate(file, start=1):
            line = read_line.removesuffix("\n")
            try:
                record = json.loads(line)
                if not isinstance(record, dict) or record.get("kind") is None:
                    raise ValueError("no record")
            except (ValueError, RecursionError):
                if torn and not file.readline():
                    return
                raise HarnessError("this line is no record of a run", where=f"{path}:{number}") from None
            yield record, line


def write(
    run: Mapping[str, Any], gathered: Gathered, into: Path, tests: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Writes what was gathered into one file, in the order of collection; gives the records.

    ``tests``: the records of tests in Python, which follow the scenarios.  The file is replaced in one step:
    a reader sees the old one or the new one.  Records of scenarios and steps go into it as the lines that
    they are: a run has thousands, and parsing them is all that they need to cost.
    """
    missing_calls.fold(gathered.environments.values(), gathered.missing)
    found = list(gathered.lines())
    records = [record for record, _ in found]
    head: dict[str, Any] = {"kind": "run", "schema": SCHEMA, **run, "counts": dict(counts(records))}
    first, last = [head, *gathered.environments.values()], [dict(test) for test in tests]
    into.parent.mkdir(parents=True, exist_ok=True)
    fresh = into.with_name(f".{into.name}.{os.getpid()}")
    lines = [*map(_line, first), *(line for _, line in found), *map(_line, last)]
    try:
        with fresh.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)
        fresh.replace(into)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    return [*first, *records, *last]
