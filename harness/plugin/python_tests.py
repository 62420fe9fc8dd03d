# SPDX-License-Identifier: Apache-2.0
"""What became of the tests in Python of a run, for its results and its report.

Scenarios write records of their own; without these a run whose test failed would be reported as passed.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.verdict import Verdict

_REASON_LENGTH = 500


def is_scenario_id(nodeid: str) -> bool:
    """Whether pytest's node id is that of a scenario of a file."""
    return nodeid.partition("::")[0].endswith(".toml")


def is_scenario(report: pytest.TestReport) -> bool:
    """Whether a report is a scenario's: the node id of what lies outside of the rootdir names no file."""
    return is_scenario_id(report.nodeid) or report.location[0].endswith(".toml")


class PythonTests:
    """A plugin of the session's process; with xdist, the controller's."""

    def __init__(self) -> None:
        self._records: dict[str, dict[str, Any]] = {}

    @property
    def records(self) -> list[dict[str, Any]]:
        """One a test, in the order of their end; what never ended is an error."""
        return [_ended(record) for record in self._records.values()]

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test."""
        if is_scenario(report):
            return
        record = self._records.setdefault(
            report.nodeid,
            {"kind": "test", "id": report.nodeid, "verdict": None, "reason": None, "seconds": 0.0},
        )
        record["seconds"] = round(record["seconds"] + report.duration, 3)
        verdict = _verdict(report)
        # What a later phase adds may be worse than what is known, never better.
        if verdict is not None and record["verdict"] in (None, Verdict.PASSED.value):
            record["verdict"] = verdict.value
            record["reason"] = None if verdict is Verdict.PASSED else _reason(report)


def _ended(record: dict[str, Any]) -> dict[str, Any]:
    if record["verdict"] is not None:
        return record
    return {**record, "verdict": Verdict.ERROR.value, "reason": "the run ended while this test was in flight"}


def _verdict(report: pytest.TestReport) -> Verdict | None:
    if report.failed:
        # As pytest has it: what fails outside of the test itself is an error.
        return Verdict.FAILED if report.when == "call" else Verdict.ERROR
    if report.skipped:
        return Verdict.SKIPPED
    return Verdict.PASSED if report.when == "call" else None


def _reason(report: pytest.TestReport) -> str | None:
    if isinstance(report.longrepr, tuple):  # a skip: file, line, reason
        return str(report.longrepr[2])
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else report.longreprtext
    return text.strip()[:_REASON_LENGTH] or None
