# SPDX-License-Identifier: Apache-2.0
"""junit.xml in the folder of a run: written beside an earlier one, and put in its place at the end.

pytest writes the file itself, also where it ran nothing at all: listing what there is, or a misspelt
selection, would leave an empty one in the place of a verdict.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from _pytest.junitxml import xml_key


class JunitFile:
    """The file that pytest was told to write; nothing where it was told none.

    Args:
        config: of a session's process that writes results.
        out: the directory of the run's results: other places are not ours to keep.
    """

    def __init__(self, config: pytest.Config, out: Path | None) -> None:
        self._config = config
        writer = config.stash.get(xml_key, None)
        path = Path(writer.logfile) if writer is not None else None
        ours = path is not None and out is not None and path.parent == out
        self._writer = writer if ours else None
        self._path = path if ours else None

    def set_aside(self) -> None:
        """From now on it is written beside."""
        if self._writer is not None and self._path is not None:
            self._writer.logfile = str(self._path.with_name(f".{self._path.name}.{os.getpid()}"))

    def put_in_place(self, *, ran: bool) -> None:
        """What was written replaces what was there, or goes, where nothing ran.

        Raises:
            OSError: it cannot be put there.
        """
        if self._writer is None or self._path is None:
            return
        beside = Path(self._writer.logfile)
        self._writer.logfile = str(self._path)
        if ran and beside.exists():
            beside.replace(self._path)
            return
        beside.unlink(missing_ok=True)
        if not ran:
            # pytest would name the file at its end as one that it has written.
            self._config.pluginmanager.unregister(self._writer)
            del self._config.stash[xml_key]
