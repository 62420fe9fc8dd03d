# SPDX-License-Identifier: Apache-2.0
"""What was selected, what has ended, and what ended without a result of its own.

The controller's view: it hears of everything, also of what a worker had in hand when it died.  A run is never
better than what it has heard of.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from harness.plugin.python_tests import is_scenario
from harness.verdict import Verdict
from vm.words import counted

#: The property of a scenario's report whose record could not be written: why.
UNRECORDED = "unrecorded"


@dataclass(frozen=True)
class Unrecorded:
    """What is known of a scenario of which nothing was written."""

    verdict: Verdict
    reason: str


class WhatRan:
    """A plugin of the session's process; with xdist, the controller's."""

    def __init__(self) -> None:
        self._ended: set[str] = set()
        self.uncollected = 0
        self.scenarios_ended = False
        #: Scenarios that ended with nothing written of them, by node id.
        self.unrecorded: dict[str, Unrecorded] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that could not be read."""
        if report.failed:
            self.uncollected += 1

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one item."""
        if report.when == "call" or not report.passed:
            self._ended.add(report.nodeid)
            if is_scenario(report):
                self.scenarios_ended = True
                self._look(report)

    def _look(self, report: pytest.TestReport) -> None:
        """Whoever writes a scenario's record gives its report the verdict."""
        said = dict(report.user_properties)
        if "verdict" in said and UNRECORDED not in said:
            return
        verdict = Verdict(str(said.get("verdict", Verdict.ERROR)))
        reason = said.get("reason")
        if not verdict.is_driver_fault:  # what speaks against a driver is told as it is
            verdict = Verdict.ERROR
            reason = said.get(UNRECORDED) or " ".join(report.longreprtext.split())
        self.unrecorded[report.nodeid] = Unrecorded(verdict, str(reason))

    def shortfall(self, session: pytest.Session) -> str | None:
        """Says what has not run of all that was to run; None: nothing, or nothing was to run at all."""
        option = session.config.option
        if option.collectonly or option.setuponly or option.setupplan:
            return None
        # The controller of workers has no items of its own, and knows their number.
        selected = len({item.nodeid for item in getattr(session, "items", ())}) or session.testscollected
        missing = max(0, selected - len(self._ended))
        said = []
        if self.uncollected:
            said.append(f"{counted(self.uncollected, 'file')} could not be read")
        if missing:
            said.append(f"{missing} of {selected} that were selected did not run")
        return "; ".join(said) or None
