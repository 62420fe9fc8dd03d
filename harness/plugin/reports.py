# SPDX-License-Identifier: Apache-2.0
"""pytest's reports, made to say what is known: verdicts as outcomes, and what stands after all attempts."""

from __future__ import annotations

from typing import Any

import pytest

from harness.plugin.items import ScenarioFailed, ScenarioItem
from harness.plugin.report_words import blame_driver, tell
from harness.plugin.state import INFRASTRUCTURE
from harness.running.driver_fault import DriverFaultError
from harness.verdict import Verdict

#: Of a test in Python that uses a guest: what its first failure looked like.
_FAILED = pytest.StashKey[Any]()


def scenario_report(
    item: ScenarioItem, call: pytest.CallInfo[None], made: pytest.TestReport
) -> pytest.TestReport:
    """A scenario fails by its verdict alone: whatever else is raised is no driver's doing."""
    raised = call.excinfo.value if call.excinfo is not None else None
    made.__dict__.pop("wasxfail", None)
    if raised is None:
        made.outcome, made.longrepr = "passed", None
    elif isinstance(raised, pytest.skip.Exception | pytest.xfail.Exception):
        # The scenario's own verdict, or a mark's: that one is put on record.
        item.put_on_record(Verdict.SKIPPED, raised.msg or "no reason given")
        made.outcome = "skipped"
        if not isinstance(made.longrepr, tuple):
            made.longrepr = (str(item.path), item.line, raised.msg or "")
    elif isinstance(raised, ScenarioFailed):
        made.outcome = "failed"
    else:
        ours = isinstance(raised, INFRASTRUCTURE)
        text = str(raised) if ours else f"{type(raised).__name__}: {raised}"
        item.put_on_record(Verdict.ERROR, text)
        error_report(made, text)
    made.user_properties = list(item.user_properties)
    told = item.told
    if told is not None:
        tell(made, told)
    return made


def guest_test_report(
    item: pytest.Item, call: pytest.CallInfo[None], made: pytest.TestReport
) -> pytest.TestReport:
    """What a test in Python showed of a driver stands as well, however often it is tried.

    So does what a fixture of the test has shown of it before or after: pytest would call that an error.
    """
    if call.excinfo is not None and isinstance(call.excinfo.value, DriverFaultError):
        blame_driver(made)
    elif made.when != "call":
        return made
    if made.failed:
        item.stash.setdefault(_FAILED, made.longrepr)
    elif _FAILED in item.stash:
        made.outcome, made.longrepr = "failed", item.stash[_FAILED]
    return made


def error_report(made: pytest.TestReport, text: str) -> pytest.TestReport:
    """One line: where in pytest or in kshs it came from helps nobody mend a host."""
    made.__dict__.pop("wasxfail", None)
    made.outcome = "failed"
    made.longrepr = text
    if made.when == "call":
        # pytest, JUnit and xdist call a failure outside of the call phase an error.
        made.when = "setup"
    return made
