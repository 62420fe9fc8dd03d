# SPDX-License-Identifier: Apache-2.0
"""Results: what a run leaves behind, as dataclasses and as ``results.jsonl`` (docs/results.md).

Each worker appends to its own part as it goes, one flushed line at a time, so that whatever ends
the run leaves what was known.  The controller merges the parts in the order of collection, which
makes two runs comparable line by line.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import missing_calls
from harness.errors import HarnessError
from harness.standing import judged_rules, standing
from harness.verdict import Verdict

#: Raised when a key changes its meaning or goes away; new keys do not count.
SCHEMA = 1

_KINDS = ("run", "environment", "scenario", "step", "test")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field of a status block, as expected and as it came, in words for people."""

    field: str
    expected: str
    got: str
    ok: bool
    rule: str | None = None
    clause: str | None = None
    characteristic: bool = False


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step of a scenario: what was asked, what came, what is said of it."""

    index: int
    name: str
    do: str
    verdict: Verdict
    route: str | None = None
    mode: str | None = None
    rule: str | None = None
    line: int | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    status_block: Mapping[str, Any] | None = None
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def mismatches(self) -> tuple[Comparison, ...]:
        """The comparisons that speak against the driver."""
        return tuple(c for c in self.comparisons if not c.ok and not c.characteristic)


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """One scenario on one lease."""

    id: str
    title: str
    rules: tuple[str, ...]
    verdict: Verdict
    file: str
    line: int | None = None
    tags: tuple[str, ...] = ()
    reason: str | None = None
    steps: tuple[StepResult, ...] = ()
    evidence: tuple[str, ...] = ()
    seconds: float = 0.0
    guest_seconds: float = 0.0
    lease: str | None = None

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes of its requests, each once, in the order of their first use."""
        return tuple(dict.fromkeys(step.route for step in self.steps if step.route))


def _plain(value: Any) -> Any:
    """JSON's view of a dataclass field: 64-bit numbers stay numbers, bytes become hex."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    return str(value)


def scenario_records(result: ScenarioResult, *, order: int, worker: str) -> Iterator[dict[str, Any]]:
    """The lines of one scenario: its verdict, then one a step."""
    shallow = {f.name: getattr(result, f.name) for f in dataclasses.fields(result) if f.name != "steps"}
    yield {
        "kind": "scenario",
        "order": order,
        "worker": worker,
        "step_count": len(result.steps),
        "routes": list(result.routes),
        "judged": judged_rules(result.rules, result.steps),
        **_plain(shallow),
    }
    for step in result.steps:
        fields = {f.name: getattr(step, f.name) for f in dataclasses.fields(step) if f.name != "comparisons"}
        yield {
            "kind": "step",
            "order": order,
            "scenario": result.id,
            **_plain(fields),
            "comparisons": [dataclasses.asdict(comparison) for comparison in step.comparisons],
        }


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


def of_kind(records: Iterable[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    """The records of one kind, in their order."""
    return [record for record in records if record["kind"] == kind]


def counts(records: Iterable[Mapping[str, Any]], kind: str = "scenario") -> Counter[str]:
    """Scenarios (or tests in Python) by verdict; every verdict is a key, in the order of `Verdict`."""
    tally = Counter({verdict.value: 0 for verdict in Verdict})
    tally.update(record["verdict"] for record in records if record["kind"] == kind)
    return tally


def matrix(records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Counter[str]]]:
    """Rule, then route, then scenarios by what they say of the rule (`harness.standing`).

    A scenario counts once for each of its rules and routes; one without a request (all its steps
    skipped, say) counts under the route ``-``.
    """
    table: dict[str, dict[str, Counter[str]]] = {}
    for record in of_kind(records, "scenario"):
        for rule in record["rules"] or ["-"]:
            for route in record["routes"] or ["-"]:
                table.setdefault(rule, {}).setdefault(route, Counter())[standing(record, rule)] += 1
    return dict(sorted(table.items(), key=lambda item: rule_key(item[0])))


def rule_key(rule: str) -> tuple[int, int, str]:
    """Sorts H2 before H10, and rules before everything else."""
    number = rule[1:]
    return (0, int(number), "") if rule[:1] == "H" and number.isdigit() else (1, 0, rule)


def skip_reasons(records: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Why scenarios were skipped, and how often."""
    return Counter(
        str(record.get("reason") or "no reason given")
        for record in of_kind(records, "scenario")
        if record["verdict"] == Verdict.SKIPPED
    )
