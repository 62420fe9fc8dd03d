# SPDX-License-Identifier: Apache-2.0
"""``results.jsonl``: written in parts, one a worker, and merged into one file.

Each worker appends to its own part as it goes, a finished scenario durably, so that whatever ends
the run leaves what was known.  The controller merges the parts in the order of collection, which
makes two runs comparable line by line.  A run that was gone on with has parts of several sessions.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.results import missing_calls
from harness.results.record import BEGUN, ScenarioResult, begun_record, scenario_records
from harness.results.tally import counts
from harness.verdict import Verdict, after_retry, worst
from vm.files import sync_directory

#: Raised when a key changes its meaning or goes away; new keys do not count.
SCHEMA = 1

#: In a part only: an item that was handed out a second time, and not run again.
AGAIN = "again"

#: In a part only: a test in Python that is about to run.
TEST_BEGUN = "test-begun"

#: In a part only: the seconds that a process spent on writing down what survives it.
DURABLE = "durable"
#: In a part only: the most that the guests of a process and itself held of the host's memory.
MEMORY = "memory"
#: A record of something of ours that failed and was tried again.
INFRASTRUCTURE = "infrastructure"

#: A record, and the line that it is.
Line = tuple[dict[str, Any], str]


class PartWriter:
    """Appends records to the part of one worker.

    A line is with the kernel when `write` returns, and so survives the end of this process.  A scenario's
    lines go out together, and the disk is at work on them when `write_scenario` returns, so that the next
    scenario can run meanwhile: it has them before the next one's are written, and when the part is closed.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        sync_directory(path.parent)
        self._held: list[str] | None = None
        self._disk = ThreadPoolExecutor(1, "kshs-disk")
        self._syncing: Future[None] | None = None
        #: Seconds spent on writing, waits for the disk included.
        self.seconds = 0.0

    def write(self, record: Mapping[str, Any]) -> None:
        """One record as one line."""
        if self._held is not None:
            self._held.append(line_of(record))
        else:
            self._put([line_of(record)])

    def write_begun(self, result: ScenarioResult, *, order: int, worker: str) -> None:
        """A scenario is about to run: what is known of it, should nothing more come."""
        self.write(begun_record(result, order=order, worker=worker))

    def write_scenario(self, result: ScenarioResult, *, order: int, worker: str) -> None:
        """All lines of one scenario, durably: see above.

        Raises:
            OSError: these lines, or those before them, cannot be written.
        """
        self._wait()
        self._held = []
        try:
            for record in scenario_records(result, order=order, worker=worker):
                self.write(record)
        finally:
            held, self._held = self._held, None
        self._put(held)
        self._syncing = self._disk.submit(os.fdatasync, self._fd)

    def sync(self) -> None:
        """Returns when the disk has all that was written."""
        self._wait()
        began = time.perf_counter()
        os.fdatasync(self._fd)
        self.seconds += time.perf_counter() - began

    def close(self) -> None:
        """Closes the part when the disk has it; a second call does nothing."""
        if self._fd >= 0:
            try:
                self._wait()
            finally:
                self._disk.shutdown()
                os.close(self._fd)
                self._fd = -1

    def _wait(self) -> None:
        """For the disk, as far as it was told to write."""
        syncing, self._syncing = self._syncing, None
        if syncing is not None:
            began = time.perf_counter()
            try:
                syncing.result()
            finally:
                self.seconds += time.perf_counter() - began

    def _put(self, lines: Sequence[str]) -> None:
        # Half of a surrogate pair, which a guest's JSON may hold, is no UTF-8: its escape is JSON again.
        text = "".join(f"{line}\n" for line in lines).encode("utf-8", errors="backslashreplace")
        began, begin, view = time.perf_counter(), os.fstat(self._fd).st_size, memoryview(text)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            # What is torn in the middle of a part would cost all that follows.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, begin)
            raise
        self.seconds += time.perf_counter() - began


