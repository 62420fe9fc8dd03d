# SPDX-License-Identifier: Apache-2.0
"""Which seeded defects `make test` leaves out, since nothing that they depend on can have changed.

A test with the mark ``seeded`` builds sources with a defect in them and shows that a scenario catches it.
With ``--leave-out-unchanged`` it is left out where one of two things is known, and only then:

- the very same inputs (`digest`) caught it on this machine before: the user's cache has a record of it;
- the inputs are those of the commit where this branch left the main one, by git.  CI runs every defect on the
  tip of the main branch, where no such commit is known, and `make test-all` runs them all each night.

Those with the mark ``representative`` are run all the same: one of each source file, rule and verdict.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: What the drivers are made of, what judges them, and what drives both.
INPUTS = (
    "drivers",
    "harness",
    "examples/clock",
    "tests/seeded",
    "tests/component",
    "scripts",
    "docs/seeded-defects.md",
)
#: Rooms of the harness above the one that runs scenarios: lint-imports sees that it takes nothing from them.
_ABOVE = (
    *("__main__.py", "cli.py", "commands", "bench", "fuzzing", "nights", "onboarding", "plugin", "capsule"),
)
#: Of the tests of real binaries, what those of seeded defects stand on.
_USED = ("channel.py", "package_guest.py", "test_clock.py", "wine.py")
#: Every package of this machine with its version: compiler, linker, Wine.
_PACKAGES = Path("/var/lib/dpkg/status")
_MAIN = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
_KEPT_DAYS = 60


def left_alone(path: str) -> bool:
    """Whether a file below `INPUTS` has no part in it."""
    first, _, rest = path.partition("/")
    second = rest.partition("/")[0]
    return (
        "__pycache__" in path
        or (first == "harness" and second in _ABOVE)
        or (path.startswith("tests/component/") and path.removeprefix("tests/component/") not in _USED)
    )


def inputs() -> Iterator[str]:
    """The files, relative to the checkout."""
    for place in INPUTS:
        path = ROOT / place
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            name = file.relative_to(ROOT).as_posix()
            if file.is_file() and not left_alone(name):
                yield name


def digest() -> str:
    """Of all that decides whether a defect is caught: sources, judges, and the packages of this machine."""
    found = hashlib.sha256(f"{platform.python_version()} {platform.release()}".encode())
    packages = _PACKAGES.read_bytes() if _PACKAGES.is_file() else os.urandom(16)
    found.update(hashlib.sha256(packages).digest())
    for name in inputs():
        found.update(f"{name}\0".encode())
        found.update(hashlib.sha256((ROOT / name).read_bytes()).digest())
    return found.hexdigest()


def same_as_main(root: Path = ROOT) -> bool:
    """Whether the inputs are those of the commit at which this branch left the main one.

    False where that is not known: without git or its history, and on the main branch itself.
    """
    try:
        head = _git(root, "rev-parse", "HEAD")
        for name in _MAIN:
            base = _git(root, "merge-base", "HEAD", name)
            if base:
                break
        else:
            return False
        if not head or base == head:
            return False
        changed = _git(root, "diff", "--name-only", "--no-renames", base, "--", *INPUTS).splitlines()
        changed += _git(root, "ls-files", "--others", "--", *INPUTS).splitlines()
    except (OSError, subprocess.CalledProcessError):
        return False
    return all(map(left_alone, changed))


def _git(root: Path, *words: str) -> str:
    """Its answer; nothing where it has none, which is an error of any question but the first two."""
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode and words[0] not in ("rev-parse", "merge-base"):
        done.check_returncode()
    return "" if done.returncode else done.stdout.strip()


@dataclass(frozen=True)
class Known:
    """What is known at the start of a session; the same for all of its workers."""

    digest: str
    same_as_main: bool
    records: frozenset[str]

    @classmethod
    def of_this_machine(cls, folder: Path) -> Known:
        """Args: folder: of the records."""
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return cls(digest(), same_as_main(), frozenset(names))

    def record(self, nodeid: str) -> str:
        """The name of the file which says that this test passed with these inputs."""
        return hashlib.sha256(f"{nodeid}\0{self.digest}".encode()).hexdigest()[:40]

    def needless(self, nodeid: str) -> bool:
        """Whether the test can only end as it ended before."""
        return self.same_as_main or self.record(nodeid) in self.records

    def write_down(self, folder: Path, passed: Iterable[str]) -> None:
        """That these tests passed, if what they were run with is still what the digest was made of."""
        names = [self.record(nodeid) for nodeid in passed]
        if not names or digest() != self.digest:
            return
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).touch()
        oldest = time.time() - _KEPT_DAYS * 86400
        for path in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another session is at it, too
                if path.stat().st_mtime < oldest:
                    path.unlink()
