# SPDX-License-Identifier: Apache-2.0
"""What an installation copies, and where in the package it lies.

CopyFiles of install sections names files or lists of files; [SourceDisksFiles] says in which folder of which
disk each lies, [SourceDisksNames] in which folder the disk's files are ("INF CopyFiles Directive", "INF
SourceDisksFiles Section", "INF SourceDisksNames Section").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from drivers.errors import PackageError
from drivers.inf.decorations import System
from drivers.inf.model import PARTS, Entry, Inf
from drivers.inf.syntax import Line

_DECORATED = (".amd64", "")
_OTHERS = (".x86", ".arm64", ".arm", ".ia64")
#: What no name of a file on Windows has; a name with any of these leads out of the package or nowhere.
_FORBIDDEN = re.compile(r'[\x00-\x1f<>:"|?*/\\]')


@dataclass(frozen=True)
class Copied:
    """A file that is copied: its path with ``/`` relative to the INF's folder.

    ``systems`` says that it may be one of the system's own, which need not be in the package.
    """

    path: str
    systems: bool = False


def copied_files(inf: Inf, hardware_id: str | None = None, system: System | None = None) -> list[Copied]:
    """The files that an installation of one device, or of all, copies, each once.

    Raises:
        PackageError: a list of files does not exist, or a file lies nowhere or outside the package.
    """
    names = (f"{name}{part}" for name in inf.installs(hardware_id, system) for part in PARTS)
    found: dict[str, Copied] = {}
    for owner, name in _copied(inf.entries(names)):
        copied = _Sources.of(owner).place(name)
        found.setdefault(copied.path.lower(), copied)
    return list(found.values())


def listed_files(inf: Inf) -> list[str]:
    """The files that [SourceDisksFiles] lists for 64-bit systems, copied or not; odd entries are left out."""
    found: dict[str, str] = {}
    sources = _Sources.of(inf)
    for name in sources.names():
        try:
            path = sources.place(name).path
        except PackageError:
            continue
        found.setdefault(path.lower(), path)
    return list(found.values())


def further_infs(inf: Inf, hardware_id: str | None = None) -> list[str]:
    """The INFs that an installation brings along (CopyINF), in the INF's spelling."""
    entries = (entry.line for entry in inf.entries(inf.installs(hardware_id)))
    values = (value for line in entries if line.named("copyinf") for value in line.values)
    return [_plain(value) for value in values if value]


def _copied(entries: Iterable[Entry]) -> Iterator[tuple[Inf, str]]:
    """Source names, each with the INF whose disks it lies on."""
    seen: set[tuple[Inf, str]] = set()
    for entry in entries:
        if not entry.line.named("copyfiles"):
            continue
        for value in filter(None, entry.line.values):
            if value.startswith("@"):
                yield entry.inf, value[1:]
                continue
            if not entry.inf.has(value):
                raise PackageError(
                    f"line {entry.line.number}: section [{value}] does not exist", entry.inf.name
                )
            if (entry.inf, value.lower()) not in seen:
                seen.add((entry.inf, value.lower()))
                yield from ((entry.inf, name) for name in map(_source_name, entry.inf.section(value)) if name)


def _source_name(line: Line) -> str:
    """``destination[,source]``, of which a line may leave out either, or put an = behind it."""
    values = line.values or (line.key or "",)
    return values[1] if len(values) > 1 and values[1] else values[0]


class _Sources:
    """[SourceDisksFiles] and [SourceDisksNames] of an INF and of those that its LayoutFile names."""

    @staticmethod
    def of(inf: Inf) -> _Sources:
        """Those of an INF, made once."""
        found = inf.__dict__.get("_sources")
        if not isinstance(found, _Sources):
            found = inf.__dict__["_sources"] = _Sources(inf)
        return found

    def __init__(self, inf: Inf) -> None:
        self._inf = inf
        layouts = [
            value.lower()
            for line in inf.section("Version")
            if line.named("layoutfile")
            for value in line.values
        ]
        #: Whether files may come from a layout that is not in the package: the system's.
        self._systems = any(name and name not in inf.beside for name in layouts)
        infs = [inf, *(inf.beside[name] for name in layouts if name in inf.beside)]
        self._files: dict[str, tuple[Inf, Line]] = {}
        self._disks: dict[tuple[Inf, str], Line] = {}
        for owner in infs:
            for decoration in _DECORATED:
                for line in owner.section(f"SourceDisksFiles{decoration}"):
                    name = _plain(line.key if line.key is not None else line.first())
                    self._files.setdefault(name.lower(), (owner, line))
                for line in owner.section(f"SourceDisksNames{decoration}"):
                    self._disks.setdefault((owner, _disk(line.key or "")), line)

    def _unlisted(self, name: str) -> str:
        """What to say of a file that no 64-bit system finds."""
        for section in _OTHERS:
            for line in self._inf.section(f"SourceDisksFiles{section}"):
                listed = _plain(line.key if line.key is not None else line.first())
                if listed.lower() == _plain(name).lower():
                    return (
                        f"{name} is copied but listed for {section[1:]} alone, in [SourceDisksFiles{section}]"
                    )
        return f"{name} is copied but not listed in [SourceDisksFiles]"

    def names(self) -> list[str]:
        """Every file that is listed, in the INF's spelling."""
        lines = (line for _, line in self._files.values())
        return [line.key if line.key is not None else line.first() for line in lines]

    def place(self, name: str) -> Copied:
        """Where a file lies: [SourceDisksFiles] may give a subdirectory, and so may the disk."""
        plain = _plain(name)
        owner, line = self._files.get(plain.lower(), (self._inf, None))
        where = f"line {line.number}: " if line is not None else ""
        if line is None:
            if not self._systems:
                raise PackageError(self._unlisted(name), self._inf.name)
            folders: list[str] = []
        else:
            values = line.values if line.key is not None else line.values[1:]
            disk = self._disks.get((owner, _disk(values[0] if values else "")))
            folders = (disk.values[3] if disk is not None and len(disk.values) > 3 else "").split("\\")
            folders += (values[1] if len(values) > 1 else "").split("\\")
        parts = [part for part in (*folders, plain) if part not in ("", ".")]
        if not parts or parts[-1] != plain or any(not _is_name(part) for part in parts):
            raise PackageError(f"{where}{name!r} lies outside the package", self._inf.name)
        return Copied("/".join(parts), line is None)


def _is_name(part: str) -> bool:
    """Whether a part of a path is the name of a file or folder, on this host and on Windows."""
    return not _FORBIDDEN.search(part) and part.strip(". ") != ""


def _plain(name: str) -> str:
    return name.strip().removeprefix(".\\")


def _disk(text: str) -> str:
    """The number of a disk, however it is written."""
    text = text.strip()
    return str(int(text)) if text.isascii() and text.isdecimal() and len(text) < 11 else text.lower()
