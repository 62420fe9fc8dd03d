# SPDX-License-Identifier: Apache-2.0
"""What the pytest plugin holds while a session lasts; each concern has a module of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.guests import GuestProvider
from harness.plugin.call import NAME as CALL
from harness.plugin.call import Call
from harness.plugin.earlier import Earlier
from harness.plugin.earlier import read as read_earlier
from harness.plugin.guests import INFRASTRUCTURE, Guests, LatchedError
from harness.plugin.observation import NAME, Observer
from harness.plugin.options import Options
from harness.plugin.run_record import RunRecord
from harness.plugin.session_folder import SessionFolder
from harness.results.parts import AGAIN, DURABLE
from harness.results.record import ScenarioResult
from harness.running.runner import Runner

__all__ = ["INFRASTRUCTURE", "STATE", "LatchedError", "PluginState"]

STATE = pytest.StashKey["PluginState"]()

#: Where a worker is told what the controller has made.
_PARTS, _RUN, _SESSION = "kshs_parts", "kshs_run", "kshs_session"


class PluginState:
    """One in each process of a session: the controller's and each xdist worker's.

    `problem` says why no results could be written, `shortfall` what of the run did not run,
    `log_of_no_run` where to look when no guest could be prepared, and `coverage` what was reached of drivers.

    Raises:
        UsageError: kshs.toml is wrong.
    """

    def __init__(self, config: pytest.Config) -> None:
        worker_input: Mapping[str, Any] | None = getattr(config, "workerinput", None)
        self.is_worker = worker_input is not None
        self.worker = str(worker_input["workerid"]) if worker_input else "main"
        self.options = Options(config)
        told: Mapping[str, Any] = worker_input or {}
        self.call: Call | None = config.pluginmanager.get_plugin(CALL)
        resumed = self.call.resumed if self.call is not None else None
        shared = Path(told[_PARTS]) if _PARTS in told else self.call.folder if self.call is not None else None
        session = int(told.get(_SESSION, self.call.session if self.call is not None else 1))
        self.run = RunRecord(self.options, told.get(_RUN), resumed)
        self.folder = SessionFolder(
            self.out, self.worker, shared, alone=not self.is_worker, session=session, run=self.run.id
        )
        self.guests = Guests(config, self.options, self.folder, self.run.id, self.worker)
        self._earlier: Earlier | None = None
        self.observer: Observer = config.pluginmanager.get_plugin(NAME) or Observer()
        self.selected = False
        self.problem: str | None = None
        self.interrupted = False
        self.shortfall: str | None = None
        self.log_of_no_run: Path | None = None
        self.records: list[dict[str, Any]] | None = None
        self.coverage: list[str] = []

    # ---- short ways ----------------------------------------------------------

    @property
    def out(self) -> Path | None:
        """The directory of the run's results."""
        return self.options.out

    @property
    def guest_name(self) -> str:
        """Recipe of the guest."""
        return self.options.guest_name

    @property
    def target_name(self) -> str:
        """As the user said it."""
        return self.options.target_name

    @property
    def provider(self) -> GuestProvider:
        """Of guests."""
        return self.guests.provider

    def runner(self) -> Runner:
        """The runner with a guest at hand; see `Guests.runner`."""
        return self.guests.runner()

    @property
    def earlier(self) -> Earlier:
        """What earlier sessions of the run left; nothing in the first.

        Raises:
            UsageError: a file of theirs is damaged.
        """
        if self._earlier is None:
            path, session = self.folder.path, self.folder.session
            resumed = path is not None and session > 1
            self._earlier = read_earlier(path, session) if resumed and path is not None else Earlier()
        return self._earlier

    # ---- items ---------------------------------------------------------------

    def may_run(self, nodeid: str) -> bool:
        """Whether an item that needs a guest is to be run now: not without one, and each once.

        Where no guest can be had that was said once; to say it of each item would say nothing more.
        """
        if self.folder.latched is not None:
            return False
        if self.folder.take(nodeid):
            return True
        with contextlib.suppress(OSError):
            self.folder.write({"kind": AGAIN, "id": nodeid})
        return False

    def begin(self, result: ScenarioResult, order: int) -> None:
        """A scenario is about to run."""
        self.folder.writer.write_begun(result, order=order, worker=self.worker)

    def write(self, result: ScenarioResult, order: int) -> None:
        """One scenario's lines."""
        self.folder.writer.write_scenario(result, order=order, worker=self.worker)

    # ---- the session -----------------------------------------------------------

    def tell_worker(self, told: dict[str, Any]) -> None:
        """What a worker needs to know of this session."""
        if not self.options.only_lists:
            told[_PARTS] = str(self.folder.share())
        told[_RUN], told[_SESSION] = self.run.id, self.folder.session

    def finish(self) -> list[dict[str, Any]] | None:
        """The results of all processes (`RunRecord.finish`); logs are kept where results are.

        So is the log of a run that could not begin, beside an earlier run's results.
        """
        wrote, latched = True, self.folder.latched
        try:
            self.records = self.run.finish(
                self.folder, self.observer, self.guests, self.earlier, latched=latched
            )
            wrote = self.records is not None
        finally:
            with contextlib.suppress(OSError):  # where nothing can be written, the results say so
                if wrote and self.observer.ran:
                    self.folder.keep_logs()
                elif latched is not None:
                    self.log_of_no_run = self.folder.keep_log_of_no_run()
        return self.records

    @property
    def can_go_on(self) -> bool:
        """Whether the run has not ended and another session can go on with it.

        Not where nothing of it has run: that costs nothing to begin anew.
        """
        if self.call is None or self.folder.path is None:
            return False
        begun = self.folder.session > 1 or any(part.stat().st_size for part in self.folder.parts)
        ended = not self.observer.missing() and self.folder.latched is None and self.problem is None
        return begun and not (self.observer.ran and self.observer.selected and ended)

    def close(self) -> None:
        """Gives everything back; never raises."""
        if self.is_worker:
            with contextlib.suppress(Exception):
                self.guests.write_missing_calls()
            with contextlib.suppress(Exception):
                self.guests.write_memory()
            with contextlib.suppress(Exception):
                if self.folder.durable_seconds:
                    self.folder.write({"kind": DURABLE, "seconds": self.folder.durable_seconds})
        self.guests.close()
        self.folder.close()
