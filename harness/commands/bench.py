# SPDX-License-Identifier: Apache-2.0
"""``kshs bench`` on the command line."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from harness import config as settings
from harness.bench.figures import KEYS
from harness.commands.inputs import check_output
from harness.progress import Progress


def bench(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the figures go, as JSON.")] = Path(
        "out/bench.json"
    ),
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draws the series there, as SVG.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer samples and shorter series.")] = False,
    guest: Annotated[str | None, typer.Option("--guest", metavar="NAME", help="Recipe of the guest.")] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="NAME|FILE", help="Driver under test.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Settings.")] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="DIR", help="Another checkout, set up already: both in turns."),
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option("--beside", metavar="TARGET", help="Another target: what its scenarios cost, in turns."),
    ] = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="What --coverage costs: with and without it, in turns.")
    ] = False,
    traced: Annotated[
        bool, typer.Option("--traced", help="Also what kstrace.sys costs in the agent's own loop.")
    ] = False,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, metavar="N", help="Turns of each of the two.")
    ] = 3,
) -> None:
    """Measures leases, requests and the catalogue.

    Says which goals are met (docs/performance.md).
    """
    from harness.bench import measure as work
    from harness.bench import plot as bench_plot
    from harness.bench import turns

    loaded = settings.load(config)
    other = turns.checkout(against) if against is not None else None
    check_output(out, "--out")
    if plot is not None:
        check_output(plot, "--plot")
    with Progress() as progress:
        figures = work.measure(
            loaded,
            guest=guest,
            target=target,
            amounts=work.QUICK if quick else None,
            say=progress.say,
        )
        arguments = work.run_arguments(loaded, guest)
        if other is not None:
            figures["against"] = turns.builds(other, arguments, rounds, progress.say)
        if beside is not None:
            figures["beside"] = turns.targets(beside, arguments, rounds, progress.say)
            figures["goals"].append(figures["beside"]["goal"])
        if coverage:
            figures["coverage"] = turns.coverage(arguments, rounds, progress.say)
            figures["goals"].append(figures["coverage"]["goal"])
        if traced:
            count = (work.QUICK if quick else work.Amounts()).pipelined
            figures["traced"] = work.traced(
                loaded, guest=guest, target=target, rounds=rounds, count=count, say=progress.say
            )
            figures["goals"].append(figures["traced"]["goal"])
    work.write(figures, out)
    if plot is not None:
        plot.write_text(bench_plot.svg(figures["series"]), encoding="utf-8")
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160)
    for table in tables(figures):
        console.print(table)
    console.print(f"written to {out}")


def tables(figures: Mapping[str, Any]) -> list[Table]:
    """The figures and the goals for people."""
    measured = Table(box=None, pad_edge=False)
    for heading in ("figure", "unit", "min", "median", "max", "samples"):
        measured.add_column(heading, justify="left" if heading in ("figure", "unit") else "right")
    measured.add_column("what it is", overflow="fold")
    for key, (unit, what) in KEYS.items():
        row = figures["figures"][key]
        measured.add_row(
            key,
            unit,
            *(f"{row[name]:g}" for name in ("min", "median", "max")),
            str(len(row["samples"])),
            what,
        )
    series = Table(box=None, pad_edge=False)
    for heading in ("requests", "a step", "seconds", "ms each", "host memory, MiB"):
        series.add_column(heading, justify="right")
    for point in figures["series"]:
        series.add_row(
            f"{point['requests']:,}",
            str(point["requests_a_step"]),
            f"{point['seconds']:g}",
            f"{point['cost_ms']:g}",
            f"{point['host_rss_mib']:g}",
        )
    goals = Table(box=None, pad_edge=False)
    for heading in ("goal", "", "got"):
        goals.add_column(heading)
    for goal in figures["goals"]:
        met = bool(goal["met"])
        goals.add_row(
            goal["goal"], "met" if met else "MISSED", goal["got"], style=None if met else "bold red"
        )
    found = [measured, series, goals]
    workers = figures.get("suite", {}).get("workers") or []
    if workers:
        scaling = Table(box=None, pad_edge=False)
        for heading in ("workers", "seconds", "peak MiB", "times as fast", "bare guests", "cores busy"):
            scaling.add_column(heading, justify="right")
        for row in workers:
            values = (row[key] for key in ("seconds", "peak_mib", "times", "bare_times"))
            scaling.add_row(str(row["n"]), *(f"{value:g}" for value in values), f"{row['busy']:.0%}")
        found.append(scaling)
    return found + [compared(figures[key]) for key in ("against", "beside", "coverage") if key in figures]


def compared(turns: Mapping[str, Any]) -> Table:
    """What was measured in turns: medians of both and their ratio."""
    counts = f"{turns['rounds']} rounds; common_guest_s: {turns['common_scenarios']} scenarios"
    table = Table(box=None, pad_edge=False, title=f"in turns, {counts}", title_justify="left")
    for heading in ("figure", "unit", turns["theirs"], turns["ours"], "ratio"):
        table.add_column(heading, justify="left" if heading in ("figure", "unit") else "right")
    for key, row in turns["figures"].items():
        values = (f"{row['theirs']:g}", f"{row['ours']:g}", f"{row['ratio']:.3f}")
        table.add_row(key, row["unit"], *values)
    return table
