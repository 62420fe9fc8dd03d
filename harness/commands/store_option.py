# SPDX-License-Identifier: Apache-2.0
"""Which store a command means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import platformdirs
import typer

from harness import config as settings
from harness.commands.options import console

if TYPE_CHECKING:
    from harness.store.database import Store

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="FILE|URL",
        help="The store: a file, or postgresql://HOST/NAME.",
        show_default="store.url of kshs.toml, else ~/.local/share/kshs/store.db",
    ),
]


def open_store(given: str | None, config: Path | None, *, make: bool = False) -> Store:
    """The store of the command line, of the settings, or the user's own.

    Raises:
        UsageError: the settings are wrong, or it cannot be opened.
    """
    from harness.store.database import Store

    where = given or settings.load(config).store.url or str(platformdirs.user_data_path("kshs") / "store.db")
    store = Store(where, make=make)
    if store.moved is not None:
        console().print(store.moved)
    return store
