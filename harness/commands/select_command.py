# SPDX-License-Identifier: Apache-2.0
"""``kshs select``: the scenarios that a change of sources concerns, by what a run reached."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.options import say
from harness.errors import UsageError
from harness.guest_text import lines


def select(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILES", help="More changed files.", show_default=False)
    ] = None,
    changed: Annotated[
        list[Path] | None,
        typer.Option("--changed", metavar="FILE", help="A source file that has changed. Repeatable."),
    ] = None,
    coverage: Annotated[
        Path,
        typer.Option(
            "--coverage", metavar="DIR", help="A run of kshs run --coverage, made before the change."
        ),
    ] = Path("out/run"),
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with the reason of each.")] = False,
) -> None:
    """Names the scenarios whose lines a change of sources touches.

    Node ids on stdout, for kshs run; what was left out, and why, on stderr.
    """
    from harness.coverage.changed import choose
    from harness.coverage.model import read

    given = [*(changed or ()), *(files or ())]
    if not given:
        raise UsageError("no file was given", hint="kshs select --changed FILE")
    found = choose(read(coverage), given)
    if as_json:
        print(json.dumps({"schema": 1, "scenarios": found.scenarios, "notes": found.notes}, indent=1))
        return
    for key in found.scenarios:
        say(key)
    for note in found.notes:
        print(f"kshs: {lines(note, 20_000)}", file=sys.stderr)
