# SPDX-License-Identifier: Apache-2.0
"""``kshs nightly`` on the command line; `harness.commands.nightly` runs the cells."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness import config as settings
from harness.commands.exit_codes import DONE, DRIVER, INFRASTRUCTURE
from harness.commands.known_option import KnownIssuesOption, QuarantineOption, known_files
from harness.commands.options import ConfigOption, say
from harness.commands.store_option import StoreOption, open_store
from harness.errors import UsageError
from vm.words import counted

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from harness.commands.nightly import Cell, Done
    from harness.nights.findings import Night
    from harness.nights.known_file import KnownFile
    from harness.store.database import Store
    from harness.store.importing import Importer
    from harness.store.queries import RunInfo

SUMMARY = "summary.md"
_NOTIFY_SECONDS = 60
#: Runs of a cell whose memory is looked at, and how much more the next one may take.
_LAST = 3
_MARGIN = 1.1


def nightly(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of [nights.NAME] in the settings.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="For the night.", show_default="out/nights/NAME-DATE-TIME"),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="DIR", help="Goes on with a night: cells that ended stay."),
    ] = None,
    notify: Annotated[
        str | None, typer.Option("--notify", metavar="COMMAND", help="Gets the night as JSON on its input.")
    ] = None,
    known_issues: KnownIssuesOption = None,
    quarantine: QuarantineOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> int:
    """Runs a matrix, keeps it, and says what is new.

    Its cells are guests, targets and suites; [nights.NAME] of kshs.toml says which.

    Ends with 1 where something new speaks against a driver, with 3 where a cell broke or was not run.
    """
    from harness.commands.nightly import Host, Nightly, cells_of, find_night, kshs

    if out is not None and resume is not None:
        raise UsageError("--out is for a new night, --resume for one that is there", hint="give one of them")
    loaded = settings.load(config)
    night = find_night(name, loaded)
    cells = cells_of(night, loaded)
    known = known_files(known_issues, quarantine)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = (resume or out or Path("out") / "nights" / f"{name}-{stamp}").absolute()
    deadline = None if night.minutes is None else time.monotonic() + 60 * night.minutes
    given = config.absolute() if config is not None else None
    with open_store(store, config, make=True) as opened:
        keeper = _Keeper(opened, folder, known)
        work = Nightly(
            folder, Host.measured(), lambda cell, place: kshs(cell, place, given), keeper.ended, deadline
        )
        if resume is not None:
            work.load()
        else:
            _make(folder)
        cells = keeper.in_order(keeper.measured(cells, given), given)
        done = work.run(cells)
        if night.released is not None:
            keeper.against_released(cells, done, night.released)
            work.save(cells)
    return _finish(name, folder, done, notify)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", where=str(folder), hint="see --out"
        ) from None
    if taken:
        raise UsageError("is not empty", where=str(folder), hint="--resume DIR goes on with a night")


class _Keeper:
    """Takes what cells leave into the store, and compares it."""

    def __init__(self, store: Store, folder: Path, known: Sequence[KnownFile]) -> None:
        from harness.store.importing import Importer

        self._store = store
        self._folder = folder
        self._known = known
        self._importer: Importer = Importer(store)

    def measured(self, cells: Sequence[Cell], config: Path | None) -> list[Cell]:
        """With the memory that runs of the same cell took, where there are any, instead of what is set."""
        from harness.nights.night import asked
        from harness.store import queries, usage

        with self._store.reading() as connection:
            runs = queries.runs(connection)
            took = usage.memory_of(connection, [run.id for run in runs])
        by_call: dict[tuple[str, ...], list[int]] = {}
        for run in runs:
            if run.id in took and not run.problem:
                by_call.setdefault(asked(run.command, workers=True), []).append(took[run.id])
        found = []
        for cell in cells:
            call = asked(shlex.join(["kshs", *cell.arguments(config, None)]), workers=True)
            last = by_call.get(call, [])[-_LAST:]
            found.append(replace(cell, memory_mib=int(max(last) * _MARGIN)) if last else cell)
        known = sum(one is not other for one, other in zip(found, cells, strict=True))
        if known:
            say(f"memory of {counted(known, 'cell')} as measured, of {len(cells) - known} as set")
        return found

    def in_order(self, cells: Sequence[Cell], config: Path | None) -> list[Cell]:
        """What failed, or said something new, when it was last run comes first, then what was never run."""
        from harness.nights.night import asked
        from harness.store import queries

        with self._store.reading() as connection:
            last: dict[tuple[str, ...], RunInfo] = {asked(r.command): r for r in queries.runs(connection)}
            ranks = {}
            for cell in cells:
                call = asked(shlex.join(cell.arguments(config, None)))
                run = last.get(("kshs", *call))
                if call not in ranks:
                    ranks[call] = 1 if run is None else 0 if self._is_loud(connection, run) else 2
        return sorted(cells, key=lambda cell: ranks[asked(shlex.join(cell.arguments(config, None)))])

    def _is_loud(self, connection: Connection, run: RunInfo) -> bool:
        """Whether something failed in a run, or was new."""
        from harness.nights import night as nights
        from harness.nights.findings import Kind
        from harness.store import queries
        from harness.verdict import Verdict

        verdicts = queries.verdict_counts(connection, [run.id]).get(run.id, {})
        if run.problem or not set(verdicts) <= {Verdict.PASSED.value, Verdict.SKIPPED.value}:
            return True
        base = nights.last_good(connection, run, same=True)
        if base is None:
            return False
        found = nights.compare_runs(connection, [base], [run])
        return bool(found.alarms or found.counts.get(Kind.NEW_SCENARIO))

    def ended(self, cell: Cell, done: Done) -> dict[str, Any]:
        """What is new in a cell."""
        from harness.nights import night as nights
        from harness.nights import words
        from harness.store import queries

        try:
            imported = self._importer.take(self._folder / cell.name)
        except UsageError as error:
            say(f"{cell.name}: broken: {done.said or error}")
            return {"run": None}
        with self._store.reading() as connection:
            run = queries.find_run(connection, imported.run)
            base = nights.last_good(connection, run, same=True)
            found = nights.compare_runs(connection, [base] if base else [], [run], self._known)
        broken = f"broken: {done.said}; " if done.code not in (0, 1) else ""
        say(f"{cell.name}: {broken}{words.summary(found)}")
        said = words.as_json(found)
        return {
            "run": run.name,
            "against": base.name if base else None,
            "summary": words.summary(found),
            "counts": {kind: count for kind, count in said["counts"].items() if count},
            "alarms": found.alarms,
            "unknowns": found.unknowns,
            "new": _loud(found),
        }

    def against_released(self, cells: Sequence[Cell], done: Sequence[Done], released: str) -> None:
        """Holds each cell against that of the released target on the same guest in the same night."""
        from harness.nights import night as nights
        from harness.nights import words
        from harness.store import queries

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


def _loud(found: Night) -> list[dict[str, Any]]:
    """What somebody has to look at, as it is kept with a cell."""
    from harness.nights import words

    said = [one for one in words.as_json(found)["findings"] if one["alarm"]]
    return [{key: one[key] for key in ("kind", "key", "words", "issue")} for one in said]


def _finish(name: str, folder: Path, done: Sequence[Done], notify: str | None) -> int:
    from harness.nights.markdown import summary
    from vm.files import write_whole

    rows = [vars(one) for one in done]
    write_whole(folder / SUMMARY, summary(name, rows))
    alarms = sum(one.more.get("alarms", 0) for one in done)
    broken = [one for one in done if one.code not in (0, 1) or not one.more.get("run")]
    unknown = broken or any(one.more.get("unknowns") for one in done)
    for one in broken:
        say(f"{one.cell}: {one.said or 'it has left no results'}")
    ran = f"{counted(len(done), 'cell')}, {len(broken)} broken or not run"
    say(f"{ran}; {counted(alarms, 'new finding')}: {folder / SUMMARY}")
    code = DRIVER if alarms else INFRASTRUCTURE if unknown else DONE
    if notify is not None and not _notify(notify, {"night": name, "exit_code": code, "cells": rows}):
        return code or INFRASTRUCTURE
    return code


def _notify(command: str, said: dict[str, Any]) -> bool:
    """Whether whoever is to be told was told."""
    try:
        words = shlex.split(command)
        told = subprocess.run(words, input=json.dumps(said).encode(), timeout=_NOTIFY_SECONDS, check=False)
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        say(f"--notify: {command}: {error}")
        return False
    if told.returncode:
        say(f"--notify: {command} ended with {told.returncode}")
    return told.returncode == 0
