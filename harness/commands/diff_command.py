# SPDX-License-Identifier: Apache-2.0
"""``kshs diff``: the same scenarios on two guests, or against two targets (docs/nights.md)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness import config as settings
from harness.commands.exit_codes import DONE, DRIVER, INFRASTRUCTURE
from harness.commands.options import (
    ConfigOption,
    IdOption,
    KeywordOption,
    RouteOption,
    RuleOption,
    TagOption,
    say,
)
from harness.config import Config, NightConfig
from harness.errors import HarnessError, UsageError
from harness.suite_settings import SuiteConfig

if TYPE_CHECKING:
    from harness.commands.nightly import Cell, Done
    from harness.nights.two_sides import TwoSides

_SIDES = ("A", "B")


def diff(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATHS",
            help="Scenario files and directories.",
            show_default="run.scenarios, else the catalogue",
        ),
    ] = None,
    guest: Annotated[
        list[str] | None, typer.Option("--guest", metavar="NAME", help="Twice: side A, then side B.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option("--target", metavar="NAME|FILE", help="Or this one twice.")
    ] = None,
    rule: RuleOption = None,
    route: RouteOption = None,
    tag: TagOption = None,
    id_: IdOption = None,
    keyword: KeywordOption = None,
    workers: Annotated[
        int,
        typer.Option("-n", "--workers", min=1, max=32, metavar="N", help="Guests at a time on each side."),
    ] = 1,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="For both runs, in A and B.", show_default="not kept"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: ConfigOption = None,
) -> int:
    """Runs the same on two guests, or two targets: what differs.

    By rule and by field. Ends with 1 where something differs, with 3 where one side says nothing of a
    scenario, else with 0.
    """
    loaded = settings.load(config)
    selection = SuiteConfig(
        paths=[path.absolute() for path in paths or ()],
        rule=rule or [],
        route=route or [],
        tag=tag or [],
        id=id_ or [],
        k=keyword,
    )
    cells = two_cells(loaded, guest or [], target or [], selection, workers)
    with tempfile.TemporaryDirectory(prefix="kshs-diff-") as temporary:
        folder = _folder(out) if out is not None else Path(temporary)
        found = _run_both(cells, folder, config.absolute() if config is not None else None, quiet=as_json)
    if as_json:
        from harness.nights.two_sides import as_json as plain

        typer.echo(json.dumps(plain(found), indent=2))
    else:
        from harness.nights.two_sides import lines

        for line in lines(found):
            say(line)
    return DRIVER if found.differing else INFRASTRUCTURE if found.unknown else DONE


def two_cells(
    config: Config, guests: Sequence[str], targets: Sequence[str], selection: SuiteConfig, workers: int = 1
) -> list[Cell]:
    """The two runs.

    Raises:
        UsageError: there are not two sides, or a guest or a target is not known.
    """
    from dataclasses import replace

    from harness.commands.nightly import cells_of

    if sorted((len(guests), len(targets))) not in ([0, 2], [1, 2]):
        raise UsageError(
            "two sides are compared: two guests or two targets",
            hint="kshs diff --guest A --guest B, or kshs diff --target A --target B",
        )
    night = NightConfig(
        guests=list(guests) or None,
        targets=list(targets) or None,
        suites={"diff": selection},
        workers=workers,
    )
    cells = cells_of(night, config)
    return [replace(cell, name=side) for side, cell in zip(_SIDES, cells, strict=True)]


def _folder(out: Path) -> Path:
    from harness.commands.inputs import make_directory

    folder = out.absolute()
    make_directory(folder, "--out")
    taken = next((side for side in _SIDES if (folder / side).exists()), None)
    if taken is not None:
        raise UsageError(
            "is there already, and nothing is replaced", str(folder / taken), "name another --out"
        )
    return folder


def _run_both(cells: Sequence[Cell], folder: Path, config: Path | None, *, quiet: bool) -> TwoSides:
    """Both sides, beside each other as far as the host carries them, and compared.

    Raises:
        UsageError: a side could not be run as it was asked for.
        HarnessError: a side has left no results.
    """
    from harness.commands.nightly import LOG, Nightly, kshs
    from harness.host_room import HostRoom
    from harness.nights.two_sides import diff as compare_sides
    from harness.store import queries
    from harness.store.database import Store
    from harness.store.importing import Importer

    def ended(cell: Cell, done: Done) -> dict[str, Any]:
        if not quiet:
            say(f"side {cell.name}: guest {cell.guest}, target {cell.target}: {done.seconds:.0f} s")
        return {}

    work = Nightly(folder, HostRoom.measured(), lambda cell, place: kshs(cell, place, config), ended)
    for cell, done in zip(cells, work.run(cells), strict=True):
        if done.code not in (DONE, DRIVER) and not (folder / cell.name / "results.jsonl").is_file():
            kind = UsageError if done.code == 2 else HarnessError
            raise kind(
                f"side {cell.name} was not run: {done.said or 'it has left no results'}",
                _log(folder, cell, LOG),
            )
    with (
        tempfile.TemporaryDirectory(prefix="kshs-diff-store-") as place,
        Store(str(Path(place) / "store.db"), make=True) as store,
    ):
        importer = Importer(store)
        names = [importer.take(folder / cell.name).run for cell in cells]
        with store.reading() as connection:
            first, second = (queries.find_run(connection, name) for name in names)
            return compare_sides(connection, first, second)


def _log(folder: Path, cell: Cell, name: str) -> str | None:
    """Where all of it stands, if it is kept."""
    kept = not folder.name.startswith("kshs-diff-")
    return str(folder / cell.name / name) if kept else None
