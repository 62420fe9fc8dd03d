# SPDX-License-Identifier: Apache-2.0
"""The one observer of pytest's reports: what was selected, what has run, and what became of it.

The controller's view: it hears of everything, also of what a worker had in hand when it died.  A run is never
better than what it has heard of.  `kshs run` takes its exit code from it, the results their tests in Python
and what ended without a record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.plugin.report_words import (
    Told,
    is_ours,
    is_rerun,
    is_scenario,
    reason_of,
    requests_of,
    told_of,
    traceback_of,
    verdict_of,
)
from harness.verdict import Verdict, after_retry, worst
from vm.words import counted

NAME = "kshs-observer"
FLYING = "the run ended while this test was in flight"


@dataclass
class Item:
    """What was heard of one item; `ours` says that it is a scenario, or asked for a guest."""

    nodeid: str
    scenario: bool
    ours: bool = False
    seconds: float = 0.0
    told: Told | None = None
    reason: str | None = None
    traceback: str | None = None
    requests: list[dict[str, str]] = field(default_factory=list)
    before: Verdict | None = None
    now: Verdict | None = None

    @property
    def verdict(self) -> Verdict | None:
        """What stands after all attempts; None while nothing has ended."""
        if self.before is None or self.now is None:
            return self.now if self.before is None else self.before
        return after_retry(self.before, self.now)

    def hear(self, report: pytest.TestReport) -> None:
        """One phase of one attempt."""
        self.seconds = round(self.seconds + report.duration, 3)
        self.told = told_of(report) or self.told
        self.ours = self.ours or is_ours(report)
        verdict = verdict_of(report, self.scenario)
        if verdict is not None:
            was = self.verdict
            self.now = verdict if self.now is None else worst((self.now, verdict))
            if self.verdict is not was:
                self.reason = None if verdict is Verdict.PASSED else reason_of(report)
                self.traceback = traceback_of(report)
        if not self.scenario:
            self.requests = requests_of(report) or self.requests
        if is_rerun(report):
            # The next phase is of another attempt.
            self.before, self.now = self.verdict, None

    def record(self) -> dict[str, Any]:
        """Of a test in Python; what never ended is an error."""
        verdict, reason = self.verdict, self.reason
        if verdict is None:
            verdict, reason = Verdict.ERROR, FLYING
        return {
            "kind": "test",
            "id": self.nodeid,
            "verdict": verdict.value,
            "reason": reason,
            "seconds": self.seconds,
            "traceback": self.traceback,
            "requests": self.requests,
        }


@dataclass(eq=False)
class Observer:
    """A plugin of the session's process; with xdist, the controller's.

    `recorded` are the scenarios by verdict as they were read back from the results, None where there are
    none; `problem` is what is wrong with the run as a whole, `interrupted` that somebody ended it (Ctrl-C).
    """

    items: dict[str, Item] = field(default_factory=dict)
    selected: set[str] = field(default_factory=set)
    uncollected: int = 0
    ran: bool = False
    recorded: Counter[str] | None = None
    problem: str | None = None
    interrupted: bool = False
    _tried_again: set[str] = field(default_factory=set)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Items are about to run, and not only to be shown."""
        option = session.config.option
        given_up = session.testsfailed and not option.continue_on_collection_errors
        self.ran = not (given_up or option.collectonly or option.setuponly or option.setupplan)
        if self.ran:
            self.selected.update(item.nodeid for item in session.items)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Ctrl-C here or in a worker; pytest's own reasons to stop come this way, too."""
        ctrl_c = type(excinfo.value) is KeyboardInterrupt or "keyboard-interrupt" in str(excinfo.value)
        self.interrupted = self.interrupted or ctrl_c

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """The controller of workers has no items of its own."""
        self.selected.update(ids)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that could not be read."""
        if report.failed:
            self.uncollected += 1

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, None, None]:
        """One phase of one item."""
        if is_rerun(report):
            self._tried_again.add(report.nodeid)
        elif report.when == "teardown" and report.nodeid in self._tried_again:
            # To JUnit a teardown ends an entry: each attempt would get one of its own, and this one, which
            # says nothing of how the attempt ended, would count as passed.
            self._tried_again.discard(report.nodeid)
            report.when = "setup"
        try:
            yield
        finally:
            item = self.items.setdefault(report.nodeid, Item(report.nodeid, is_scenario(report)))
            item.hear(report)

    # ---- what became of it ---------------------------------------------------

    @property
    def scenarios(self) -> list[Item]:
        """The scenarios of which something was heard."""
        return [item for item in self.items.values() if item.scenario]

    @property
    def tests(self) -> list[dict[str, Any]]:
        """The records of tests in Python, in the order of their end."""
        return [item.record() for item in self.items.values() if not item.scenario]

    @property
    def verdicts(self) -> Counter[Verdict]:
        """Scenarios and tests by verdict, as pytest has reported them."""
        return Counter(item.verdict for item in self.items.values() if item.verdict is not None)

    def missing(self) -> list[str]:
        """What was selected and did not run to its end."""
        ended = {nodeid for nodeid, item in self.items.items() if item.verdict is not None}
        return sorted(self.selected - ended)

    def shortfall(self, more: Iterable[str] = ()) -> str | None:
        """Says what has not run of all that was to run; None: nothing, or nothing was to run at all."""
        if not self.ran:
            return None
        said = []
        if self.uncollected:
            said.append(f"{counted(self.uncollected, 'file')} could not be read")
        missing = len(self.missing())
        if missing:
            said.append(f"{missing} of {len(self.selected)} that were selected did not run")
        return "; ".join([*said, *more]) or None
