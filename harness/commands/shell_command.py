# SPDX-License-Identifier: Apache-2.0
"""``kshs shell`` on the command line; `harness.commands.shell` does it."""

from __future__ import annotations

from pathlib import Path
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
    put: Annotated[
        list[Path] | None,
        typer.Option("--put", metavar="FILE", help=r"A file that lies in C:\kshs when the shell opens."),
    ] = None,
    get: Annotated[
        list[str] | None,
        typer.Option(
            "--get",
            metavar="FILE",
            help=r"A file of the guest, in C:\kshs or by its path, that comes here when the shell has ended.",
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Opens cmd in a fresh guest with everything deployed.

    The guest goes when the shell ends.
    """
    from harness.commands.shell import interact

    loaded = settings.load(config)
    code = interact(loaded, guest, target, bare=bare, linux=linux, put=put or (), get=get or ())
    raise typer.Exit(code)
