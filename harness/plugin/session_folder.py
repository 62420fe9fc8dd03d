# SPDX-License-Identifier: Apache-2.0
"""The folder in which the processes of one session leave their parts of the results, and what they share."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.agent.journal import Journal
from harness.plugin.run_log import RunLog, keep, keep_apart_from_results, name_of
from harness.results.folder import PARTS, claim
from harness.results.parts import PartWriter
from harness.results.run_files import ALIVE, session_of
from harness.results.run_files import name_of as file_name
from vm.files import UseMark, write_whole

_BROKEN = "broken"
_TAKEN = "taken"


class SessionFolder:
    """One in each process; all of a session speak of the same folder.

    Nothing is made before something is to be left there: a project that merely has kshs installed pays
    nothing for it.

    Args:
        out: the directory of the run's results, None where they are kept nowhere.
        worker: names this process.
        shared: the folder, where another process has made it, or an earlier session of the run.
        alone: whether this is the only process of the session.
        session: its number among those of the run, from 1.
        run: identity of the run, for the journal.
    """

    def __init__(
        self,
        out: Path | None,
        worker: str,
        shared: Path | None = None,
        *,
        alone: bool = True,
        session: int = 1,
        run: str = "",
    ) -> None:
        self._out = out
        self._worker = worker
        self._alone = alone
        self.session = session
        self._run = run
        self._mark: UseMark | None = None
        self._tests: PartWriter | None = None
        self._path = shared
        self._writer: PartWriter | None = None
        self._journal: Journal | None = None
        self._latch: str | None = None
        self._here: set[str] = set()
        self._log: RunLog | None = None

    def make(self) -> Path:
        """The folder, made where it is not there yet."""
        if self._path is None:
            if self._out is not None:
                claim(self._out)
                self._path = Path(tempfile.mkdtemp(prefix=PARTS, dir=self._out))
            else:
                self._path = Path(tempfile.mkdtemp(prefix="kshs-parts-"))
        if self._log is None:
            self._log = RunLog(self._path / name_of(self._worker))
            self._mark = _mark(self._path / ALIVE)
        return self._path

    @property
    def path(self) -> Path | None:
        """The folder where it was made."""
        return self._path

    def share(self) -> Path:
        """The folder, for further processes: from now on they are asked, too."""
        self._alone = False
        return self.make()

    @property
    def parts(self) -> list[Path]:
        """The parts of this session's results that there are."""
        return self._of_session("results")

    @property
    def journals(self) -> list[Path]:
        """What each process of this session was about to send."""
        return self._of_session("journal")

    def _of_session(self, kind: str) -> list[Path]:
        found = self._path.glob(f"{kind}-*.jsonl") if self._path is not None else ()
        return sorted(path for path in found if session_of(path) == self.session)

    @property
    def writer(self) -> PartWriter:
        """This process's part of the results."""
        if self._writer is None:
            self._writer = PartWriter(self.make() / file_name("results", self._worker, self.session))
        return self._writer

    @property
    def test_writer(self) -> PartWriter:
        """The same for tests in Python, of which the controller hears."""
        if self._tests is None:
            self._tests = PartWriter(self.make() / file_name("tests", self._worker, self.session))
        return self._tests

    @property
    def journal(self) -> Journal:
        """This process's journal."""
        if self._journal is None:
            path = self.make() / file_name("journal", self._worker, self.session)
            said = {"run": self._run, "session": self.session, "worker": self._worker}
            self._journal = Journal(path, said)
        return self._journal

    def write(self, record: Mapping[str, Any]) -> None:
        """One more record of this process."""
        self.writer.write(record)

    @property
    def durable_seconds(self) -> float:
        """Seconds that this process has spent on writing down what survives it."""
        return sum(it.seconds for it in (self._writer, self._tests, self._journal) if it is not None)

    # ---- what all processes know ------------------------------------------

    def take(self, nodeid: str) -> bool:
        """Takes an item for this process; False where one has taken it before.

        Several ways of handing items to workers give one out again when it has killed its worker, or give
        each to all of them.
        """
        if nodeid in self._here:
            return False
        self._here.add(nodeid)
        if self._alone:
            return True
        taken = self.make() / f"{_TAKEN}-{self.session}"
        taken.mkdir(exist_ok=True)
        name = hashlib.sha256(nodeid.encode("utf-8", errors="surrogatepass")).hexdigest()[:32]
        try:
            os.close(os.open(taken / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return False
        return True

    def latch(self, text: str) -> None:
        """From now on no guest can be had, here and in the other processes; the first reason stays."""
        if self.latched is not None:
            return
        self._latch = text
        with contextlib.suppress(OSError):
            write_whole(self.make() / self._broken, text)  # another worker may be reading

    @property
    def latched(self) -> str | None:
        """Why no guest can be had; None where it can, or nobody has tried."""
        if self._latch is None and self._path is not None and not self._alone:
            with contextlib.suppress(OSError):
                self._latch = (self._path / self._broken).read_text(encoding="utf-8")
        return self._latch

    @property
    def _broken(self) -> str:
        return f"{_BROKEN}-{self.session}"

    # ---- the end -----------------------------------------------------------

    def close(self) -> None:
        """Closes what this process writes; never raises."""
        for thing in (self._writer, self._tests, self._journal, self._mark):
            if thing is not None:
                with contextlib.suppress(Exception):
                    thing.close()
        self._writer = self._tests = self._journal = self._mark = None
        if self._log is not None:
            self._log.close()

    def keep_logs(self) -> None:
        """The logs of all processes, to the results; nothing where there are none to keep.

        Raises:
            OSError: they cannot be written there.
        """
        if self._out is not None and self._path is not None:
            keep(self._path, self._out)

    def keep_log_of_no_run(self) -> Path | None:
        """The log of a session in which nothing could run, beside what an earlier one has left; where it is.

        Raises:
            OSError: it cannot be written there.
        """
        if self._out is None or self._path is None:
            return None
        return keep_apart_from_results(self._path, self._out)

    def remove(self) -> None:
        """The folder goes; the latch stays known to this process."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
            self._path = None


def _mark(path: Path) -> UseMark:
    """Says, as long as this process lives, that somebody writes there."""
    path.touch(mode=0o600)
    return UseMark(path)
