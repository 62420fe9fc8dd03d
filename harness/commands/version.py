# SPDX-License-Identifier: Apache-2.0
"""``kshs version`` and ``kshs --version``."""

from __future__ import annotations

import typer

from harness import version
from harness.commands.options import console


def show_version() -> None:
    """Prints the version."""
    from drivers import abi

    console().print(f"kshs {version()}, ABI {abi.load().version}")


def version_option(wanted: bool) -> None:
    """What ``--version`` does."""
    if wanted:
        show_version()
        raise typer.Exit
