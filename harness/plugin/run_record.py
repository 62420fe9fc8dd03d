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

from harness.evidence.incident_folder import INCIDENTS, run_name
from harness.plugin.earlier import Earlier
from harness.plugin.guests import Guests
from harness.plugin.lost import add_lost, add_unrun, key_of_item
from harness.plugin.observation import FLYING, Observer
from harness.plugin.options import Options
from harness.plugin.session_folder import SessionFolder
from harness.results import parts as part_files
from harness.results import seal, tally
from harness.results.parts import Gathered, key_of
from harness.results.run_files import BegunRun
from harness.verdict import Verdict
from vm.words import counted

_INTERRUPTED = "the run was interrupted"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_NAMED = 3
_COUNTED = ("kind", "file", "id", "verdict", "step_count")
"""What is compared of a record that was read back; all of it would be in memory twice."""


class RunRecord:
    """The run as a whole, in the process that ends it.

    Args:
        options: of the plugin.
        identity: of the run, where it has one.
        resumed: the run that is gone on with, None for a new one.
    """

    def __init__(
        self, options: Options, identity: str | None = None, resumed: BegunRun | None = None
    ) -> None:
        self._options = options
        self._resumed = resumed
        self.id = identity or (resumed.id if resumed is not None else uuid.uuid4().hex[:12])
        self.session_started = datetime.now(UTC).strftime(_TIME)
        self._clock = time.monotonic()

    def finish(
        self,
        folder: SessionFolder,
        observer: Observer,
        guests: Guests,
        earlier: Earlier,
        *,
        latched: str | None,
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
        with contextlib.suppress(Exception):  # it is for the next night's sake
            guests.write_memory()
        now = part_files.gather(folder.parts)
        add_lost(now, folder, observer, earlier)
        gathered = part_files.join([earlier.gathered, now])
        if latched is not None:
            add_unrun(gathered, folder, latched)
        with contextlib.suppress(Exception):  # a guest that does not answer now has been heard of already
            gathered.missing.append({"names": guests.missing_calls()})
        doubts = disagreements(gathered.records(), observer)
        observer.problem = "; ".join(filter(None, (observer.problem, *doubts))) or None
        run = self._record(gathered, guests, problem=latched or _said(observer))
        run["sessions"] = folder.session
        run["journal_seconds"] = round(now.durable + folder.durable_seconds, 6)
        into = (self._options.out or folder.make()) / "results.jsonl"
        records = part_files.write(run, gathered, into, _tests(observer, earlier))
        known = observer.problem
        self._read_back(into, records, observer)
        if self._options.out is not None and observer.problem == known:
            seal.write(into.parent, self.id, into.parent / INCIDENTS / run_name(self.id))
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
        if environment.get("target_files"):
            target["files"] = environment["target_files"]
        return {
            "id": self.id,
            "started": self._resumed.started if self._resumed is not None else self.session_started,
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
            "memory_mib": gathered.memory_mib,
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
    lost = [key_of_item(item) for item in ended if key_of_item(item) not in scenarios]
    torn, other = [], []
    for item in ended:
        key = key_of_item(item)
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


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _has_lines(part: Path) -> bool:
    return part.stat().st_size > 0


def _said(observer: Observer) -> str | None:
    """What is wrong with the run, in one line."""
    parts = [_INTERRUPTED if observer.interrupted else None, observer.problem, observer.shortfall()]
    return "; ".join(filter(None, parts)) or None


def _tests(observer: Observer, earlier: Earlier) -> list[Mapping[str, Any]]:
    """The records of tests in Python: those of earlier sessions as they are, with what was lost of others."""
    found: list[Mapping[str, Any]] = []
    for record in observer.tests:
        nodeid = str(record["id"])
        kept, lost = earlier.tests.get(nodeid), earlier.tests_lost.get(nodeid, 0)
        told = {key: value for key, value in (kept or record).items() if key != "ours"}
        if lost:
            flying = {"verdict": Verdict.ERROR.value, "reason": FLYING, "lost": True}
            own = {"verdict": told["verdict"], "reason": told["reason"]}
            told["attempts"] = [*[flying] * lost, own]
        found.append(told)
    return found
