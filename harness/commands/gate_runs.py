# SPDX-License-Identifier: Apache-2.0
"""``kshs gate run --run``: what is missing is run as a user would run it, and kept."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from harness import guest_text
from harness.commands.options import say
from harness.errors import UsageError
from harness.results.seal import RESULTS
from harness.store.database import Store
from harness.store.importing import Importer
from harness.store.selftests import SELFTEST
from harness.store.selftests import take as take_selftest

_FOLDER = re.compile(r"run-([0-9]{1,9})")


def run_all(
    todo: Sequence[Sequence[str]], out: Path, store: Store, config: Path | None, *, quiet: bool = False
) -> None:
    """Runs commands of ``kshs``, one after the other; a failure of one is the gate's to judge.

    Args:
        todo: their words behind ``kshs``.
        out: the gate's directory; each has a folder of its own below it.
        store: that takes what they leave.
        config: of the user.
        quiet: whether stdout is for a program: what is told goes to stderr then.
    """
    importer = Importer(store)
    # One of them may have been removed, and none is written over.
    taken = max(
        (int(found[1]) for path in out.iterdir() if (found := _FOLDER.fullmatch(path.name))), default=0
    )
    tell = _to_stderr if quiet else say
    for number, words in enumerate(todo, start=taken + 1):
        folder = out / f"run-{number:03d}"
        command = [*words, "--out", str(folder), *(["--config", str(config)] if config is not None else [])]
        tell(f"{number - taken} of {len(todo)}: kshs {shlex.join(command)}")
        words_of_all = [sys.executable, "-m", "harness.cli", *command]
        done = subprocess.run(words_of_all, check=False, stdout=2 if quiet else None)
        tell(f"it ended with {done.returncode}")
        try:
            if (folder / SELFTEST).is_file():
                tell(take_selftest(store, folder))
            if (folder / RESULTS).is_file():
                tell(str(importer.take(folder)))
        except UsageError as error:
            tell(str(error))


def _to_stderr(line: str) -> None:
    typer.echo(guest_text.lines(line, 20_000), err=True)
