# SPDX-License-Identifier: Apache-2.0
"""What becomes of a night's cells: kept in the store, and compared; what earlier nights say of the next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands.nightly import Cell, Done
from harness.commands.options import say
from harness.errors import HarnessError, UsageError
from harness.nights import night as nights
from harness.nights import words
from harness.nights.conditions import NOT_KNOWN
from harness.nights.findings import Kind, Night
from harness.nights.history import compare_night
from harness.store import queries, usage
from harness.store.importing import Importer
from vm.words import counted

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from harness.nights.known_file import KnownFile
    from harness.store.database import Store
    from harness.store.queries import RunInfo

#: Runs of a cell whose memory is looked at, and how much more the next one may take.
_LAST = 3
_MARGIN = 1.1


class Keeper:
    """Takes what cells leave into the store, and compares it.

    Repeats of a cell are compared together, as one side: what fails in one of them and passes in another, on
    the same inputs, is flaky, and no new failure.

    Args:
        store: to keep runs in.
        folder: of the night.
        known: known issues and quarantines.
        config: the settings that the command line named, which are a part of what cells are asked for.
    """

    def __init__(
        self, store: Store, folder: Path, known: Sequence[KnownFile], config: Path | None = None
    ) -> None:
        self._store = store
        self._folder = folder
        self._known = known
        self._config = config
        self._importer: Importer = Importer(store)
        self._groups: dict[str, list[dict[str, Any]]] = {}
        """What was said of this night's cells, those that are compared together in one."""

    # ---- before a night -----------------------------------------------------

    def measured(self, cells: Sequence[Cell]) -> list[Cell]:
        """With the memory that runs of the same cell took, where there are any, instead of what is set."""
        with self._store.reading() as connection:
            runs = queries.runs(connection)
            took = usage.memory_of(connection, [run.id for run in runs])
        by_call: dict[tuple[str, ...], list[int]] = {}
        for run in runs:
            if run.id in took and not run.problem:
                by_call.setdefault(nights.asked(run.command, workers=True), []).append(took[run.id])
        found = []
        for cell in cells:
            last = by_call.get(self._call(cell, workers=True), [])[-_LAST:]
            found.append(replace(cell, memory_mib=int(max(last) * _MARGIN)) if last else cell)
        known = sum(one is not other for one, other in zip(found, cells, strict=True))
        if known:
            say(f"memory of {counted(known, 'cell')} as measured, of {len(cells) - known} as set")
        return found

    def in_order(self, cells: Sequence[Cell]) -> list[Cell]:
        """What failed, or said something new, when it was last run comes first, then what was never run."""
        repeats: dict[tuple[str, ...], int] = {}
        for cell in cells:
            repeats[self._call(cell)] = max(repeats.get(self._call(cell), 1), cell.repeat)
        ranks: dict[tuple[str, ...], int] = {}
        with self._store.reading() as connection:
            runs = queries.runs(connection)
            for call, count in repeats.items():
                own = [run for run in runs if nights.asked(run.command) == call]
                ranks[call] = 0 if self._is_loud(connection, own, count) else 2 if own else 1
        return sorted(cells, key=lambda cell: ranks[self._call(cell)])

    def _is_loud(self, connection: Connection, runs: Sequence[RunInfo], count: int) -> bool:
        """Whether something failed in the last runs, or was new against those before them."""
        if not runs:
            return False
        last, before = runs[-count:], runs[:-count]
        verdicts = queries.verdict_counts(connection, [run.id for run in last])
        if not all(nights.is_good(run, verdicts.get(run.id, {})) for run in last):
            return True
        base = nights.last_good(connection, last[0], same=True, among=before)
        if base is None:
            return False
        found = nights.compare_runs(connection, [base], last[-1:])
        return bool(found.alarms or found.counts.get(Kind.NEW_SCENARIO))

    def _call(self, cell: Cell, *, workers: bool = False) -> tuple[str, ...]:
        """What a cell is asked for, as its runs have it on record."""
        line = shlex.join(["kshs", *cell.arguments(self._config, None)])
        return nights.asked(line, workers=workers)

    # ---- in a night ---------------------------------------------------------

    def again(self, cells: Sequence[Cell], done: Mapping[str, Done]) -> None:
        """Goes on with a night: what its cells were is known again, and what was not kept is kept now."""
        for cell in cells:
            one = done.get(cell.name)
            if one is None:
                continue
            if one.more.get("run") is None and one.code in (0, 1):
                one.more = self.ended(cell, one)
            elif one.more.get("run") is not None:
                self._groups.setdefault(cell.group, []).append(one.more)

    def ended(self, cell: Cell, done: Done) -> dict[str, Any]:
        """What is new in a cell, and its repeats so far."""
        try:
            return self._compared(cell, done)
        except HarnessError as error:  # the store may be away for a while: the other cells go on
            say(f"{cell.name}: broken: {done.said or error}")
            return {"run": None}

    def _compared(self, cell: Cell, done: Done) -> dict[str, Any]:
        imported = self._importer.take(self._folder / cell.name)
        group = self._groups.setdefault(cell.group, [])
        more: dict[str, Any] = {"run": imported.run, "group": cell.group}
        with self._store.reading() as connection:
            every = {run.name: run for run in queries.runs(connection)}
            own = every[imported.run]
            tonight = {one["run"] for rows in self._groups.values() for one in rows} | {own.name}
            earlier = [run for run in every.values() if run.name not in tonight]
            now = [every[one["run"]] for one in group if one["run"] in every] + [own]
            try:
                found = compare_night(connection, now, earlier, self._known)
            except UsageError:  # the guest was made anew between two repeats
                found = compare_night(connection, [own], earlier, self._known)
        said = _said(found)
        group.append(more)
        for one in group:
            one |= said
        broken = f"broken: {done.said}; " if done.code not in (0, 1) else ""
        several = f" ({len(group)} repeats)" if len(group) > 1 else ""
        say(f"{cell.name}: {broken}{said['summary']}{several}")
        return more

    # ---- behind a night -----------------------------------------------------

    def against_released(self, cells: Sequence[Cell], done: Sequence[Done], released: str) -> None:
        """Holds each cell against that of the released target on the same guest in the same night."""
        ended = {one.cell: one for one in done if one.more.get("run")}
        theirs = {cell.beside: ended.get(cell.name) for cell in cells if cell.target == released}
        with self._store.reading() as connection:
            for cell in cells:
                own, other = ended.get(cell.name), theirs.get(cell.beside)
                if cell.target == released or own is None or other is None:
                    continue
                before = queries.find_run(connection, other.more["run"])
                now = queries.find_run(connection, own.more["run"])
                found = nights.compare_runs(connection, [before], [now], self._known)
                own.more["released"] = {
                    "run": before.name,
                    "target": released,
                    "summary": words.summary(found),
                    "new": _loud(found),
                }
                say(f"{cell.name}: against {released}: {words.summary(found)}")


