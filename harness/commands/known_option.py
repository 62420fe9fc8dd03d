# SPDX-License-Identifier: Apache-2.0
"""Known issues and quarantines of the working directory, or those that the command line names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from harness.nights.known_file import KnownFile

KnownIssuesOption = Annotated[
    Path | None,
    typer.Option(
        "--known-issues",
        metavar="FILE",
        help="What is known to fail.",
        show_default="known-issues.toml, where there is one",
    ),
]
QuarantineOption = Annotated[
    Path | None,
    typer.Option(
        "--quarantine",
        metavar="FILE",
        help="What is put aside for a while.",
        show_default="quarantine.toml, where there is one",
    ),
]


def known_files(known_issues: Path | None, quarantine: Path | None) -> list[KnownFile]:
    """Those that were named, and those of the working directory.

    Raises:
        TomlFileError: one is wrong, or one that was named is not there.
    """
    from harness.nights.known_file import load

    return [load(path) for path in known_paths(known_issues, quarantine)]


def known_paths(known_issues: Path | None, quarantine: Path | None) -> list[Path]:
    """Where these are."""
    from harness.nights.known_file import KNOWN_ISSUES, QUARANTINE

    usual = ((known_issues, Path(KNOWN_ISSUES)), (quarantine, Path(QUARANTINE)))
    return [given or path for given, path in usual if given is not None or path.is_file()]
