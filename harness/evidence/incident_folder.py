# SPDX-License-Identifier: Apache-2.0
"""The folder of one incident: its name, and what may be written into it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from vm.files import private_directory, write_whole

#: In the directory of a run's results.
INCIDENTS = "incidents"
#: Of a folder's name: as much of a scenario's id as people need to know it again.
_READABLE = 60
_ODD = re.compile(r"[^a-z0-9]+")


def folder_name(scenario: str, file: str, attempt: int = 1) -> str:
    """A folder's name for a scenario of a file: readable, unlike any other's, and never a way elsewhere."""
    words = _ODD.sub("-", scenario.lower())[:_READABLE].strip("-")
    digest = hashlib.sha256(f"{file}\0{scenario}".encode("utf-8", errors="surrogatepass")).hexdigest()[:8]
    return "-".join(filter(None, (words, digest, str(attempt) if attempt > 1 else "")))


def run_name(run: str) -> str:
    """A run's id, or a worker's name, as the name of a folder."""
    return _ODD.sub("-", run.lower())[:_READABLE].strip("-") or "run"


class IncidentFolder:
    """What pieces of evidence are written into; an `harness.guests.EvidenceSink`.

    Names are ours alone.  A piece that cannot be had is told with its reason, and costs no other.

    Args:
        path: made with the first piece.
        limit: bytes of each text, of which the end is kept.
        room: bytes that the incident may have in all.
    """

    def __init__(self, path: Path, *, limit: int, room: int) -> None:
        self.path = path
        self.limit = limit
        self.room = room
        self.files: dict[str, dict[str, int | bool]] = {}
        self.missing: dict[str, str] = {}

    def add(self, name: str, data: bytes, *, size: int | None = None) -> None:
        """A text of which `data` is all, or the end of `size` bytes."""
        kept = data[-min(self.limit, self.room) :] if min(self.limit, self.room) > 0 else b""
        whole = max(len(data), size or 0)
        if whole and not kept:
            self.lack(name, "the budget of incidents is used up")
            return
        if not kept:
            return
        try:
            private_directory(self.path)
            write_whole(self.path / name, kept)
        except Exception as error:  # of a full disk, say
            self.lack(name, f"cannot be written: {error}")
            return
        self._note(name, len(kept), cut=whole > len(kept))

    def place(self, name: str) -> Path:
        """Where a program of the host writes a piece itself; `took` afterwards."""
        private_directory(self.path)
        return self.path / name

    def took(self, name: str) -> None:
        """A piece was written at its place; nothing where it was not."""
        path = self.path / name
        if path.is_file():
            path.chmod(0o600)
            self._note(name, path.stat().st_size, cut=False)

    def lack(self, name: str, why: str) -> None:
        """A piece that could not be had, and why."""
        self.missing.setdefault(name, " ".join(str(why).split())[:500])

    def _note(self, name: str, size: int, *, cut: bool) -> None:
        self.files[name] = {"bytes": size, "cut": cut}
        self.room -= size
