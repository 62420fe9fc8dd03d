# SPDX-License-Identifier: Apache-2.0
"""``kshs shell`` on the command line; `harness.commands.shell` does it."""

from __future__ import annotations

from typing import Annotated

import typer

from harness import config as settings
from harness.commands.options import ConfigOption, GuestOption, TargetOption


def shell(
    guest: GuestOption = None,
    target: TargetOption = None,
    bare: Annotated[
        bool, typer.Option("--bare", help="A guest without drivers, as the image was sealed.")
    ] = False,
    linux: Annotated[
        bool, typer.Option("--linux", help="Of a Wine guest the shell of the Linux below it, instead of cmd.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Opens cmd in a fresh guest with everything deployed.

    The guest goes when the shell ends.
    """
    from harness.commands.shell import interact

    raise typer.Exit(interact(settings.load(config), guest, target, bare=bare, linux=linux))
