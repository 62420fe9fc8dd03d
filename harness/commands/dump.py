# SPDX-License-Identifier: Apache-2.0
"""``kshs dump``: what a memory dump of Windows says, without a debugger."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.commands.exit_codes import USAGE
from harness.commands.options import console

if TYPE_CHECKING:
    from harness.evidence.symbols import Symbols


def dump(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Memory dumps of 64-bit Windows.")],
    symbols: Annotated[
        list[Path] | None,
        typer.Option(
            "--symbols", metavar="DIR", help="Images (.sys) and PDBs of drivers; may be given several times."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Says what a memory dump of Windows knows of a crash.

    A PDB is used only if it is proven to be the one of the very driver that was loaded; those of the
    drivers that kshs has built here are known without --symbols. Exit code 2: a file is no dump
    that can be read, or not a whole one; the others are shown all the same.
    """
    from harness.commands.dump_text import show
    from harness.evidence.dump import DumpError, read
    from harness.evidence.dump_crash import named

    known = known_symbols(symbols or [])
    said: list[dict[str, Any]] = []
    broken = 0
    for number, path in enumerate(files):
        try:
            found = named(read(path), known)
        except DumpError as error:
            broken += 1
            said.append({"file": str(path), "error": str(error)})
            print(f"kshs: {error}", file=sys.stderr)
            continue
        said.append(found.as_dict())
        if not as_json:
            if number:
                console().print()
            show(found, console())
    if as_json:
        print(json.dumps(said, indent=1))
    if broken:
        raise typer.Exit(USAGE)


def known_symbols(places: list[Path]) -> Symbols:
    """Of the directories that were named, and of our own builds."""
    import platformdirs

    from harness.evidence.symbols import SymbolFiles, Symbols

    builds = platformdirs.user_cache_path("kshs") / "drivers" / "builds"
    return Symbols(SymbolFiles([*places, *([builds] if builds.is_dir() else [])]))
