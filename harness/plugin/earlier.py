# SPDX-License-Identifier: Apache-2.0
"""What earlier sessions of a run left that was killed or interrupted: what has ended, and what was in flight.

A scenario has ended when all of its lines are on record.  It stays as it is and is not run again, unless
it was begun once more since, or ended in an error before anything was sent for it.  Everything else is run
again, and each attempt that was lost is one of those on record: an error, or the driver's fault that the
journal or a torn record knows of, which no later attempt makes good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.agent.journal import Story, story
from harness.errors import HarnessError, UsageError
from harness.plugin.lost import of_unwritten
from harness.results import parts as part_files
from harness.results.parts import Entry, Gathered, attempts_of, join
from harness.results.record import ScenarioResult, result_of_begun, result_of_records
from harness.results.run_files import SelectedItem, read_items, session_of
from harness.verdict import Verdict

_ANEW = "start the run anew: kshs run --out DIR"
_ENDED = "the run ended"


@dataclass(frozen=True)
class Kept:
    """A scenario that has ended in an earlier session, and all that was tried of it."""

    result: ScenarioResult
    attempts: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Earlier:
    """Of all earlier sessions of a run.

    `gathered` is everything on record, what was lost with it; `kept` the scenarios that have ended and
    `tried` the attempts of those that have not, by node id.  `tests` are the records of tests in Python that
    have ended, and `tests_lost` how often others were in flight.
    """

    gathered: Gathered = field(default_factory=Gathered)
    items: Mapping[str, SelectedItem] | None = None
    kept: Mapping[str, Kept] = field(default_factory=dict)
    tried: Mapping[str, tuple[ScenarioResult, ...]] = field(default_factory=dict)
    tests: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tests_lost: Mapping[str, int] = field(default_factory=dict)


def read(folder: Path, before: int) -> Earlier:
    """What the sessions of a run left whose numbers are lower than `before`.

    Raises:
        UsageError: a file is damaged.
    """
    items = read_items(folder)
    try:
        sessions = [_session(folder, number, items or {}) for number in range(1, before)]
        gathered = join(sessions)
        kept = dict(_kept(gathered))
        left = [entry for entry in gathered.entries if entry.key not in kept]
        tried = {entry.key: tuple(_attempts(entry.scenario[0])) for entry in left}
    except HarnessError as error:
        raise UsageError(error.message, error.where, _ANEW) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"a record there is damaged: {error!r}", str(folder), _ANEW) from None
    lost: dict[str, int] = {}
    for session in sessions:
        for nodeid in session.tests_begun - set(session.tests):
            lost[nodeid] = lost.get(nodeid, 0) + 1
    return Earlier(gathered, items, kept, tried, gathered.tests, lost)


def _session(folder: Path, number: int, items: Mapping[str, SelectedItem]) -> Gathered:
    """What one session left, with an attempt for each that it had in flight at its end."""
    own = [path for path in sorted(folder.glob("*-*.jsonl")) if session_of(path) == number]
    gathered = part_files.gather(path for path in own if path.name.startswith(("results-", "tests-")))
    stories = [story(path) for path in own if path.name.startswith("journal-")]
    for entry in gathered.entries:
        if len(entry.steps) != entry.scenario[0].get("step_count"):
            _mend(entry)
    known = {entry.key: len(attempts_of(entry.scenario[0])) for entry in gathered.entries}
    flying = {f"{it.file}::{it.scenario}" for each in stories for it in each.unfinished if it.file}
    lost = Gathered()
    for key in dict.fromkeys((*gathered.begun, *sorted(flying))):
        begun = gathered.begun.get(key) or _selected(key, items)
        lost_begun = gathered.times[key] > known.get(key, 0)
        if begun is None or not (lost_begun or (key in flying and key not in known)):
            continue
        result = _lost(key, begun, stories)
        lost.add(result, order=int(begun["order"]), worker=str(begun.get("worker", "")), lost=True)
    return join([gathered, lost])


def _selected(key: str, items: Mapping[str, SelectedItem]) -> Mapping[str, Any] | None:
    item = items.get(key)
    return item.scenario if item is not None else None


def _lost(key: str, begun: Mapping[str, Any], stories: Iterable[Story]) -> ScenarioResult:
    """An attempt of which nothing is on record but that it was begun, or sent."""
    for each in stories:
        for left in each.unfinished:
            if f"{left.file}::{left.scenario}" == key:
                reason = f"{_ENDED} while this scenario was in flight: {left.words}"
                return result_of_begun(begun, Verdict.ERROR, reason, left.lease)
        for (file, scenario), word in each.ended.items():
            unwritten = of_unwritten(word, _ENDED)
            if f"{file}::{scenario}" == key and unwritten is not None:
                return result_of_begun(begun, *unwritten, None)
    reason = f"{_ENDED} before anything was sent for this scenario"
    return result_of_begun(begun, Verdict.ERROR, reason, None)


def _mend(entry: Entry) -> None:
    """A record whose last lines the end has torn off; what it says against a driver stands."""
    record = dict(entry.scenario[0])
    why = f"{_ENDED} while its result was being written"
    fault = Verdict(record["verdict"]).is_driver_fault
    record["reason"] = f"{record.get('reason')} ({why})" if fault else why
    record["verdict"] = record["verdict"] if fault else Verdict.ERROR.value
    record |= {"step_count": 0, "routes": [], "judged": [], "lost": True}
    entry.scenario, entry.steps = (record, part_files.line_of(record)), []


def _kept(gathered: Gathered) -> Iterable[tuple[str, Kept]]:
    for entry in gathered.entries:
        record = entry.scenario[0]
        attempts = attempts_of(record)
        result = result_of_records(record, (step for step, _ in entry.steps))
        if _has_ended(attempts[-1]):
            yield entry.key, Kept(result, tuple(attempts))


def _has_ended(last: Mapping[str, Any]) -> bool:
    """Whether the last attempt was a whole one, of a scenario for which something was sent or said."""
    return not last.get("lost") and (last["verdict"] != Verdict.ERROR.value or last.get("lease") is not None)


def _attempts(record: Mapping[str, Any]) -> Iterable[ScenarioResult]:
    for attempt in attempts_of(record):
        yield ScenarioResult(
            id=str(record["id"]),
            title=str(record["title"]),
            rules=tuple(record["rules"]),
            verdict=Verdict(attempt["verdict"]),
            file=str(record["file"]),
            line=record["line"],
            tags=tuple(record["tags"]),
            reason=attempt["reason"],
            lease=attempt["lease"],
        )
