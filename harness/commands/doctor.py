# SPDX-License-Identifier: Apache-2.0
"""``kshs doctor``: every prerequisite, its state, and the command that mends it."""

from __future__ import annotations

import typer
from rich.table import Table

from harness import config as settings
from harness.commands.exit_codes import INFRASTRUCTURE
from harness.commands.options import ConfigOption, console


def doctor(config: ConfigOption = None) -> None:
    """Says what is missing here, and the command that mends it."""
    import drivers.doctor
    import vm.doctor

    found: list[vm.doctor.Check | drivers.doctor.Check]
    found = [*vm.doctor.checks(settings.load(config).vm), *drivers.doctor.checks()]
    say = console().print
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in found:
        table.add_row(
            "ok" if check.ok else "BAD", check.name, check.detail, style=None if check.ok else "bold red"
        )
        if check.fix and not check.ok:
            table.add_row("", "", f"mend it with: {check.fix}")
    say(table)
    bad = [check.name for check in found if not check.ok]
    if bad:
        are = "is" if len(bad) == 1 else "are"
        say(f"{len(bad)} of {len(found)} prerequisites {are} not met: {', '.join(bad)}")
        raise typer.Exit(INFRASTRUCTURE)
    say(f"all {len(found)} prerequisites are met")
