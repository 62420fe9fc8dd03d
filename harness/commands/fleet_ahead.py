# SPDX-License-Identifier: Apache-2.0
"""What the cells of a night hold, collected in a process of its own while the night looks at its store and
its hosts.

Repeats of a cell hold the same and are collected once.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from harness.commands.fleet_items import Collected
    from harness.commands.nightly import Cell
    from harness.commands.run import Selection
    from harness.config import Config

#: Guest, target and suite: what cells that hold the same have in common.
_Key = tuple[str, str, str]
#: Seconds that a process has to end which was told to.
_ENDING = 5.0


def selection_of(cell: Cell, given: Path | None) -> Selection:
    """What a cell selects; ``given``: the settings that the command line named."""
    from harness.commands.run import Selection

    suite = cell.selection
    return Selection(
        paths=tuple(suite.paths),
        keyword=suite.k,
        rules=tuple(suite.rule),
        routes=tuple(suite.route),
        tags=tuple(suite.tag),
        ids=tuple(suite.id),
        guest=cell.guest,
        target=cell.target,
        config=given,
    )


class Ahead:
    """A context manager; nothing is begun outside of it.

    Args:
        cells: of the night.
        config: the settings.
        given: those that the command line named.
    """

    def __init__(self, cells: Sequence[Cell], config: Config, given: Path | None) -> None:
        self._config = config
        self._given = given
        self._first: dict[_Key, Cell] = {}
        for cell in cells:
            self._first.setdefault(_key(cell), cell)
        self._found: dict[_Key, Collected | HarnessError] = {}
        self._process: Any = None
        self._from: Connection | None = None

    def __enter__(self) -> Ahead:
        # Forked: what is imported by now need not be again, and no thread has been begun yet.  Only the other
        # process imports pytest.
        context = multiprocessing.get_context("fork")
        self._from, to = context.Pipe(duplex=False)
        self._process = context.Process(target=self._collect_all, args=(to,), daemon=True)
        self._process.start()
        to.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._from is not None:
            self._from.close()
        self._process.terminate()
        self._process.join(_ENDING)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def of(self, cell: Cell) -> Collected:
        """What a cell holds.

        Raises:
            UsageError: nothing is selected, a word is wrong, or a file cannot be read.
            HarnessError: it cannot be collected.
        """
        key = _key(cell)
        while key not in self._found and self._from is not None:
            try:
                said = self._from.recv()
            except (EOFError, OSError):  # it was killed, say
                self._from.close()
                self._from = None
                break
            self._found[said[0]] = said[1]
        if key not in self._found:
            self._found[key] = self._collected(self._first[key])
        found = self._found[key]
        if isinstance(found, HarnessError):
            raise found
        return found

    def _collect_all(self, to: Connection) -> None:
        # Ctrl-C is its parent's business, which then ends it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with contextlib.suppress(Exception):  # whatever it is, whoever asks finds it again
            for key, cell in self._first.items():
                to.send((key, self._collected(cell)))
            to.close()

    def _collected(self, cell: Cell) -> Collected | HarnessError:
        from harness.commands.fleet_items import collect

        try:
            return collect(selection_of(cell, self._given), self._config)
        except UsageError as error:
            return UsageError(str(error))
        except HarnessError as error:
            return HarnessError(str(error))


def _key(cell: Cell) -> _Key:
    return cell.guest, cell.target, cell.suite
