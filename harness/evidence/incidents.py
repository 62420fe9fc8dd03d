# SPDX-License-Identifier: Apache-2.0
"""Keeps the evidence of incidents: one folder each, beside the results of the run.

A folder holds ``incident.json``, which says what happened to which request, and the pieces that the guest
left (docs/results.md, "Incidents").  Nothing here raises: evidence that cannot be kept costs no verdict, and
is told.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.evidence import debug_output, incident_stacks
from harness.evidence.incident_folder import INCIDENTS, IncidentFolder, folder_name, run_name
from harness.evidence.incident_shelf import IncidentShelf, NoRoomError
from harness.guest_text import load_object
from harness.guests import DriverFiles, Guest, LeavesEvidence, incident_evidence
from harness.incident_settings import IncidentsConfig
from harness.results.record import StepResult
from harness.verdict import Verdict
from vm.files import write_whole

_LOG = logging.getLogger(__name__)

FACTS = "incident.json"
RECORDS = "records.jsonl"
AGENT = "agent-session.log"
STACKS = "threads.txt"
#: Raised when a key of `incident.json` changes its meaning or goes away.
FORMAT = 1
#: Steps whose records are kept: those before the end, and it.
_LAST_STEPS = 50


@dataclass(frozen=True)
class Incident:
    """A crash, a hang or a lost guest, as the runner knows it.

    `step` is the place of the request in flight among `steps`, None where it was none of them; `in_flight`
    is it in words.  `under_way` are the places of what was started before it and not waited for yet.
    `agent` are the last lines of the session with the agent.
    """

    scenario: str
    title: str
    file: str
    line: int | None
    verdict: Verdict
    reason: str
    in_flight: str | None
    step: int | None
    steps: Sequence[StepResult]
    evidence: Sequence[str]
    agent: Sequence[str]
    failure: str | None = None
    under_way: Sequence[int] = ()
    at: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Kept:
    """What was kept of an incident.

    `path` is the folder, from the directory of the results on, None where none was kept, and `why` then says
    why.  `evidence` is what the pieces say in words, `said` what the drivers printed.
    """

    path: str | None = None
    why: str | None = None
    evidence: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


class Incidents:
    """The incidents of one process of a run.

    Args:
        out: the directory of the results.
        run: its id.
        worker: names this process.
        settings: table [incidents].
        environment: what is known of guest and host, asked when an incident is kept.
        files: of the drivers in the guests, likewise.
    """

    def __init__(
        self,
        out: Path,
        run: str,
        worker: str,
        settings: IncidentsConfig,
        environment: Callable[[], Mapping[str, Any]],
        files: Callable[[], DriverFiles] = DriverFiles,
    ) -> None:
        self._out = out
        self._run = run
        self._worker = worker
        self._settings = settings
        self._environment = environment
        self._files = files
        self._shelf = IncidentShelf(out, run_name(run), settings)

    def keep(self, incident: Incident, guest: Guest) -> Kept:
        """Keeps one, while its guest is still there."""
        begun = time.monotonic()
        try:
            path, room = self._shelf.take(folder_name(incident.scenario, incident.file))
        except NoRoomError as why:
            return Kept(why=str(why))
        except Exception as error:
            return Kept(why=f"the incident's folder cannot be made: {error}")
        try:
            return self._keep(incident, guest, path, room, begun)
        except Exception as error:
            _LOG.exception("the evidence of %s cannot be kept", incident.scenario)
            return Kept(why=f"its evidence cannot be kept: {error}")

    def _keep(self, incident: Incident, guest: Guest, path: Path, room: int, begun: float) -> Kept:
        folder = IncidentFolder(path, limit=self._settings.file_kib << 10, room=room)
        machine: Mapping[str, Any] = {}
        if isinstance(guest, LeavesEvidence):
            try:
                machine = guest.leave_evidence(
                    folder,
                    hung=incident.verdict is Verdict.HUNG,
                    memory_dump=self._settings.memory_dump,
                )
            except Exception as error:
                folder.lack("guest", f"{type(error).__name__}: {error}")
        folder.add(AGENT, "\n".join([*incident.agent, ""]).encode("utf-8", errors="replace"))
        folder.add(RECORDS, _records(incident.steps))
        stacks = self._stacks(folder)
        log = _text(path / "session.log")
        said = debug_output.told(debug_output.printed(log), incident.steps)
        stops = debug_output.bugchecks(log) if incident.verdict is Verdict.CRASHED else []
        facts = self._facts(incident, guest, folder, machine)
        facts |= {"stacks": stacks, "said": list(said)}
        facts["seconds"] = round(time.monotonic() - begun, 3)
        text = json.dumps(facts, indent=1, default=str)
        write_whole(path / FACTS, text + "\n")
        _LOG.info("incident kept in %.2f s: %s", time.monotonic() - begun, path)
        return Kept(path.relative_to(self._out).as_posix(), evidence=(*stops, *stacks), said=said)

    def _stacks(self, folder: IncidentFolder) -> list[str]:
        """Where the threads of the drivers under test stand; all threads in words are one of the pieces."""
        text = _text(folder.path / incident_evidence.THREADS)
        if not text:
            return []
        try:
            found = incident_stacks.threads(load_object(text[max(0, text.find("{")) :]))
            files = self._files()
            every = incident_stacks.told(found, files)
            folder.add(STACKS, "\n".join([*every, ""]).encode("utf-8", errors="replace"))
            told = {thread.number: line for thread, line in zip(found, every, strict=True)}
            return [told[thread.number] for thread in incident_stacks.concerned(found, files.targets)]
        except Exception as error:
            folder.lack(STACKS, f"{type(error).__name__}: {error}")
            return []

    def _facts(
        self, incident: Incident, guest: Guest, folder: IncidentFolder, machine: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "run": self._run,
            "worker": self._worker,
            "at": datetime.fromtimestamp(incident.at, UTC).isoformat(timespec="milliseconds"),
            "scenario": {
                "id": incident.scenario,
                "title": incident.title,
                "file": incident.file,
                "line": incident.line,
            },
            "verdict": incident.verdict.value,
            "reason": incident.reason,
            "in_flight": {
                **_request(incident.steps, incident.step),
                "what": incident.in_flight,
                "under_way": [_request(incident.steps, place) for place in incident.under_way],
            },
            "evidence": list(incident.evidence),
            "agent_failure": incident.failure,
            "lease": guest.id,
            "machine": dict(machine),
            "environment": dict(self._environment()),
            "files": folder.files,
            "missing": folder.missing,
        }


def incidents_of(out: Path) -> list[Path]:
    """The folders of all incidents in a directory of results, newest first."""
    found = [path.parent for path in (out / INCIDENTS).glob(f"*/*/{FACTS}")]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def _text(path: Path) -> str:
    """Of a piece, which is bounded; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _request(steps: Sequence[StepResult], place: int | None) -> dict[str, Any]:
    """A step by its place among those of the scenario."""
    step = steps[place] if place is not None and place < len(steps) else None
    return {
        "step": place,
        "what": step.name if step else None,
        "do": step.do if step else None,
        "route": step.route if step else None,
        "mode": step.mode if step else None,
        "request": dict(step.request) if step else {},
    }


def _records(steps: Sequence[StepResult]) -> bytes:
    answered = [
        step for step in steps if step.status_block is not None or step.verdict is not Verdict.SKIPPED
    ]
    lines = []
    for step in answered[-_LAST_STEPS:]:
        record = {key: value for key, value in asdict(step).items() if key != "comparisons"}
        lines.append(json.dumps(record, default=str))
    return "\n".join([*lines, ""]).encode("utf-8", errors="replace")
