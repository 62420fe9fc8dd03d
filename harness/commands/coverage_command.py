# SPDX-License-Identifier: Apache-2.0
"""``kshs coverage``: what several runs reached together, or the files of one made anew."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.inputs import make_directory
from harness.commands.options import say
from harness.errors import HarnessError


def coverage(
    runs: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Runs of kshs run --coverage, on one build.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="For the files.")] = Path("out/coverage"),
    missing: Annotated[bool, typer.Option("--missing", help="Name the lines that nothing reached.")] = False,
) -> None:
    """Joins the coverage of several runs."""
    from harness.coverage.figures import figures, ranges, summary
    from harness.coverage.merging import merge
    from harness.coverage.model import read
    from harness.coverage.outputs import write

    found = merge([read(run) for run in runs])
    make_directory(out.absolute(), "--out")
    every = [figures(found, module) for module in found.modules]
    try:
        page = write(found, every, out, timestamp=int(time.time() * 1000))
    except OSError as error:
        raise HarnessError(f"cannot be written: {error.strerror}", str(out), "is the disk full?") from None
    for line in [*summary(every), *found.notes]:
        say(line)
    for one in every if missing else ():
        for file, lines in one.unreached().items():
            say(f"  {one.module.files[file].shown}:{ranges(lines)}")
    say(str(page))
