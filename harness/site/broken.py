# SPDX-License-Identifier: Apache-2.0
"""Cells of a night of which the store knows nothing: they broke, or were not begun."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from harness import guest_text
from harness.errors import UsageError
from harness.site.calendar import night_of
from harness.store.marks import RunMark

#: What `kshs nightly` has left in the folder of a night.
RECORD = "night.json"
_LONG = 400

#: Cells by name, with what they said.
Broken: TypeAlias = list[tuple[str, str]]


def read(folders: Iterable[Path], runs: Iterable[RunMark]) -> dict[str, Broken]:
    """By night the cells that left no run.

    Args:
        folders: of nights.
        runs: of the store: a night is that of its last run, or, where there is none, of its record's file.

    Raises:
        UsageError: a folder holds no record of a night.
    """
    at = {run.name: run.at for run in runs}
    found: dict[str, Broken] = {}
    for folder in folders:
        path = folder / RECORD
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))["cells"]
            cells = [_cell(row) for row in rows]
            when = [at[name] for _, name, _ in cells if name in at]
            night = night_of(
                max(when, default=datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None))
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(f"there is no {RECORD} of a night", where=str(folder)) from None
        broken = [(name, said) for name, run, said in cells if not run]
        # A later night of the same day, say one that went on, has the last word of a cell.
        found[night] = [*[one for one in found.get(night, []) if one[0] not in dict(broken)], *broken]
    return found


def _cell(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Its name, its run's, and what it said."""
    name = guest_text.one_line(str(row["cell"]), _LONG)
    said = guest_text.one_line(str(row.get("said") or "it has left no results"), _LONG)
    return name, str(row["more"].get("run") or ""), said