def _said(found: Night) -> dict[str, Any]:
    """What is kept of a comparison, and shown."""
    # A night without a guest has changed none.
    changed = [str(one) for one in found.differences if one.matters and one.now != NOT_KNOWN]
    loud = _loud(found)
    return {
        "against": found.before.runs[-1].name if found.before.runs else None,
        "summary": "; ".join([*changed, words.summary(found)]),
        "changed": changed,
        "counts": {kind.value: count for kind, count in found.counts.items() if count},
        "alarms": len(loud),
        "unknowns": found.unknowns,
        "new": loud,
    }


def _loud(found: Night) -> list[dict[str, Any]]:
    """What somebody has to look at, as it is kept with a cell (`harness.nights.findings.Night.way`)."""
    kept: list[dict[str, Any]] = []
    groups: dict[object, dict[str, Any]] = {}
    for finding, one in zip(found.findings, words.as_json(found)["findings"], strict=True):
        if not finding.alarm:
            continue
        row = {key: one[key] for key in ("kind", "key", "words", "issue")}
        way = found.way(finding)
        first = row if way is None else groups.setdefault(way, row)
        if first is row:
            kept.append(row)
        else:
            first["alike"] = first.get("alike", 0) + 1
    for row in kept:
        if "alike" in row:
            row["words"] += f"; and {row['alike']} more alike"
    return kept
