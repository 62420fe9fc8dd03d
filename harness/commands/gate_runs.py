# SPDX-License-Identifier: Apache-2.0
"""``kshs gate run --run``: what is missing is run as a user would run it, and kept."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.commands.options import say
from harness.errors import UsageError
from harness.results.seal import RESULTS
from harness.store.database import Store
from harness.store.importing import Importer
from harness.store.selftests import SELFTEST
from harness.store.selftests import take as take_selftest


def run_all(todo: Sequence[Sequence[str]], out: Path, store: Store, config: Path | None) -> None:
    """Runs commands of ``kshs``, one after the other; a failure of one is the gate's to judge.

    Args:
        todo: their words behind ``kshs``.
        out: the gate's directory; each has a folder of its own below it.
        store: that takes what they leave.
        config: of the user.
    """
    importer = Importer(store)
    taken = len(list(out.glob("run-*")))
    for number, words in enumerate(todo, start=taken + 1):
        folder = out / f"run-{number:03d}"
        command = [*words, "--out", str(folder), *(["--config", str(config)] if config is not None else [])]
        say(f"{number - taken} of {len(todo)}: kshs {shlex.join(command)}")
        done = subprocess.run([sys.executable, "-m", "harness.cli", *command], check=False)
        say(f"it ended with {done.returncode}")
        try:
            if (folder / SELFTEST).is_file():
                say(take_selftest(store, folder))
            if (folder / RESULTS).is_file():
                say(str(importer.take(folder)))
        except UsageError as error:
            say(str(error))
