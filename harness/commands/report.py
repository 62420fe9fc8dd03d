# SPDX-License-Identifier: Apache-2.0
"""``kshs report``: the page of a run, made again from its records."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Annotated

import typer
from jinja2 import TemplateError

from harness.commands.inputs import check_file, make_directory
from harness.commands.options import console
from harness.errors import HarnessError, UsageError
from harness.text_file import SAVE_AS


def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a run, with results.jsonl.")],
) -> None:
    """Renders report.html anew from results.jsonl."""
    from harness.evidence.signature import with_signature
    from harness.results import parts
    from harness.results import report as page

    source = directory / "results.jsonl"
    if not source.is_file():
        raise UsageError("there is no results.jsonl", where=str(directory), hint="give the --out of a run")
    check_file(source, "DIR")
    make_directory(directory, "DIR")
    encoded(source)
    try:
        page.write([with_signature(record) for record in parts.read(source)], directory / "report.html")
    except HarnessError as error:
        raise UsageError(
            error.message, where=error.where or str(source), hint="give the --out of a run"
        ) from error
    except OSError as error:
        raise HarnessError(
            f"the report cannot be written: {error.strerror}", str(directory), "is the disk full?"
        ) from None
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError, TemplateError) as error:
        # Records of the right kinds that lack what every run writes: somebody has edited them.
        raise UsageError(
            f"these are not the records of a run: {error}", where=str(source), hint="give the --out of a run"
        ) from error
    console().print(str(directory / "report.html"))


def encoded(source: Path) -> None:
    """That records are in UTF-8: another program may have saved them in another encoding.

    Raises:
        UsageError: they are not.
    """
    with source.open("rb") as file:
        head = file.read(2)
    if head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise UsageError("is UTF-16, where UTF-8 is needed", where=str(source), hint=SAVE_AS)
