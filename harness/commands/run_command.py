# SPDX-License-Identifier: Apache-2.0
"""``kshs run`` on the command line; `harness.commands.run` does it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.commands.fleet_option import OnHostsOption
from harness.commands.options import (
    ConfigOption,
    GuestOption,
    IdOption,
    KeywordOption,
    RouteOption,
    RuleOption,
    TagOption,
    TargetOption,
)
from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from harness.commands.run import Selection


def run(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATHS",
            help="Scenario files, directories, Python tests.",
            show_default="run.scenarios, else the catalogue",
        ),
    ] = None,
    rule: RuleOption = None,
    route: RouteOption = None,
    tag: TagOption = None,
    id_: IdOption = None,
    keyword: KeywordOption = None,
    guest: GuestOption = None,
    target: TargetOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--workers",
            min=0,
            max=32,
            metavar="N",
            help="Guests at the same time, each with a process of its own.",
            show_default="one, in this process",
        ),
    ] = None,
    drivers: Annotated[
        Path | None,
        typer.Option(
            "--drivers",
            metavar="DIR",
            help="C sources to build instead of the installed ones: an altered copy of drivers/.",
            show_default="run.drivers",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="For junit.xml, results.jsonl and report.html.",
            show_default="run.out, else out/run",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="DIR",
            help="Go on with the run that was killed or interrupted there; with -n, and no other option.",
            show_default=False,
        ),
    ] = None,
    coverage: Annotated[
        bool,
        typer.Option("--coverage", help="Count which lines of the drivers each scenario reaches (TCG only)."),
    ] = False,
    coverage_of: Annotated[
        list[str] | None,
        typer.Option(
            "--coverage-of",
            metavar="MODULE",
            help="With --coverage: also of this one, say ntoskrnl.exe. Repeatable.",
        ),
    ] = None,
    sources: Annotated[
        list[Path] | None,
        typer.Option(
            "--sources", metavar="DIR", help="With --coverage: where the target's sources are. Repeatable."
        ),
    ] = None,
    symbols: Annotated[
        list[Path] | None,
        typer.Option("--symbols", metavar="DIR", help="With --coverage: where more PDBs are. Repeatable."),
    ] = None,
    record: Annotated[
        bool,
        typer.Option(
            "--record", help="Play what failed once more on a recorded guest, and keep that for kshs replay."
        ),
    ] = False,
    scheduler: OnHostsOption = None,
    config: ConfigOption = None,
) -> None:
    """Runs scenarios; what stands behind -- goes to pytest.

    --rule, --route, --tag and --id may be given several times: one of each kind must hold.
    """
    from harness.commands.resume import resume_run
    from harness.commands.run import Selection
    from harness.commands.run import run as run_pytest

    selection = Selection(
        paths=tuple(paths or ()),
        keyword=keyword,
        rules=tuple(rule or ()),
        routes=tuple(route or ()),
        tags=tuple(tag or ()),
        ids=tuple(id_ or ()),
        guest=guest,
        target=target,
        workers=workers or 0,
        drivers=drivers,
        out=out,
        config=config,
        coverage=coverage,
        coverage_of=tuple(coverage_of or ()),
        sources=tuple(path.absolute() for path in sources or ()),
        symbols=tuple(path.absolute() for path in symbols or ()),
        record=record,
        pytest_args=tuple(context.obj or ()),
    )
    try:
        if scheduler is not None:
            code = _on_hosts(selection, scheduler, resume)
        else:
            code = run_pytest(selection) if resume is None else resume_run(resume, selection, workers)
    except BrokenPipeError:
        # To click it would be 1, which here speaks against the driver.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise HarnessError("whoever read the output is gone, and the run ended there") from None
    raise typer.Exit(code)


def _on_hosts(selection: Selection, url: str, resume: Path | None) -> int:
    """Raises: UsageError: a run goes on where it was begun; it is counted or recorded on one host."""
    if resume is not None:
        raise UsageError("does not go with --scheduler", where="--resume")
    if selection.coverage:
        raise UsageError("does not go with --scheduler", where="--coverage", hint="count on one host")
    if selection.record:
        raise UsageError("does not go with --scheduler", where="--record", hint="record on one host")
    from harness import config as settings
    from harness.commands.fleet_work import run_on_hosts
    from harness.commands.store_option import open_store
    from harness.store.durations import seconds_of

    seconds = {}
    try:
        with open_store(None, selection.config).reading() as connection:
            seconds = seconds_of(connection)
    except UsageError:
        pass  # there is no store yet
    return run_on_hosts(selection, settings.load(selection.config), url, seconds)
