# SPDX-License-Identifier: Apache-2.0
"""The end of a run: the parts of all processes made into results, and these compared with what ran."""

from __future__ import annotations

import contextlib
import sys
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.agent.journal import Unfinished, unfinished
from harness.plugin.guests import Guests
from harness.plugin.observation import Item, Observer
from harness.plugin.options import Options
from harness.plugin.session_folder import SessionFolder
from harness.results import parts as part_files
from harness.results import tally
from harness.results.parts import Gathered, key_of
from harness.results.record import result_of_begun
from harness.verdict import Verdict
from vm.words import counted

_INTERRUPTED = "the run was interrupted"
_NAMED = 3
_COUNTED = ("kind", "file", "id", "verdict", "step_count")
"""What is compared of a record that was read back; all of it would be in memory twice."""


class RunRecord:
    """The run as a whole, in the process that ends it.

    Args:
        options: of the plugin.
        identity: of the run.
    """

    def __init__(self, options: Options, identity: str | None = None) -> None:
        self._options = options
        self.id = identity or uuid.uuid4().hex[:12]
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()

    def finish(
        self, folder: SessionFolder, observer: Observer, guests: Guests, *, latched: str | None
    ) -> list[dict[str, Any]] | None:
        """Writes ``results.jsonl``, where an output directory is given; gives what it holds.

        None where nothing has run: what an earlier run has left stays.

        Raises:
            OSError, HarnessError: the results cannot be written, or a part cannot be read.
        """
        if not observer.ran or (not observer.items and not any(map(_has_lines, folder.parts))):
            return None
        if not any(item.ours for item in observer.items.values()) and not folder.parts:
            return None  # tests that have nothing to do with us
        gathered = part_files.gather(folder.parts)
        _add_lost(gathered, folder, observer)
        with contextlib.suppress(Exception):  # a guest that does not answer now has been heard of already
            gathered.missing.append({"names": guests.missing_calls()})
        doubts = disagreements(gathered.records(), observer)
        observer.problem = "; ".join(filter(None, (observer.problem, *doubts))) or None
        run = self._record(gathered, guests, problem=latched or _said(observer))
        into = (self._options.out or folder.make()) / "results.jsonl"
        records = part_files.write(run, gathered, into, observer.tests)
        self._read_back(into, records, observer)
        return records

    def _read_back(self, path: Path, records: Sequence[Mapping[str, Any]], observer: Observer) -> None:
        """What lies on the disk is what counts; a line that is not there makes the run an error."""
        kept = [{key: record.get(key) for key in _COUNTED} for record in part_files.stream(path)]
        observer.recorded = tally.counts(kept)
        doubts = disagreements(kept, observer)
        if len(kept) != len(records):
            doubts.append(f"{path.name} holds {len(kept)} of {counted(len(records), 'record')}")
        known = observer.problem or ""
        observer.problem = "; ".join(filter(None, (known, *(d for d in doubts if d not in known)))) or None

    def _record(self, gathered: Gathered, guests: Guests, *, problem: str | None) -> dict[str, Any]:
        from harness import version

        environment: Mapping[str, Any] = next(iter(gathered.environments.values()), {})
        target = {**guests.target_record(), "digest": environment.get("target_digest")}
        return {
            "id": self.id,
            "started": self._started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "seconds": round(time.monotonic() - self._clock, 3),
            "version": version(),
            "command": self._options.command or " ".join(["pytest", *sys.argv[1:]]),
            "options": self._options.to_repeat(),
            "guest": self._options.guest_name,
            "selection": self._options.selection,
            "problem": problem,
            "target": target,
            "host": environment.get("host") or {},
            "handed_out_again": sorted(gathered.again),
        }


