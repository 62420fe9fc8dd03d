# SPDX-License-Identifier: Apache-2.0
"""``kshs store``: runs into the store, out of it, and what is in it (docs/nights.md)."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.inputs import check_output
from harness.commands.options import ConfigOption, say
from harness.commands.store_option import StoreOption, open_store
from harness.errors import HarnessError, UsageError
from vm.words import counted

store_app = typer.Typer(
    name="store", add_completion=False, rich_markup_mode=None, help="Keeps runs, to compare nights."
)

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, or its beginning; or: last.")]

_AGE = re.compile(r"(\d{1,5})([dwy])")
_DAYS = {"d": 1, "w": 7, "y": 365}


@store_app.command("import")
def import_runs(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="What kshs run or kshs selftest left (--out).")
    ],
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Takes results folders into the store; what it has already stays as it is.

    A folder may be partial or damaged: what can be read is taken, and what could not is said.
    """
    from harness.results.seal import RESULTS
    from harness.store.importing import Importer
    from harness.store.selftests import SELFTEST
    from harness.store.selftests import take as take_selftest

    wrong: list[str] = []
    with open_store(store, config, make=True) as opened:
        importer = Importer(opened)
        for folder in folders:
            try:
                if (folder / SELFTEST).is_file():
                    say(f"{folder}: {take_selftest(opened, folder)}")
                    if not (folder / RESULTS).is_file():
                        continue
                say(f"{folder}: {importer.take(folder)}")
            except UsageError as error:
                wrong.append(str(error))
    if wrong:
        raise UsageError("\n".join(wrong))


@store_app.command("list")
def list_runs(
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Says which runs are in the store, the oldest first."""
    from harness.nights.conditions import described
    from harness.results.summary import in_words
    from harness.store import queries

    with open_store(store, config) as opened, opened.reading() as connection:
        runs, counts = queries.runs(connection), queries.verdict_counts(connection)
    if as_json:
        rows = [
            {
                "id": run.name,
                "started": run.started and f"{run.started:%Y-%m-%dT%H:%M:%SZ}",
                "guest": run.conditions.recipe,
                "kernel": run.conditions.kernel,
                "target": run.conditions.target,
                "package": run.conditions.package,
                "problem": run.problem,
                "note": run.note,
                "counts": counts.get(run.id, {}),
            }
            for run in runs
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    for run in runs:
        started = f"{run.started:%Y-%m-%d %H:%M}" if run.started else "-"
        said = "; ".join(filter(None, (in_words(counts.get(run.id, {})), run.problem, run.note)))
        say(f"{run.name}  {started}  {described(run.conditions)}: {said}")
    say(counted(len(runs), "run"))


@store_app.command("export")
def export(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The results.jsonl that is written.")],
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Writes a run as a results.jsonl that another store takes; it holds what the store keeps."""
    from harness.nights.night import choose
    from harness.store.exporting import records
    from vm.files import write_whole

    check_output(out, "--out")
    with open_store(store, config) as opened, opened.reading() as connection:
        found = choose(connection, run)
        if len(found) != 1:
            raise UsageError("give one run", where=run)
        lines = [json.dumps(record, ensure_ascii=True) for record in records(connection, found[0].id)]
    try:
        write_whole(out, "".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise HarnessError(f"cannot be written: {error.strerror}", str(out)) from None
    say(f"run {found[0].name}: {out}")


@store_app.command("prune")
def prune(
    older_than: Annotated[str, typer.Option("--older-than", metavar="AGE", help="As in 90d, 26w or 2y.")],
    known_issues: Annotated[
        Path | None,
        typer.Option(
            "--known-issues",
            metavar="FILE",
            help="Runs that show an open issue of it are kept.",
            show_default="known-issues.toml, where there is one",
        ),
    ] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Removes old runs; what is a baseline or shows an open issue is kept."""
    from harness.commands.known_option import known_files
    from harness.nights.evidence import runs_that_show
    from harness.store.pruning import prune as prune_store

    age = _AGE.fullmatch(older_than)
    if age is None:
        raise UsageError(f"{older_than} is no age", hint="--older-than 90d, 26w or 2y")
    now = datetime.now(UTC).replace(tzinfo=None)
    before = now - timedelta(days=int(age[1]) * _DAYS[age[2]])
    issues = [issue for file in known_files(known_issues, None) for issue in file.issue]
    with open_store(store, config) as opened:
        with opened.writing() as connection:
            keep = runs_that_show(connection, issues, now.date(), before)
            pruned = prune_store(connection, before, keep)
        opened.shrink()
    kept = [
        f"{counted(number, 'old run')} kept as {what}"
        for number, what in ((pruned.baselines, "a baseline"), (pruned.evidence, "evidence of an open issue"))
        if number
    ]
    say("; ".join([f"{counted(len(pruned.gone), 'run')} removed", *kept]))


@store_app.command("rates")
def rates(
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="Of scenario ids.")] = "*",
    every: Annotated[bool, typer.Option("--all", help="Those that never failed, too.")] = False,
    last: Annotated[int, typer.Option("--last", min=1, metavar="N", help="Of the last N runs.")] = 100,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Says how often scenarios failed, over all attempts of the last runs, on identical inputs."""
    from harness.nights.baseline import matches
    from harness.nights.flakiness import rates as rates_of
    from harness.nights.statistics import wilson
    from harness.store import queries

    with open_store(store, config) as opened, opened.reading() as connection:
        runs = queries.runs(connection)[-last:]
        outcomes = queries.outcomes(connection, [run.id for run in runs])
    shown = 0
    for rate in rates_of(runs, [one for one in outcomes if matches(one.key, pattern)]):
        if rate.counts.failed == 0 and rate.retried == 0 and not every:
            continue
        low, high = wilson(rate.counts)
        retried = f", {counted(rate.retried, 'run')} passed by a retry" if rate.retried else ""
        say(
            f"{rate.key}: {rate.state}, failed in {rate.counts} ({low:.1%} to {high:.1%}){retried};"
            f" {rate.guest}, {rate.target}"
        )
        shown += 1
    say(f"{counted(shown, 'rate')}; the interval is Wilson's, at 95%")
