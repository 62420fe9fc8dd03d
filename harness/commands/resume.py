# SPDX-License-Identifier: Apache-2.0
"""``kshs run --resume DIR``: another session of a run that was killed or interrupted."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from harness import config as settings
from harness import version
from harness.commands.exit_codes import DONE, DRIVER, INFRASTRUCTURE
from harness.commands.run import Selection, of_options, run_called
from harness.errors import HarnessError, UsageError
from harness.plugin.call import Call
from harness.plugin.earlier import read as read_earlier
from harness.results import tally
from harness.results.folder import claim, release
from harness.results.parts import stream
from harness.results.run_files import (
    ALIVE,
    BegunRun,
    last_session,
    open_session,
    read_facts,
    read_run,
    unfinished_run,
)
from harness.verdict import Verdict, worst
from vm.errors import VmError
from vm.files import UseMark

#: Seconds for processes of a run that was killed: its workers end with what they have in hand.
_PATIENCE = 60.0
_LOOK = 0.5
_ANEW = "start the run anew: kshs run --out DIR"


def resume_run(directory: Path, given: Selection, workers: int | None) -> int:
    """Goes on with the run in a directory; the exit code is that of all its sessions together.

    Args:
        directory: of its results.
        given: all other options of the command line, of which there must be none.
        workers: guests at the same time; as the run had them, where that is None.

    Raises:
        UsageError: there is no such run, it is at work, its files are damaged, or what it runs on is not as
            it was.
    """
    if replace(given, workers=0) != Selection():
        raise UsageError("goes with -n alone: a run keeps the options that it was begun with", "--resume")
    out = directory.absolute()
    if not out.is_dir():
        raise UsageError("there is no such directory", where=str(directory), hint="see --resume")
    claim(out)
    try:
        folder = unfinished_run(out)
        if folder is None:
            _reap()
            return _finished(out)
        begun = read_run(folder)
        _wait_for_the_dead(folder)
        selection = _selection(begun, folder, out, workers)
        read_earlier(folder, last_session(folder) + 1)  # what is damaged is told before anything is done
        read_facts(folder)
        with _in(begun.directory):
            _reap(selection.config)
            return run_called(selection, Call(begun.call, begun, folder, open_session(folder)))
    finally:
        release(out)


def _selection(begun: BegunRun, folder: Path, out: Path, workers: int | None) -> Selection:
    if begun.version != version():
        raise UsageError(
            f"the run was begun by kshs {begun.version}, and this is {version()}", where=str(out), hint=_ANEW
        )
    try:
        selection = of_options(begun.call, out)
    except ValueError:
        raise UsageError("is damaged: call", where=str(folder / "run.json"), hint=_ANEW) from None
    return selection if workers is None else replace(selection, workers=workers)


def _wait_for_the_dead(folder: Path) -> None:
    """Workers outlive the process that was killed for a moment, and what they still write counts.

    Raises:
        UsageError: one of them does not end.
    """
    until = time.monotonic() + _PATIENCE
    while UseMark.is_held(folder / ALIVE):
        if time.monotonic() > until:
            raise UsageError(
                "processes of the run are still at work", where=str(folder.parent), hint="end them first"
            )
        time.sleep(_LOOK)


def _reap(config: Path | None = None) -> None:
    """Ends what the killed process left: where nothing is left to run, no guest is made that would."""
    import vm.reaper

    try:
        for line in vm.reaper.reap(settings.load(config).vm):
            print(f"kshs: cleaned up: {line}")
    except (HarnessError, VmError) as error:  # no matter of the run's results
        print(f"kshs: what dead runs left cannot be removed: {error}", file=sys.stderr)


@contextlib.contextmanager
def _in(directory: str) -> Iterator[None]:
    """In the directory in which the run was begun: its paths and settings are relative to it."""
    before = Path.cwd()
    try:
        os.chdir(directory)
    except OSError as error:
        raise UsageError(f"the run was begun there: {error.strerror}", where=directory, hint=_ANEW) from None
    try:
        yield
    finally:
        os.chdir(before)


def _finished(out: Path) -> int:
    """Says that nothing is left; the exit code is that of the results.

    Raises:
        UsageError: there are no results either.
    """
    path = out / "results.jsonl"
    if not path.exists():
        raise UsageError("holds no run that could be gone on with", where=str(out), hint="see --resume")
    try:
        records = list(stream(path))
    except (HarnessError, OSError) as error:
        raise UsageError(str(error), hint=_ANEW) from None
    run = next((record for record in records if record["kind"] == "run"), {})
    counts = tally.counts(records) + tally.counts(records, "test")
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    print(f"kshs: run {run.get('id')} in {out} has ended ({said or 'nothing ran'}): nothing is left to run")
    known = {Verdict(verdict) for verdict, count in counts.items() if count}
    if worst(known).is_driver_fault:
        return DRIVER
    sound = run.get("problem") is None and Verdict.ERROR not in known and Verdict.PASSED in known
    return DONE if sound else INFRASTRUCTURE
