# SPDX-License-Identifier: Apache-2.0
"""A night against all nights before it, scenario by scenario.

A whole run is a poor thing to compare with: with one known failure no run is good any more, and behind a
night of which nothing is known the next one stands on nothing.  So each scenario is held against the last
run in which it passed, and against all further runs on the very inputs of that one; where it never passed,
against the last run that said something of the driver.  What failed already when it last ran is told as still
failing, and stays an alarm until it is fixed or filed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import islice

from sqlalchemy import Connection

from harness.nights import night as nights
from harness.nights.comparison import compare
from harness.nights.conditions import common
from harness.nights.findings import Finding, Kind, Night, Side
from harness.nights.known_file import KnownFile
from harness.nights.statistics import Counts, all_tries
from harness.store import queries
from harness.store.interning import CHUNK
from harness.store.queries import Outcome, RunInfo
from harness.verdict import Verdict

#: Earlier runs that are looked at.
BACK = 30
#: Those of them that are looked at first: most scenarios have passed in one.
_NEAR = 3


def compare_night(
    connection: Connection,
    now: Sequence[RunInfo],
    among: Sequence[RunInfo],
    known: Iterable[KnownFile] = (),
    today: date | None = None,
    read: nights.Read | None = None,
) -> Night:
    """What is new in some runs of one night on the same inputs.

    Where no earlier run has such inputs, the last one that was asked for the same is taken, and what changed
    of guest or kernel is told.

    Args:
        connection: of the store.
        now: the runs, the oldest first.
        among: the runs before this night, the oldest first.
        known: known issues and quarantines.
        today: on which day expiries are looked at; by default that of the last run.
        read: outcomes of runs by their ids, where many comparisons share them; by default the store is asked.

    Raises:
        UsageError: the runs cannot stand together.
    """
    conditions = common(now)
    call = nights.asked(now[-1].command)
    alike = _last_alike(among, call, now[-1])
    if not alike:
        asked = [run for run in among if _is_asked(run, call, now[-1])]
        nearest = next((run for run in reversed(asked) if not run.problem), asked[-1] if asked else None)
        alike = _last_alike(asked, call, nearest) if nearest is not None else []
    outcomes = nights.outcomes_of(connection, now, read)
    history = _history(connection, alike, outcomes, read)
    chosen = history.before(outcomes)
    used = {one.run for one in chosen}
    before = tuple(run for run in alike if run.id in used)
    sides = Side(before, common(before) if before else conditions), Side(tuple(now), conditions)
    found = compare(*sides, (chosen, outcomes), nights.told(connection, now))
    if found.alike:
        found = _with_last(found, history, outcomes)
    found = nights.with_notes(found, chosen, outcomes)
    return nights.with_known(connection, found, outcomes, known, today)


def has_enough(among: Sequence[RunInfo], now: Sequence[RunInfo]) -> bool:
    """Whether runs before some say all that counts, so that none before those need be known."""
    return len(_last_alike(among, nights.asked(now[-1].command), now[-1])) == BACK


def _is_asked(run: RunInfo, call: tuple[str, ...], like: RunInfo) -> bool:
    return run.conditions.target == like.conditions.target and nights.asked(run.command) == call


def _last_alike(among: Sequence[RunInfo], call: tuple[str, ...], like: RunInfo) -> list[RunInfo]:
    """The last runs that were asked for the same and are like one, out of thousands."""
    found = (run for run in reversed(among) if _is_asked(run, call, like) and nights.is_alike(run, like))
    return [*islice(found, BACK)][::-1]


def _history(
    connection: Connection, alike: Sequence[RunInfo], now: Sequence[Outcome], read: nights.Read | None
) -> _History:
    """What earlier runs say, as far as it counts: of most scenarios the last runs say it."""
    last = alike[-_NEAR:]
    inputs = {_inputs_of(run) for run in last}
    near = [run for run in alike if _inputs_of(run) in inputs]
    outcomes = nights.outcomes_of(connection, near, read)
    history = _History(near, outcomes)
    open_keys = history.unsettled(now, last)
    if open_keys is None or len(open_keys) > CHUNK:
        return _History(alike, nights.outcomes_of(connection, alike, read))
    if open_keys and len(near) < len(alike):
        rest = [run.id for run in alike if run not in near]
        more = queries.outcomes(connection, rest, open_keys)
        return _History(alike, nights.in_order(alike, [*outcomes, *more]))
    return history


def _inputs_of(run: RunInfo) -> tuple[object, ...]:
    """Guest, package, and our own build."""
    return run.conditions.guest_id, run.conditions.target_id, run.build


class _History:
    """What earlier runs say of each scenario, the oldest first."""

    def __init__(self, runs: Sequence[RunInfo], outcomes: Iterable[Outcome]) -> None:
        self._runs = {run.id: run for run in runs}
        self._by_key: dict[str, list[Outcome]] = {}
        for one in outcomes:
            self._by_key.setdefault(one.key, []).append(one)

    def before(self, now: Iterable[Outcome]) -> list[Outcome]:
        """Of each scenario the outcomes that it is held against.

        One that was not run now is there only where the last run that was whole has it: what is gone is told
        once.
        """
        contents = {one.key: one.content for one in now}
        last = self._last_whole()
        found = [
            one
            for key, outcomes in self._by_key.items()
            if key in contents or any(one.run == last for one in outcomes)
            for one in self._choose(outcomes, contents.get(key))
        ]
        order = {number: place for place, number in enumerate(self._runs)}
        return sorted(found, key=lambda one: order[one.run])

    def unsettled(self, now: Iterable[Outcome], last: Sequence[RunInfo]) -> set[str] | None:
        """Scenarios of which earlier runs may say more; None where they may of all.

        Of one that has passed in these runs no earlier one counts, but for those on the same inputs: neither
        for what it is held against nor for how it ended last and since when.
        """
        contents = {one.key: one.content for one in now}
        whole = self._last_whole()
        if whole is None or whole not in {run.id for run in last}:
            return None
        keys = {key for key, outcomes in self._by_key.items() if any(one.run == whole for one in outcomes)}
        return {key for key in {*contents, *keys} if not self._has_passed(key, contents.get(key))}

    def _has_passed(self, key: str, content: str | None) -> bool:
        return any(
            one.verdict == Verdict.PASSED and _telling(one)
            for one in self._by_key.get(key, ())
            if content is None or one.content == content
        )

    def _last_whole(self) -> int | None:
        """The last run that came to its end, and said something of a driver."""
        said = {one.run for outcomes in self._by_key.values() for one in outcomes if _telling(one)}
        whole = [number for number, run in self._runs.items() if number in said and not run.problem]
        return whole[-1] if whole else None

    def _choose(self, outcomes: Sequence[Outcome], content: str | None) -> list[Outcome]:
        same = [one for one in outcomes if content is None or one.content == content] or outcomes[-1:]
        telling = [one for one in same if _telling(one)]
        passed = [one for one in telling if one.verdict == Verdict.PASSED]
        stands = (passed or telling or list(same))[-1]
        inputs = self._inputs(stands)
        return [one for one in telling if self._inputs(one) == inputs] or [stands]

    def _inputs(self, outcome: Outcome) -> tuple[object, ...]:
        """Guest, package, our own build, and the scenario's content."""
        return *_inputs_of(self._runs[outcome.run]), outcome.scenario

    def last(self, key: str, content: str | None) -> tuple[Outcome, RunInfo, int] | None:
        """How it ended last, in which run it began to end so, and in how many it did."""
        latest = first = None
        row = 0
        for one in reversed(self._by_key.get(key, ())):
            if content not in (None, one.content) or not _telling(one):
                continue
            latest = latest or one
            if (one.verdict, one.signature) != (latest.verdict, latest.signature):
                break
            first, row = one, row + 1
        return None if latest is None or first is None else (latest, self._runs[first.run], row)


