# SPDX-License-Identifier: Apache-2.0
"""Messages of junit.xml that begin with the reason.

CI servers show the first line of a message.  pytest puts the whole text of a failure there, and before an
error the words "failed on setup with", which is where a failure of ours is reported and not where it was.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from _pytest.junitxml import bin_xml_escape, xml_key

from harness.plugin.lost import NOT_RUN
from harness.plugin.report_words import is_scenario

NAME = "kshs-junit"


class JunitMessages:
    """A plugin of the session's process, behind the one that writes junit.xml."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def add_unrun(self, nodeids: Iterable[str], reason: str) -> None:
        """Scenarios that could not be run because no guest can be had, as errors for that one reason.

        pytest hears of them nowhere else: it is said once.
        """
        xml = self._config.stash.get(xml_key, None)
        if xml is None:
            return
        for nodeid in nodeids:
            file, _, name = nodeid.rpartition("::")
            where = (file, None, name)
            report = pytest.TestReport(nodeid, where, {}, "failed", f"{NOT_RUN}{reason}", "setup")
            xml.pytest_runtest_logreport(report)
            self.pytest_runtest_logreport(report)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The message of a scenario's failure or error is the first line of its text."""
        xml = self._config.stash.get(xml_key, None)
        if xml is None or not report.failed or report.when == "teardown" or not is_scenario(report):
            return
        reason = bin_xml_escape(str(report.longrepr).strip().partition("\n")[0])
        for element in xml.node_reporter(report).nodes:
            if element.tag in ("failure", "error") and element.text == bin_xml_escape(str(report.longrepr)):
                element.set("message", reason)
