# SPDX-License-Identifier: Apache-2.0
"""The package that is to be released, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import drivers.package
from drivers.errors import BuildError
from harness.errors import UsageError

_MOST_FILES = 4096


@dataclass(frozen=True)
class Candidate:
    """A package as it lies in a directory.

    `digest` is that of what a guest gets, `files` are its files by name with slashes, `catalogue` the name of
    the signed one.  `wrong` says why it is no package that could be released; then `digest` is empty.
    `beside` are files of the directory that no guest gets and that the policy lets through.
    """

    directory: Path
    digest: str
    files: Mapping[str, str] = field(default_factory=dict)
    catalogue: str = ""
    wrong: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


def load(directory: Path, hardware_id: str | None, beside: Sequence[str] = ()) -> Candidate:
    """Reads a candidate.

    Args:
        directory: of the package.
        hardware_id: of the device; None: of any.
        beside: patterns of files that need not be of the package.

    Raises:
        UsageError: there is no such directory.
    """
    if not directory.is_dir():
        raise UsageError(
            "there is no such directory", str(directory), "--candidate names that with the INF, SYS and CAT"
        )
    try:
        package = drivers.package.load(directory, hardware_id)
        others = [name for name in names_in(directory) if name not in package.digests]
    except (BuildError, OSError) as error:
        return Candidate(directory, "", wrong=(f"it is no package that could be tested: {error}",))
    odd = [name for name in others if not is_beside(name, beside)]
    wrong = [f"{name} lies in it, and no guest gets it (target.beside of the policy)" for name in odd]
    links = sorted(name for name, path in package.files.items() if path.is_symlink())
    wrong += [f"{name} is a link: what lies there may be another file tomorrow" for name in links]
    catalogue = package.cat.relative_to(directory).as_posix()
    let = tuple(name for name in others if name not in odd)
    return Candidate(directory, package.digest, package.digests, catalogue, tuple(wrong), let)


def is_beside(name: str, patterns: Sequence[str]) -> bool:
    """Whether a file may lie beside a package's own: by its path, or by its name alone."""
    return any(fnmatchcase(name, one) or fnmatchcase(name.rpartition("/")[2], one) for one in patterns)


def names_in(directory: Path) -> list[str]:
    """All that lies in a directory and is no directory, by paths with slashes.

    Raises:
        OSError: it cannot be read, or holds more than any package.
    """
    found = []
    for path in sorted(directory.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            found.append(path.relative_to(directory).as_posix())
            if len(found) > _MOST_FILES:
                raise OSError(f"more than {_MOST_FILES} files lie in it")
    return found


def differing(files: Mapping[str, str], others: Mapping[str, str]) -> list[str]:
    """Names of files that are not the same in two packages."""
    return [name for name in sorted({*files, *others}) if files.get(name) != others.get(name)]


def file_digest(path: Path) -> str:
    """The SHA-256 of a file of a package.

    Raises:
        OSError: it cannot be read.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()
