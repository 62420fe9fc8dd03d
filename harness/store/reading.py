# SPDX-License-Identifier: Apache-2.0
"""A results folder as the store takes it: whole, partial, interrupted or damaged.

What cannot be read is counted and left out; nothing of it is guessed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from pydantic_core import from_json

from harness.errors import UsageError
from harness.results.cause import cause_of
from harness.results.folder import PARTS
from harness.results.parts import SCHEMA
from harness.results.record import BEGUN
from harness.results.run_files import read_run, unfinished_run
from harness.store.origins import name_of, seconds_of
from harness.store.values import Block, NotARecordError, block_of, check
from harness.verdict import Verdict, after_retry
from vm.words import counted

RESULTS = "results.jsonl"
#: How signatures are made that no record brings along.
BY_CAUSE = "cause-1"
_HINT = "give the --out of a run"
#: Lines of a file that tell it from those of other runs.
_NAMING = 4
_VERDICTS = frozenset(verdict.value for verdict in Verdict)

#: do, name, route, mode, and what was sent.
StepKey: TypeAlias = tuple[str, str, str | None, str | None, tuple[tuple[str, Any], ...]]
#: What was asked, what came back, the verdict, and the reason where it did not pass.
ReadStep: TypeAlias = tuple[StepKey, Block | None, str, str | None]


@dataclass(frozen=True, slots=True)
class ReadSignature:
    """What groups the same failure; see `harness.store.models.Signature`."""

    version: str
    text: str
    words: str


@dataclass(slots=True)
class ReadScenario:
    """One scenario (or test in Python) as a results folder has it; `others` are its further attempts."""

    name: str
    file: str
    kind: str
    verdict: str
    reason: str | None
    content: str | None = None
    title: str | None = None
    rules: tuple[str, ...] = ()
    seconds: float | None = None
    lease: str | None = None
    worker: str | None = None
    evidence: tuple[str, ...] = ()
    steps: tuple[ReadStep, ...] = ()
    torn: bool = False
    signature: ReadSignature | None = None
    others: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass
class ReadRun:
    """All that a results folder holds; `notes` say what was wrong with it."""

    head: dict[str, Any]
    environments: list[dict[str, Any]]
    scenarios: list[ReadScenario]
    notes: list[str]
    blocks: int = 0


def read(folder: Path) -> ReadRun:
    """Reads the folder of a run, or its results.jsonl.

    Raises:
        UsageError: it holds no results, those of a later kshs, or nothing in them can be read.
    """
    path = folder / RESULTS if folder.is_dir() else folder
    notes: list[str] = []
    begun: dict[str, Any] = {}
    files = [path]
    if not path.is_file():
        files, begun = _unfinished(folder) if folder.is_dir() else ([], {})
        notes.append(f"the run has left no {RESULTS}: what its processes had written by then")
    if not files:
        raise UsageError(f"there is no {RESULTS}", where=str(folder), hint=_HINT)
    taker = _Taker()
    for file in files:
        taker.take(_lines(file))
    run = taker.finish()
    run.head = run.head or begun
    if not run.scenarios and not run.head:
        raise UsageError("nothing in it is the record of a run", where=str(path), hint=_HINT)
    if run.head.get("schema", SCHEMA) != SCHEMA:
        raise UsageError(
            f"its schema is {run.head['schema']}, this kshs knows {SCHEMA}",
            where=str(path),
            hint="update kshs",
        )
    if name_of(run.head.get("id")) is None:
        if path.is_file():
            said = "has no id" if run.head else "itself is missing"
            notes.append(f"the record of the run {said}")
        run.head = {**run.head, "id": f"no-id-{_name_of(files)}"}
    run.notes = notes + run.notes
    return run


def _unfinished(folder: Path) -> tuple[list[Path], dict[str, Any]]:
    """What the processes of a run had written that has left no results, and how it was begun."""
    parts = unfinished_run(folder)
    places = [parts] if parts is not None else sorted(folder.glob(f"{PARTS}*"))
    kinds = ("results-*.jsonl", "tests-*.jsonl")
    files = [file for place in places for kind in kinds for file in sorted(place.glob(kind))]
    if parts is None:
        return files, {}
    try:
        run = read_run(parts)
    except UsageError:
        return files, {}
    said = {"id": run.id, "started": run.started, "version": run.version}
    return files, {**said, "problem": "it had not ended when it was imported"}


def _name_of(files: Iterable[Path]) -> str:
    """Names a run that does not say its id, the same each time it is read."""
    import hashlib

    digest = hashlib.blake2b(digest_size=6)
    for file in files:
        with file.open("rb") as opened:
            # Its first lines, to which none is added in front; the very first may be the same in every run.
            digest.update(b"".join(islice(opened, _NAMING)))
    return digest.hexdigest()


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file):
                yield line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), hint=_HINT) from None


class _Taker:
    """Takes lines one after another; a scenario is finished by the line behind its steps."""

    def __init__(self) -> None:
        self.head: dict[str, Any] = {}
        self.environments: list[dict[str, Any]] = []
        self.scenarios: dict[tuple[str, str], ReadScenario] = {}
        self.begun: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.damaged = 0
        self.torn = 0
        self.blocks = 0
        self.earlier = 0
        self._good: set[tuple[StepKey, Block | None]] = set()
        """What was checked: most of what comes has come before."""
        self._current: dict[str, Any] | None = None
        self._steps: list[dict[str, Any]] = []

    def take(self, lines: Iterable[bytes]) -> None:
        """All lines of one file."""
        for line in lines:
            record = _record(line)
            kind = record.get("kind") if record is not None else None
            if record is None or not isinstance(kind, str):
                self.damaged += line.strip() != b""
            elif kind == "step":
                self._step(record)
            else:
                self._end()
                self._other(kind, record)
        self._end()

    def _step(self, record: dict[str, Any]) -> None:
        if self._current is not None and record.get("scenario") == self._current.get("id"):
            self._steps.append(record)
        else:
            self.damaged += 1  # its scenario's line is gone

    def _other(self, kind: str, record: dict[str, Any]) -> None:
        if kind == "run" and not self.head:
            self.head = record
        elif kind == "environment":
            self.environments.append(record)
        elif kind == "scenario":
            self._current = record
        elif kind in ("test", BEGUN):
            try:
                self._test(record) if kind == "test" else self._begin(record)
            except (NotARecordError, TypeError, ValueError, AttributeError):
                self.damaged += 1

    def _begin(self, record: Mapping[str, Any]) -> None:
        self.begun[_text(record["file"]), _text(record["id"])] = record

    def _test(self, record: Mapping[str, Any]) -> None:
        name = _text(record.get("id"))
        file, _, test = name.partition("::")
        read = ReadScenario(test or name, file, "test", _verdict(record), _maybe(record.get("reason")))
        read.seconds = seconds_of(record.get("seconds"))
        if read.verdict not in (Verdict.PASSED, Verdict.SKIPPED):
            read.signature = _signature(record, [])
        self._keep(read)

    def _end(self) -> None:
        """Makes what was taken of a scenario into one."""
        record, steps = self._current, self._steps
        if record is None:
            return
        self._current, self._steps = None, []
        try:
            read = self._scenario(record, steps)
        except (NotARecordError, TypeError, ValueError, AttributeError, KeyError, RecursionError):
            self.damaged += 1
            return
        self.torn += read.torn and len(read.steps) != record.get("step_count")
        self._keep(read)

    def _scenario(self, record: Mapping[str, Any], steps: list[dict[str, Any]]) -> ReadScenario:
        made: list[ReadStep] = []
        lost = False
        started, held = 0, False
        earlier = self.earlier
        for step in steps:
            try:
                read = self._made(step, raced=started > 1, loose=bool(started) and not held)
                made.append(read)
                outcome = read[1][0] if read[1] is not None else None
                if outcome == "started":
                    started, held = started + 1, False
                elif read[0][0] == "wait_inside" and outcome == "done":
                    held = True
            except (NotARecordError, TypeError, ValueError, AttributeError, KeyError):
                lost = True
                self.damaged += 1
        verdict = _verdict(record)
        loud = verdict not in (Verdict.PASSED, Verdict.SKIPPED)
        attempts = [one for one in record.get("attempts") or () if isinstance(one, Mapping)]
        return ReadScenario(
            name=_text(record["id"]),
            file=_text(record["file"]),
            kind="scenario",
            verdict=verdict,
            reason=_maybe(record.get("reason")),
            content=_maybe(record.get("content")),
            title=_maybe(record.get("title")),
            rules=tuple(map(str, record.get("rules") or ())),
            seconds=seconds_of(record.get("seconds")),
            lease=_maybe(record.get("lease")),
            worker=_maybe(record.get("worker")),
            evidence=tuple(map(str, record.get("evidence") or ())),
            steps=tuple(made),
            torn=lost or self.earlier > earlier or record.get("step_count", len(steps)) != len(steps),
            signature=_signature(record, steps) if loud else None,
            others=attempts,
        )

    def _made(self, step: Mapping[str, Any], *, raced: bool, loose: bool) -> ReadStep:
        status_block = step["status_block"]
        request = step.get("request")
        key = (
            step["do"],
            step["name"],
            step.get("route"),
            step.get("mode"),
            tuple(request.items()) if request else (),
        )
        verdict = step["verdict"]
        reason = None if verdict == "passed" else step.get("reason")
        block = None
        if status_block is not None:
            if "numbers" not in status_block:
                self.earlier += 1  # the scenario is then told as torn
            else:
                block = block_of(status_block, raced=raced, loose=loose)
                self.blocks += 1
        if (key, block) not in self._good:
            _check(key, block, verdict)
            self._good.add((key, block))
        return key, block, verdict, reason

    def _keep(self, read: ReadScenario) -> None:
        place = (read.file, read.name)
        before = self.scenarios.get(place)
        if before is not None:  # in parts each attempt has its own lines
            first, again = Verdict(before.verdict), Verdict(read.verdict)
            stands = read if after_retry(first, again) is again else before
            tries = before.others or [_attempt(before)]
            stands.others = [*tries, _attempt(read)]
            read = stands
        self.scenarios[place] = read

    def finish(self) -> ReadRun:
        """What was taken."""
        for place, record in self.begun.items():
            if place not in self.scenarios:
                why = "nothing but its begin is on record"
                lost = ReadScenario(place[1], place[0], "scenario", Verdict.ERROR.value, why)
                lost.content = _maybe(record.get("content"))
                self._keep(lost)
        notes = []
        if self.damaged:
            notes.append(f"{counted(self.damaged, 'line')} in it could not be read")
        if self.torn:
            notes.append(f"{counted(self.torn, 'scenario')} without all of their steps")
        if self.earlier:
            notes.append("it is of a kshs that recorded no numbers: its fields cannot be compared")
        return ReadRun(self.head, self.environments, list(self.scenarios.values()), notes, self.blocks)


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        found = from_json(line, cache_strings="all")
    except ValueError:
        try:
            found = json.loads(line)  # half of a surrogate pair is JSON, if no text
        except (ValueError, RecursionError):
            return None
    return found if isinstance(found, dict) else None


def _check(key: StepKey, block: Block | None, verdict: Any) -> None:
    do, name, route, mode, _ = key
    texts = isinstance(do, str) and isinstance(name, str)
    if not texts or not isinstance(route, str | None) or not isinstance(mode, str | None):
        raise NotARecordError("a step has no name")
    if verdict not in _VERDICTS:
        raise NotARecordError("there is no such verdict")
    if block is not None:
        check(block)


def _attempt(read: ReadScenario) -> dict[str, Any]:
    return {name: getattr(read, name) for name in ("verdict", "reason", "lease", "worker", "seconds")}


def _signature(record: Mapping[str, Any], steps: list[dict[str, Any]]) -> ReadSignature | None:
    """That of the record, where evidence has made one, else what tells causes apart in a report."""
    if record.get("crash") or record.get("signature"):
        from harness.evidence.signature import with_signature

        record = with_signature(record)
    given = record.get("signature")
    if isinstance(given, Mapping) and given.get("text"):
        text = str(given["text"])
        version = given.get("version")
        made = f"crash-{version}" if isinstance(version, int) else str(version)
        return ReadSignature(made, text, str(given.get("words") or text))
    cause = cause_of({**record, "verdict": record["verdict"]}, steps)
    return None if cause is None else ReadSignature(BY_CAUSE, " | ".join(cause.key), cause.words)


def _verdict(record: Mapping[str, Any]) -> str:
    verdict = record.get("verdict")
    if verdict not in _VERDICTS:
        raise NotARecordError("there is no such verdict")
    return str(verdict)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise NotARecordError("no text")
    return value


def _maybe(value: Any) -> str | None:
    return value if isinstance(value, str) else None