def _with_last(night: Night, history: _History, now: Sequence[Outcome]) -> Night:
    """What failed already when it last ran is still failing; what failed then and passes now is fixed."""
    by_key: dict[str, list[Outcome]] = {}
    for one in now:
        by_key.setdefault(one.key, []).append(one)
    told = {finding.key: finding for finding in night.findings}
    findings, fixed = [], []
    for finding in night.findings:
        findings.append(_still(finding, history, by_key))
    for key, outcomes in by_key.items():
        last = history.last(key, outcomes[-1].content)
        counts = all_tries([one.tries for one in outcomes])
        if last is None or not Verdict(last[0].verdict).is_driver_fault or not counts.n or counts.failed:
            continue
        if key not in told or told[key].kind in (Kind.VARIES, Kind.CHANGED):
            fixed.append(_fixed(key, last, counts))
    ranks = {kind: rank for rank, kind in enumerate(Kind)}
    findings = sorted([*findings, *fixed], key=lambda one: ranks[one.kind])
    new = sum(one.key not in told for one in fixed)
    return replace(
        night, findings=findings, same=night.same - new, counts=Counter(one.kind for one in findings)
    )


def _still(finding: Finding, history: _History, now: Mapping[str, Sequence[Outcome]]) -> Finding:
    if finding.kind not in (Kind.NEW_FAILURE, Kind.STILL_FAILING) or finding.key not in now:
        return finding
    last = history.last(finding.key, now[finding.key][-1].content)
    if last is None or not Verdict(last[0].verdict).is_driver_fault or last[0].signature != finding.signature:
        return finding
    _, since, row = last
    words = f"since run {since.name}, {row + 1} runs in a row: {last[0].reason or last[0].verdict}"
    return replace(finding, kind=Kind.STILL_FAILING, words=words, alarm=True)


def _fixed(key: str, last: tuple[Outcome, RunInfo, int], now: Counts) -> Finding:
    outcome, since, row = last
    words = f"failed since run {since.name}, in {row} in a row: {outcome.reason or outcome.verdict}"
    return Finding(Kind.FIXED, key, words, Counts(row, row, row), now, signature=outcome.signature)


def _telling(outcome: Outcome) -> bool:
    return all_tries([outcome.tries]).n > 0
