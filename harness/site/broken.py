# SPDX-License-Identifier: Apache-2.0
"""Cells of a night of which the store knows nothing: they broke, or were not begun."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import guest_text
from harness.errors import UsageError
from harness.site.calendar import night_of
from harness.site.memory import NightMark
from harness.store.marks import RunMark

#: What `kshs nightly` has left in the folder of a night.
RECORD = "night.json"
_LONG = 400


@dataclass
class Broken:
    """What folders of nights say: by night the cells that left no run, each as name, words and `origin`.

    `origins` are the folders, by digests: what an earlier reading of one of them said counts no more.
    """

    cells: dict[str, list[list[str]]] = field(default_factory=dict)
    origins: set[str] = field(default_factory=set)


def read(folders: Iterable[Path], runs: Iterable[RunMark]) -> Broken:
    """What folders of nights say.

    Args:
        folders: of nights.
        runs: of the store: a night is that of its last run, or, where there is none, of its record's file.

    Raises:
        UsageError: a folder holds no record of a night.
    """
    at = {run.name: run.at for run in runs}
    found = Broken()
    for folder in folders:
        path = folder / RECORD
        try:
            cells = [_cell(row) for row in json.loads(path.read_text(encoding="utf-8"))["cells"]]
            written = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(f"there is no {RECORD} of a night", where=str(folder)) from None
        night = night_of(max((at[run] for _, run, _ in cells if run in at), default=written))
        origin = hashlib.sha256(str(folder.absolute()).encode(errors="replace")).hexdigest()[:20]
        found.origins.add(origin)
        broken = [[name, said, origin] for name, run, said in cells if not run]
        if broken:
            found.cells.setdefault(night, []).extend(broken)
    return found


def merged(nights: Mapping[str, NightMark], broken: Broken) -> dict[str, list[list[str]]]:
    """By night the cells that left no run, with what is remembered of folders that were not read now."""
    found: dict[str, list[list[str]]] = {}
    for night, mark in nights.items():
        kept = [cell for cell in mark.broken if cell[2] not in broken.origins]
        if kept:
            found[night] = kept
    for night, cells in broken.cells.items():
        found.setdefault(night, []).extend(cells)
    return found


def _cell(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Its name, its run's, and what it said."""
    name = guest_text.one_line(str(row["cell"]), _LONG)
    said = guest_text.one_line(str(row.get("said") or "it has left no results"), _LONG)
    return name, str(row["more"].get("run") or ""), said
