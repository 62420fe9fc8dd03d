# SPDX-License-Identifier: Apache-2.0
"""``kshs site``: the pages of the nights, from the store (docs/site.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.commands.inputs import check_file, make_directory
from harness.commands.known_option import KnownIssuesOption, QuarantineOption, known_files
from harness.commands.options import ConfigOption, say
from harness.commands.store_option import StoreOption, open_store

if TYPE_CHECKING:
    from harness.nights.known_file import KnownFile
    from harness.site.build import Built
    from harness.store.database import Store

site_app = typer.Typer(
    name="site",
    add_completion=False,
    rich_markup_mode=None,
    help="Makes pages of the nights, from the store.",
)


@site_app.callback()
def site() -> None:
    """Makes pages of the nights, from the store."""


@site_app.command("build")
def build(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The site's folder.")],
    gate: Annotated[
        list[Path] | None,
        typer.Option("--gate", metavar="FILE", help="A page of a gate's verdict, to be kept and linked."),
    ] = None,
    night: Annotated[
        list[Path] | None,
        typer.Option("--night", metavar="DIR", help="Of kshs nightly: cells that left no run are told."),
    ] = None,
    nights: Annotated[
        int, typer.Option("--nights", min=2, max=400, metavar="N", help="How many nights pages show.")
    ] = 60,
    known_issues: KnownIssuesOption = None,
    quarantine: QuarantineOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Makes the site, or brings it up to date.

    It is static: files that a browser opens from a share, without a server and without a network.
    """
    for path in gate or ():
        check_file(path, "--gate")
    known = known_files(known_issues, quarantine)
    with open_store(store, config) as opened:
        make_directory(out, "--out")
        say(str(make_site(opened, out, known, night or (), gate or (), nights)))


def make_site(
    store: Store,
    out: Path,
    known: Sequence[KnownFile],
    folders: Sequence[Path] = (),
    gates: Sequence[Path] = (),
    limit: int | None = None,
) -> Built:
    """Makes it; `folders` are those of nights whose broken cells are told.

    Raises:
        HarnessError: it cannot be made.
    """
    from harness.progress import Progress
    from harness.site import broken, build
    from harness.site import gates as gate_pages
    from harness.store.marks import marks

    with store.reading() as connection:
        told = broken.read(folders, marks(connection)) if folders else None
    pages = [*gates, *gate_pages.found(store.path)]
    with Progress() as progress:
        return build.build(
            store, out, known, broken=told, gates=pages, limit=limit or build.NIGHTS, say=progress.say
        )