def disagreements(records: Iterable[Mapping[str, Any]], observer: Observer) -> list[str]:
    """Where what is on record is not what ran: scenarios and steps that are missing, verdicts that differ."""
    scenarios: dict[str, Mapping[str, Any]] = {}
    steps: dict[str, int] = {}
    twice: list[str] = []
    current = ""
    for record in records:
        if record["kind"] == "scenario":
            current = key_of(record)
            if current in scenarios:
                twice.append(current)
            scenarios[current] = record
        elif record["kind"] == "step":
            steps[current] = steps.get(current, 0) + 1
    ended = [item for item in observer.scenarios if item.verdict is not None]
    lost = [_key(item) for item in ended if _key(item) not in scenarios]
    torn, other = [], []
    for item in ended:
        key = _key(item)
        if key not in scenarios:
            continue
        kept, have = scenarios[key], steps.get(key, 0)
        wanted = {int(kept["step_count"])}
        if item.told is not None and item.told.unrecorded is None:
            wanted.add(item.told.steps)
        if wanted != {have}:
            torn.append(f"{key} ({have} of {counted(max(wanted), 'step')})")
        if kept["verdict"] != item.verdict:
            other.append(f"{key} ({kept['verdict']}, pytest has {item.verdict})")
    said = (
        (lost, "not on record although it ran"),
        (torn, "not wholly on record"),
        (other, "on record with another verdict"),
        (twice, "on record twice"),
    )
    return [f"{what}: {_some(names)}" for names, what in said if names]


def _key(item: Item) -> str:
    if item.told is not None:
        return item.told.key
    head, separator, name = item.nodeid.rpartition("::")
    return f"{head}{separator}{name.partition('@')[0]}"  # behind @ xdist has the name of a group


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _has_lines(part: Path) -> bool:
    return part.stat().st_size > 0


def _said(observer: Observer) -> str | None:
    """What is wrong with the run, in one line."""
    parts = [_INTERRUPTED if observer.interrupted else None, observer.problem, observer.shortfall()]
    return "; ".join(filter(None, parts)) or None


def _add_lost(gathered: Gathered, folder: SessionFolder, observer: Observer) -> None:
    """Adds what has begun or ended and left no lines, above all what a worker that died had in hand."""
    written = {entry.key for entry in gathered.entries}
    left_over = [left for left in map(unfinished, folder.journals) if left is not None]
    flying = {f"{left.file}::{left.scenario}": left for left in left_over}
    ended = {_key(item): item for item in observer.scenarios}
    for key in {**gathered.begun, **ended}:
        if key in written:
            continue
        item = ended.get(key)
        left = flying.get(key)
        verdict, reason = _of_lost(item, left, interrupted=observer.interrupted)
        begun = gathered.begun.get(key) or _unknown(key, order=len(observer.selected))
        lease = left.lease if left is not None else None
        result = result_of_begun(begun, verdict, reason, lease)
        gathered.add(result, order=begun["order"], worker=begun["worker"])


def _of_lost(item: Item | None, left: Unfinished | None, *, interrupted: bool) -> tuple[Verdict, str]:
    """What is said of a scenario without a record: what speaks against a driver is told as it is."""
    told = item.told if item is not None else None
    if told is not None and told.verdict.is_driver_fault:
        return told.verdict, told.reason or "no reason is on record"
    if told is not None:
        return Verdict.ERROR, told.unrecorded or "its result was lost between the guest and results.jsonl"
    if left is not None:
        last = left.sent[-1].what if left.sent else "nothing was sent"
        how = "interrupted" if interrupted else "the run ended"
        reason = f"{how} while this scenario was in flight; last sent: {last}"
        return Verdict.ERROR, f"{reason}; nothing is known of the driver" if interrupted else reason
    if item is not None and item.verdict is not None:
        return Verdict.ERROR, " ".join((item.reason or "it left no result").split())
    how = "interrupted" if interrupted else "the run ended"
    return Verdict.ERROR, f"{how} before anything was sent for this scenario"


def _unknown(key: str, order: int) -> dict[str, Any]:
    """What is known of a scenario of which not even the begin is on record."""
    file, _, name = key.rpartition("::")
    known: dict[str, Any] = {"id": name, "title": name, "rules": [], "file": file, "line": None, "tags": []}
    return {**known, "order": order, "worker": ""}
