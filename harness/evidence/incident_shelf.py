# SPDX-License-Identifier: Apache-2.0
"""How many incidents a directory of results keeps, for how long, and how large they may be together.

Incidents of earlier runs go when they are too old, and the oldest of them when there is no room.  Those of
the run itself stay: its results name them.  Where they alone fill the shelf, no further one is kept, and
the results say so.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.evidence.incident_folder import INCIDENTS
from harness.incident_settings import IncidentsConfig
from vm.files import locked, private_directory, remove_tree
from vm.progress import Silent

_DAY = 86400.0
_LOCK = ".lock"


@dataclass(frozen=True)
class _Kept:
    path: Path
    of: str
    at: float
    size: int


class IncidentShelf:
    """The incidents in one directory of results.

    Args:
        out: the directory.
        run: name of the run's own folder.
        settings: table [incidents].
    """

    def __init__(self, out: Path, run: str, settings: IncidentsConfig) -> None:
        self.path = out / INCIDENTS
        self._run = run
        self._settings = settings

    def take(self, name: str) -> tuple[Path, int]:
        """A new folder for an incident, and the bytes that it may have.

        Raises:
            NoRoomError: the incidents of this run fill the shelf.
            OSError, VmError: it cannot be made.
        """
        private_directory(self.path)
        with locked(self.path / _LOCK, Silent(), "keeps an incident"):
            room = self._make_room()
            folder = private_directory(self.path / self._run)
            attempt = 1
            while (path := folder / (name if attempt == 1 else f"{name}-{attempt}")).exists():
                attempt += 1
            return private_directory(path), room

    def prune(self) -> list[Path]:
        """Removes what is too old; gives what is gone."""
        return [kept.path for kept in self._others() if self._is_old(kept) and self._remove(kept)]

    def _make_room(self) -> int:
        self.prune()
        own = [kept for kept in self._all() if kept.of == self._run]
        others = sorted(self._others(), key=lambda kept: kept.at)
        budget = self._settings.budget_mib << 20
        used = sum(kept.size for kept in own)
        if len(own) >= self._settings.keep:
            raise NoRoomError(f"{len(own)} incidents of this run are kept, which is all (incidents.keep)")
        if used >= budget:
            raise NoRoomError(
                f"the incidents of this run have {used >> 20} MiB, which is all (incidents.budget_mib)"
            )
        least = min(budget - used, self._settings.file_kib << 13)  # eight files of full length
        while others and (
            len(own) + len(others) >= self._settings.keep
            or used + sum(kept.size for kept in others) + least > budget
        ):
            self._remove(others.pop(0))
        return budget - used - sum(kept.size for kept in others)

    def _others(self) -> list[_Kept]:
        return [kept for kept in self._all() if kept.of != self._run]

    def _all(self) -> Iterator[_Kept]:
        for run in self.path.glob("*"):
            for path in run.glob("*") if run.is_dir() and not run.is_symlink() else ():
                with contextlib.suppress(OSError):  # another run may be removing it
                    yield _Kept(path, run.name, path.lstat().st_mtime, _size(path))

    def _is_old(self, kept: _Kept) -> bool:
        return time.time() - kept.at > self._settings.keep_days * _DAY

    def _remove(self, kept: _Kept) -> bool:
        with contextlib.suppress(OSError):
            remove_tree(kept.path)
            with contextlib.suppress(OSError):
                kept.path.parent.rmdir()  # where it was the last
            return True
        return False


class NoRoomError(Exception):
    """One more incident of this run is not kept; the text says which limit is reached."""


def _size(path: Path) -> int:
    return sum(file.lstat().st_size for file in path.rglob("*")) if path.is_dir() else path.lstat().st_size
