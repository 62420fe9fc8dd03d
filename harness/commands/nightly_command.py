# SPDX-License-Identifier: Apache-2.0
"""``kshs nightly`` on the command line; `harness.commands.nightly` runs the cells."""

from __future__ import annotations

import contextlib
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
    from harness.commands.fleet_ahead import Ahead
    from harness.commands.nightly import Cell, Done, Nightly
    from harness.nights.known_file import KnownFile
    from harness.store.database import Store

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
    with contextlib.ExitStack() as stack:
        ahead = stack.enter_context(_ahead(cells, loaded, given)) if scheduler is not None else None
        from harness.commands.nightly_keeper import Keeper

        opened = stack.enter_context(open_store(store, config, make=True))
        keeper = Keeper(opened, folder, known, given)
        work = Nightly(
            folder, HostRoom.measured(), lambda cell, place: kshs(cell, place, given), keeper.ended, deadline
        )
        if resume is not None:
            import vm.reaper

            vm.reaper.reap(loaded.vm)  # of cells that were killed, where all have ended and none is begun
            work.load()
            keeper.again(cells, work.done)
        else:
            _make(folder)
        cells = keeper.in_order(keeper.measured(cells))
        if scheduler is None or ahead is None:
            done = work.run(cells)
        else:
            done = _on_hosts(work, cells, loaded, scheduler, ahead, given, folder, deadline, opened)
        if night.released is not None:
            keeper.against_released(cells, done, night.released)
            work.save(cells)
        code = _finish(name, folder, done, notify)
        if night.site is not None:
            code = _show(opened, night.site, folder, known) or code
    return code


def _ahead(cells: list[Cell], loaded: settings.Config, given: Path | None) -> Ahead:
    from harness.commands.fleet_ahead import Ahead

    return Ahead(cells, loaded, given)


def _on_hosts(
    work: Nightly,
    cells: list[Cell],
    loaded: settings.Config,
    url: str,
    ahead: Ahead,
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
        work, cells, loaded,
        ahead=ahead, given=given, url=url, folder=folder, deadline=deadline, seconds=seconds,
    )  # fmt: skip


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


def _finish(name: str, folder: Path, done: Sequence[Done], notify: str | None) -> int:
    from harness.nights.markdown import summary
    from vm.files import write_whole

    rows = [vars(one) for one in done]
    write_whole(folder / SUMMARY, summary(name, rows))
    # What is said of repeats is said of all of them together.
    groups = {one.more.get("group", one.cell): one.more.get("alarms", 0) for one in done}
    alarms = sum(groups.values())
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
