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
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.results import missing_calls
from harness.results.record import ScenarioResult, scenario_records
from harness.results.tally import counts

#: Raised when a key changes its meaning or goes away; new keys do not count.
SCHEMA = 1

_KINDS = ("run", "environment", "scenario", "step", "test")


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

    def write_scenario(self, result: ScenarioResult, *, order: int, worker: str) -> None:
        """All lines of one scenario."""
        for record in scenario_records(result, order=order, worker=worker):
            self.write(record)

    def close(self) -> None:
        """Closes the part."""
        self._file.close()


def read(path: Path, *, torn: bool = False) -> list[dict[str, Any]]:
    """The records of a results file.

    Args:
        path: of the file.
        torn: whether a broken last line is forgiven, as in the part of a worker that died.

    Raises:
        HarnessError: a line that is no record, with its number.
    """
    return [record for record, _ in _numbered(path, torn=torn)]


def environment_of(parts: Iterable[Path]) -> dict[str, Any] | None:
    """The first description of a guest in the workers' parts, read no further than it, or None."""
    for part in parts:
        for record, _ in _numbered(part, torn=True):
            if record["kind"] == "environment":
                return record
    return None


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def _numbered(path: Path, *, torn: bool) -> Iterator[tuple[dict[str, Any], str]]:
    """Records, each with its line; see `read`."""
    # Not splitlines(): to it, U+2028 and others that JSON leaves as they are end a line, too.
    lines = path.read_bytes().decode("utf-8", errors="replace").removesuffix("\n").split("\n")
    if lines == [""]:
        return
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or record.get("kind") is None:
                raise ValueError("no record")
        except ValueError:
            if torn and number == len(lines):
                return
            raise HarnessError("this line is no record of a run", where=f"{path}:{number}") from None
        yield record, line


def merge(
    run: Mapping[str, Any], parts: Sequence[Path], into: Path, tests: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Merges the workers' parts into one file, in the order of collection; gives the records.

    ``tests``: the records of tests in Python, which follow the scenarios.  The file is replaced in one step:
    a reader sees the old one or the new one.  Records of scenarios and steps go into it as the lines that
    they are: a run has thousands, and parsing them is all that they need to cost.
    """
    found: list[tuple[dict[str, Any], str]] = []
    environments: dict[str, dict[str, Any]] = {}
    missing: list[dict[str, Any]] = []
    for part in sorted(parts):
        for record, line in _numbered(part, torn=True):
            if record["kind"] == "environment":
                # Every worker has its own lease of the same template: one description is enough.
                environments.setdefault(json.dumps(record.get("guest"), sort_keys=True), record)
            elif record["kind"] == missing_calls.KIND:
                missing.append(record)
            else:
                found.append((record, line))
    missing_calls.fold(environments.values(), missing)
    kinds = {kind: number for number, kind in enumerate(_KINDS)}
    found.sort(key=lambda f: (f[0].get("order", -1), kinds.get(f[0]["kind"], 9), f[0].get("index", -1)))
    records = [record for record, _ in found]
    head: dict[str, Any] = {"kind": "run", "schema": SCHEMA, **run, "counts": dict(counts(records))}
    first, last = [head, *environments.values()], [dict(test) for test in tests]
    into.parent.mkdir(parents=True, exist_ok=True)
    fresh = into.with_name(f".{into.name}.{os.getpid()}")
    lines = [*map(_line, first), *(line for _, line in found), *map(_line, last)]
    with fresh.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
    fresh.replace(into)
    return [*first, *records, *last]
