# SPDX-License-Identifier: Apache-2.0
"""``kshs selftest``: whether what goes wrong gets the right verdict, with evidence, and the run goes on."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from harness import config as settings
from harness.commands.exit_codes import INFRASTRUCTURE
from harness.errors import UsageError
from harness.progress import Progress
from harness.results.folder import claim, release
from harness.selftest.case import OUT, Case, Finding


def selftest(
    short: Annotated[
        bool, typer.Option("--short", help="A few cases only, as before a night's runs.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="CASE", help="This case; may be given several times."),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Shows the cases and runs none.")] = False,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="For selftest.json, selftest.html and incidents.")
    ] = OUT,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Settings.")] = None,
) -> None:
    """Provokes crashes, hangs and losses for real.

    Each must get its verdict, the evidence that it must have, and a next scenario that passes.

    Runs on the embedded guest with the sample target. Ends with 3 where a case does not come out as it must.
    """
    from drivers import abi
    from harness.selftest.cases import cases

    loaded = settings.load(config)
    described = abi.load()
    chosen = _chosen(cases(described), short, only or [])
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160)
    if list_:
        console.print(_listed(chosen))
        return
    out = out.absolute()
    claim(out)
    try:
        findings = _run(loaded, described, chosen, out, "some" if only else "short" if short else "all")
    finally:
        release(out)
    console.print(table(findings))
    wrong = [finding for finding in findings if not finding.ok]
    for finding in wrong:
        for problem in finding.problems:
            console.print(f"{finding.name}: {problem}")
    console.print(f"{len(findings) - len(wrong)} of {len(findings)} as they must be: {out / 'selftest.html'}")
    if wrong:
        raise typer.Exit(INFRASTRUCTURE)


def _chosen(every: list[Case], short: bool, only: list[str]) -> list[Case]:
    unknown = sorted(set(only) - {case.name for case in every})
    if unknown:
        names = ", ".join(case.name for case in every)
        raise UsageError(f"there is no case {unknown[0]!r}", where="--only", hint=f"cases: {names}")
    return [case for case in every if (not only or case.name in only) and (case.short or not short)]


def _run(
    loaded: settings.Config, described: Any, chosen: list[Case], out: Path, selected: str
) -> list[Finding]:
    from harness import version
    from harness.guests.package import find_target
    from harness.guests.provider import VmProvider
    from harness.selftest import report
    from harness.selftest.session import SelfTest

    begun, started = time.monotonic(), datetime.now(UTC)
    provider = VmProvider(loaded.vm, find_target("avshs", loaded))
    session = SelfTest(provider, described, out, loaded.incidents)
    findings: list[Finding] = []
    about: dict[str, Any] = {}
    try:
        with Progress() as progress:
            findings.extend(session.run(chosen, progress.say))
        about["host"] = dict(provider.host())
    finally:
        session.close()
    about |= {
        "version": version(),
        "guest": "wine",
        "started": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": round(time.monotonic() - begun, 1),
        "short": selected == "short",
        "selected": selected,
    }
    report.write(findings, out, about)
    return findings


def table(findings: list[Finding]) -> Table:
    """One row a case, for the terminal."""
    made = Table(box=None, pad_edge=False)
    for heading in ("", "case", "verdict", "struck", "evidence", "then", "s"):
        made.add_column(heading, justify="right" if heading == "s" else "left", overflow="fold")
    for finding in findings:
        made.add_row(
            "ok" if finding.ok else "WRONG",
            finding.name,
            finding.verdict or "-",
            finding.struck or "-",
            f"{len(finding.pieces)} pieces" if finding.incident else "-",
            finding.continued,
            f"{finding.seconds:.1f}",
            style=None if finding.ok else "bold red",
        )
    return made


def _listed(chosen: list[Case]) -> Table:
    made = Table(box=None, pad_edge=False)
    for heading in ("case", "must be", "what is provoked"):
        made.add_column(heading, overflow="fold")
    for case in chosen:
        made.add_row(case.name, " or ".join(verdict.value for verdict in case.verdicts), case.what)
    return made