@dataclass
class Entry:
    """One scenario as it is on record: its line, and those of its steps."""

    scenario: Line
    steps: list[Line] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Its node id: two files may have scenarios of one name."""
        return key_of(self.scenario[0])


@dataclass
class Gathered:
    """What the parts hold.

    `begun` are the scenarios that were about to run, by node id, and `times` how often each was; `again` are
    the items that were handed out more than once.  `tests` are the records of tests in Python that ended, and
    `tests_begun` those that were begun, by node id.  `memory_mib` is what all processes of a session took.
    """

    entries: list[Entry] = field(default_factory=list)
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: list[dict[str, Any]] = field(default_factory=list)
    infrastructure: list[dict[str, Any]] = field(default_factory=list)
    durable: float = 0.0
    memory_mib: int | None = None
    begun: dict[str, dict[str, Any]] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)
    again: set[str] = field(default_factory=set)
    tests: dict[str, dict[str, Any]] = field(default_factory=dict)
    tests_begun: set[str] = field(default_factory=set)

    def add(self, result: ScenarioResult, *, order: int, worker: str, lost: bool = False) -> None:
        """One scenario of which no part has the lines; `lost`: the run ended under it."""
        head, *steps = scenario_records(result, order=order, worker=worker)
        if lost:
            head["lost"] = True
        self.entries.append(Entry((head, line_of(head)), [(step, line_of(step)) for step in steps]))

    def records(self) -> list[dict[str, Any]]:
        """Scenarios and steps, in the order of collection."""
        return [record for record, _ in self.lines()]

    def lines(self) -> Iterator[Line]:
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
    for record, _ in lines(path, torn=torn):
        yield record


def gather(parts: Iterable[Path]) -> Gathered:
    """Reads the workers' parts; each scenario is there once, whatever was tried how often.

    Raises:
        HarnessError: a line that is no record, with its number.
    """
    return gather_lines(lines(part, torn=True) for part in sorted(parts))


def gather_lines(parts: Iterable[Iterable[Line]]) -> Gathered:
    """The same of parts that are read already, or as they are read."""
    gathered = Gathered()
    memory: list[Mapping[str, Any]] = []
    tried: dict[str, list[list[Entry]]] = {}
    for part in parts:
        here: dict[str, list[Entry]] = {}
        _take_part(part, gathered, here, memory)
        for key, entries in here.items():
            tried.setdefault(key, []).append(entries)
    gathered.entries = [_settled(by_worker) for by_worker in tried.values()]
    if memory:
        # Workers are beside each other, and have forks of one template, whose pages are there once.
        own, shared = sum(one["own_kib"] for one in memory), max(one["shared_kib"] for one in memory)
        gathered.memory_mib = -(-(own + shared) // 1024)
    return gathered


def _take_part(
    part: Iterable[Line], gathered: Gathered, here: dict[str, list[Entry]], memory: list[Mapping[str, Any]]
) -> None:
    current: Entry | None = None
    for record, line in part:
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
            case kind if kind == DURABLE:
                gathered.durable += float(record.get("seconds", 0.0))
            case kind if kind == MEMORY:
                memory.append(record)
            case kind if kind == INFRASTRUCTURE:
                gathered.infrastructure.append(record)
            case kind if kind == BEGUN:
                gathered.begun[key_of(record)] = record
                gathered.times[key_of(record)] += 1
            case kind if kind == AGAIN:
                gathered.again.add(str(record.get("id")))
            case "test":
                gathered.tests[str(record.get("id"))] = record
            case kind if kind == TEST_BEGUN:
                gathered.tests_begun.add(str(record.get("id")))


def _settled(by_worker: list[list[Entry]]) -> Entry:
    """Of all that was tried of one scenario what stands: within a worker one attempt followed another."""
    stands = [_last(entries) for entries in by_worker]
    verdicts = [_verdict(entry) for entry in stands]
    entry = stands[verdicts.index(worst(verdicts))]
    attempts = [attempt for entries in by_worker for attempt in entries]
    if len(attempts) > 1:
        record = {**entry.scenario[0], "attempts": [_attempt(attempt.scenario[0]) for attempt in attempts]}
        entry.scenario = record, line_of(record)
    return entry


def _last(entries: list[Entry]) -> Entry:
    stands = entries[0]
    for entry in entries[1:]:
        if after_retry(_verdict(stands), _verdict(entry)) is _verdict(entry):
            stands = entry
    return stands


def join(sessions: Iterable[Gathered]) -> Gathered:
    """What several sessions of one run left, in their order: what came later was tried again."""
    whole = Gathered()
    found: dict[str, Entry] = {}
    for session in sessions:
        for entry in session.entries:
            before = found.get(entry.key)
            found[entry.key] = entry if before is None else _after(before, entry)
        for name, environment in session.environments.items():
            whole.environments.setdefault(name, environment)
        whole.missing += session.missing
        whole.infrastructure += session.infrastructure
        whole.durable += session.durable
        known = [mib for mib in (whole.memory_mib, session.memory_mib) if mib is not None]
        whole.memory_mib = max(known, default=None)
        whole.begun |= session.begun
        whole.times += session.times
        whole.again |= session.again
        whole.tests |= session.tests
        whole.tests_begun |= session.tests_begun
    whole.entries = list(found.values())
    return whole


def attempts_of(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All that was tried of a scenario, the one that stands among it."""
    return list(record.get("attempts") or [_attempt(record)])


def _after(first: Entry, then: Entry) -> Entry:
    """Of two entries of one scenario the one that stands, with the attempts of both."""
    attempts = [*attempts_of(first.scenario[0]), *attempts_of(then.scenario[0])]
    stands = then if after_retry(_verdict(first), _verdict(then)) is _verdict(then) else first
    record = {**stands.scenario[0], "attempts": attempts}
    return Entry((record, line_of(record)), stands.steps)


def _verdict(entry: Entry) -> Verdict:
    return Verdict(entry.scenario[0]["verdict"])


def _attempt(record: Mapping[str, Any]) -> dict[str, Any]:
    said = {key: record.get(key) for key in ("verdict", "reason", "lease", "worker", "seconds")}
    return {**said, **({"lost": True} if record.get("lost") else {})}


def line_of(record: Mapping[str, Any]) -> str:
    """A record as it stands in a file."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def lines(path: Path, *, torn: bool = False) -> Iterator[Line]:
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
    first = [head, *gathered.environments.values(), *gathered.infrastructure]
    last = [dict(test) for test in tests]
    into.parent.mkdir(parents=True, exist_ok=True)
    fresh = into.with_name(f".{into.name}.{os.getpid()}")
    written = [*map(line_of, first), *(line for _, line in found), *map(line_of, last)]
    try:
        with fresh.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.writelines(f"{line}\n" for line in written)
            file.flush()
            os.fdatasync(file.fileno())
        fresh.replace(into)
        sync_directory(into.parent)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    return [*first, *records, *last]
