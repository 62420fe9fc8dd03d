# SPDX-License-Identifier: Apache-2.0
"""What lies beside a report and is worth a link: logs and evidence that a run kept."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

#: Folders of incidents, each of which its scenario links.
_INCIDENTS = "incidents"
#: What a file is, by the end of its name; others are not linked.
_KINDS = {
    "results.jsonl": "one record a step",
    "junit.xml": "for a CI server",
    "coverage.html": "what was reached of drivers",
    "coverage.json": "the same for programs",
    "coverage.info": "the same for lcov",
    "coverage.xml": "the same for Cobertura's readers",
    "kshs.log": "what the harness did",
    "setupapi.dev.log": "what SetupAPI wrote",
    "serial.log": "serial console",
    "console.log": "console",
    "session.log": "what the guest's services printed",
    ".log": "log",
    ".txt": "text",
    ".dmp": "memory dump",
    ".png": "picture of the screen",
}
#: Files and levels of folders that are looked at.
_MAX_FILES = 200
_MAX_DEPTH = 4


class Attachment(NamedTuple):
    """One file: its path below the folder, as a relative address, what it is, and its size for people."""

    name: str
    href: str
    what: str
    size: str


def attachments(folder: Path) -> list[Attachment]:
    """The files in a run's folder, by name; none where it cannot be read."""
    found = []
    try:
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder)
            what = next((kind for end, kind in _KINDS.items() if path.name.endswith(end)), None)
            hidden = any(part.startswith(".") for part in relative.parts)
            incident = relative.parts[0] == _INCIDENTS
            if (
                what is None
                or hidden
                or incident
                or len(relative.parts) > _MAX_DEPTH
                or not _is_own(folder, path)
            ):
                continue
            found.append(
                Attachment(relative.as_posix(), quote(relative.as_posix()), what, _size(path.stat().st_size))
            )
            if len(found) == _MAX_FILES:
                break
    except OSError:
        return found
    return found


def _is_own(folder: Path, path: Path) -> bool:
    """Whether it is a file in the folder itself, and no way out of it."""
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())


def _size(count: int) -> str:
    for unit, step in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= step:
            return f"{count / step:.1f} {unit}"
    return f"{count} bytes"
