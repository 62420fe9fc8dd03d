# SPDX-License-Identifier: Apache-2.0
"""Which scenario files were found without a misspelt name: they are not planned again only to look for one.

Each is an empty file in the cache, named by the digest of all that the answer depends on: the scenario file,
the target, and the modules that read and plan scenarios.  A file that has a slip has no mark.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import harness
from vm.errors import VmError
from vm.files import digest_of, private_directory, remove_tree

if TYPE_CHECKING:
    from harness.language.model import Target
    from vm.config import VmConfig

FOLDER = "well-spelt"
MOST = 512
"""Marks that are kept; when there are more, the older half goes."""
_MODULES = ("language", "planning", "contract")


class WellSpelt:
    """The marks of one cache.

    Args:
        config: of the guests, which says where the cache is.
        target: against whose names files are read.
    """

    def __init__(self, config: VmConfig, target: Target) -> None:
        self._cache, self._folder = config.cache_dir, config.cache_dir / FOLDER
        self._context = f"{_program()} {target.model_dump_json()} "

    def knows(self, path: Path, content: bytes) -> bool:
        """Whether a file of this content, at this place, was looked through before."""
        with contextlib.suppress(OSError):
            os.utime(self._mark(path, content))
            return True
        return False

    def remember(self, path: Path, content: bytes) -> None:
        """It has no slip.  A cache that cannot be written only costs the time to look again."""
        with contextlib.suppress(OSError, VmError):
            private_directory(self._cache)
            private_directory(self._folder)
            self._mark(path, content).touch(mode=0o600)
            marks = sorted(self._folder.iterdir(), key=lambda mark: mark.stat().st_mtime_ns)
            for mark in marks[: MOST // 2] if len(marks) > MOST else ():
                mark.unlink(missing_ok=True)

    def _mark(self, path: Path, content: bytes) -> Path:
        digest = hashlib.sha256(self._context.encode())
        # What is said of a file depends on where it lies, too: the catalogue may name what a target lacks.
        digest.update(f"{path.resolve()} ".encode(errors="surrogateescape"))
        digest.update(content)
        return self._folder / digest.hexdigest()


def forget(config: VmConfig) -> list[str]:
    """Removes all marks; says so."""
    folder = config.cache_dir / FOLDER
    return [f"marks of files that were read {folder}"] if remove_tree(folder) else []


@functools.cache
def _program() -> str:
    """Of the modules whose word it is: another file, size or time of one of them is another program."""
    root = Path(harness.__file__).parent
    found = [harness.version()]
    for folder in _MODULES:
        for path in sorted((root / folder).rglob("*.py")):
            facts = path.stat()
            found.append(f"{path.relative_to(root)} {facts.st_size} {facts.st_mtime_ns}")
    return digest_of(found)
