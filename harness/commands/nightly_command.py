# SPDX-License-Identifier: Apache-2.0
"""``kshs nightly`` on the command line; `harness.commands.nightly` runs the cells."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness import config as settings
from harness.commands.exit_codes import DONE, DRIVER, INFRASTRUCTURE
from harness.commands.fleet_option import OnHostsOption
from harness.commands.known_option import KnownIssuesOption, QuarantineOption, known_files
from harness.commands.options import ConfigOption, say
from harness.commands.store_option import StoreOption, open_store
from harness.errors import HarnessError, UsageError
from vm.words import counted

if TYPE_CHECKING:
    from harness.commands.nightly import Cell, Done, Nightly
    from harness.nights.known_file import KnownFile
    from harness.store.database import Store
    from harness.store.importing import Importer
    from harness.store.queries import RunInfo

SUMMARY = "summary.md"
_NOTIFY_SECONDS = 60


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
    scheduler: OnHostsOption = None,
    known_issues: KnownIssuesOption = None,
    quarantine: QuarantineOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> int:
    """Runs a matrix, keeps it, and says what is new.

    Its cells are guests, targets and suites; [nights.NAME] of kshs.toml says which.

    Ends with 1 where something new speaks against a driver, with 3 where a cell broke or was not run.
    """
    from harness.commands.nightly import Nightly, cells_of, find_night, kshs
    from harness.host_room import HostRoom

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
            folder, HostRoom.measured(), lambda cell, place: kshs(cell, place, given), keeper.ended, deadline
        )
        if resume is not None:
            work.load()
        else:
            _make(folder)
        ordered = keeper.in_order(cells, given)
        if scheduler is None:
            done = work.run(ordered)
        else:
            done = _on_hosts(work, ordered, loaded, scheduler, given, folder, deadline, opened)
        code = _finish(name, folder, done, notify)
        if night.site is not None:
            code = _show(opened, night.site, folder, known) or code
    return code


def _on_hosts(
    work: Nightly,
    cells: list[Cell],
    loaded: settings.Config,
    url: str,
    given: Path | None,
    folder: Path,
    deadline: float | None,
    store: Store,
) -> list[Done]:
    from harness.commands.fleet_work import night_on_hosts
    from harness.store.durations import seconds_of

    with store.reading() as connection:
        seconds = seconds_of(connection)
    return night_on_hosts(
        work, cells, loaded, given=given, url=url, folder=folder, deadline=deadline, seconds=seconds
    )


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

    def in_order(self, cells: Sequence[Cell], config: Path | None) -> list[Cell]:
        """What failed when it was last run comes first, then what was never run."""
        from harness.nights.night import asked
        from harness.store import queries
        from harness.verdict import Verdict

        with self._store.reading() as connection:
            last: dict[tuple[str, ...], RunInfo] = {asked(r.command): r for r in queries.runs(connection)}
            counts = queries.verdict_counts(connection, [run.id for run in last.values()])

        def rank(cell: Cell) -> int:
            run = last.get(("kshs", *asked(shlex.join(cell.arguments(config, None)))))
            if run is None:
                return 1
            good = set(counts.get(run.id, {})) <= {Verdict.PASSED.value, Verdict.SKIPPED.value}
            return 2 if good and not run.problem else 0

        return sorted(cells, key=rank)

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
            base = nights.base_of(connection, run)
            found = nights.compare_runs(connection, [base] if base else [], [run], self._known)
        broken = f"broken: {done.said}; " if done.code not in (0, 1) else ""
        say(f"{cell.name}: {broken}{words.summary(found)}")
        said = words.as_json(found)
        loud = [one for one in said["findings"] if one["alarm"]]
        return {
            "run": run.name,
            "against": base.name if base else None,
            "summary": words.summary(found),
            "counts": {kind: count for kind, count in said["counts"].items() if count},
            "alarms": found.alarms,
            "unknowns": found.unknowns,
            "new": [{key: one[key] for key in ("kind", "key", "words", "issue")} for one in loud],
        }


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


def _show(store: Store, site: Path, folder: Path, known: Sequence[KnownFile]) -> int:
    """Brings the site up to date; what was found in the night stays said, whatever comes of that."""
    from harness.commands.site_command import make_site

    try:
        say(str(make_site(store, site, known, [folder])))
    except HarnessError as error:
        say(f"the site: {error}")
        return INFRASTRUCTURE
    return DONE


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
