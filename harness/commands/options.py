# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have, and the console that all of them write to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness import guest_text

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Settings (docs/configuration.md).",
        show_default="kshs.toml of the working directory, where there is one",
    ),
]
GuestOption = Annotated[
    str | None,
    typer.Option("--guest", metavar="NAME", help="Recipe of the guest.", show_default="run.guest, else wine"),
]
TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="NAME|FILE",
        help="Driver under test: a name of [targets], avshs (the sample), a target file.",
        show_default="run.target, else avshs",
    ),
]
RuleOption = Annotated[
    list[str] | None,
    typer.Option("--rule", metavar="RULE", help="Only scenarios of this rule: H1 to H10, characteristic."),
]
RouteOption = Annotated[
    list[str] | None,
    typer.Option(
        "--route", metavar="ROUTE", help="Only those that send by it: call, irp, sync, event, port, apc."
    ),
]
TagOption = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="Only those with this tag, as it is written.")
]
IdOption = Annotated[
    list[str] | None,
    typer.Option("--id", metavar="PATTERN", help="Only those whose whole id matches: length.input.*"),
]
KeywordOption = Annotated[
    str | None,
    typer.Option(
        "-k", metavar="EXPR", help='pytest\'s own: words anywhere in id, rule, route, tag: "h4 and irp".'
    ),
]


def say(line: str) -> None:
    """One line that may hold what a guest or another's file says: made visible, whatever is in it."""
    console().print(guest_text.lines(line, 20_000))


def console() -> Console:
    """Where people read; made anew each time, since tests and pytest replace stdout."""
    width = None if sys.stdout.isatty() else 200
    return Console(highlight=False, markup=False, soft_wrap=True, width=width)
