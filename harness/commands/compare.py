# SPDX-License-Identifier: Apache-2.0
"""``kshs compare``: what is new in one run against another (docs/nights.md)."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.commands.exit_codes import DONE, DRIVER, INFRASTRUCTURE
from harness.commands.known_option import KnownIssuesOption, QuarantineOption, known_files
from harness.commands.options import ConfigOption, say
from harness.commands.store_option import StoreOption, open_store
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.store.database import Store

_RUNS = "Id of a run, or several with commas; last; last-good (before B); or results folders, both of them."


def compare(
    before: Annotated[str, typer.Argument(metavar="A", help=_RUNS)],
    now: Annotated[str, typer.Argument(metavar="B", help="The same, of what is asked about.")],
    known_issues: KnownIssuesOption = None,
    quarantine: QuarantineOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> int:
    """Says what is new in run B against run A.

    Scenario by scenario and field by field.

    Ends with 1 where somebody has to look at something: a new failure, a changed characteristic, a known
    issue past its date; with 3 where less is known than before; else with 0.
    """
    from harness.nights import night as nights
    from harness.nights import words

    known = known_files(known_issues, quarantine)
    with _sides(before, now, store, config) as (opened, first, second), opened.reading() as connection:
        later = nights.choose(connection, second)
        earlier = nights.choose(connection, first, later)
        found = nights.compare_runs(connection, earlier, later, known)
    if as_json:
        typer.echo(json.dumps(words.as_json(found), indent=2))
    else:
        for line in words.lines(found):
            say(line)
    return DRIVER if found.alarms else INFRASTRUCTURE if found.unknowns else DONE


@contextlib.contextmanager
def _sides(before: str, now: str, store: str | None, config: Path | None) -> Iterator[tuple[Store, str, str]]:
    """The store and the runs in it; two folders are compared without any store of the user's."""
    if not (Path(before).is_dir() and Path(now).is_dir()):
        with open_store(store, config) as opened:
            yield opened, before, now
        return
    from harness.store.database import Store
    from harness.store.importing import Importer

    with (
        tempfile.TemporaryDirectory(prefix="kshs-compare-") as folder,
        Store(str(Path(folder) / "store.db"), make=True) as opened,
    ):
        importer = Importer(opened)
        first, second = importer.take(Path(before)), importer.take(Path(now))
        if first.run == second.run and (second.refused or not second.known):
            raise UsageError(f"both are run {first.run}, with other records", where=f"{before} and {now}")
        yield opened, first.run, second.run
