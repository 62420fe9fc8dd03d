# SPDX-License-Identifier: Apache-2.0
"""What one of pytest's reports says, in verdicts: of a scenario, or of a test in Python."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from harness.verdict import Verdict, worst

_REASON_LENGTH = 500
#: Characters of a test's traceback, and of all that it sent, that go into results.
_TRACEBACK_LENGTH, _REQUESTS_LENGTH = 20_000, 50_000
#: How the sections of a report begin that hold what a test in Python sent.
REQUEST = "handshake "
#: Attribute of a scenario's report, carried from worker to controller as plain JSON.
ATTRIBUTE = "kshs_told"
#: The same of a test in Python that asks for a guest: it is part of our results, whatever came of it.
_OURS = "kshs_ours"
_FAULT = "kshs_fault"


@dataclass(frozen=True)
class Told:
    """What whoever ran a scenario put on record: under which key, with how many steps.

    `unrecorded` says why it is not on record.
    """

    key: str
    verdict: Verdict
    steps: int
    reason: str | None = None
    unrecorded: str | None = None


def tell(report: pytest.TestReport, told: Told) -> None:
    """Sends it with the report."""
    fields = {**told.__dict__, "verdict": told.verdict.value}
    setattr(report, ATTRIBUTE, fields)


def told_of(report: pytest.TestReport) -> Told | None:
    """What was sent with a report; None where nothing was."""
    fields = getattr(report, ATTRIBUTE, None)
    if not isinstance(fields, dict):
        return None
    return Told(**{**fields, "verdict": Verdict(fields["verdict"])})


def claim(report: pytest.TestReport) -> None:
    """A test in Python asked for a guest: the report says so, also to another process."""
    setattr(report, _OURS, True)


def blame_driver(report: pytest.TestReport) -> None:
    """What failed is the driver, in whichever phase of a test in Python."""
    setattr(report, _FAULT, True)


def as_told(report: pytest.TestReport) -> None:
    """What failed in set-up or teardown is an error to pytest, JUnit and xdist; not so a driver's fault.

    To be called when the report goes out: plugins that look at it while it is made count phases.
    """
    if getattr(report, _FAULT, False) is True:
        report.when = "call"


def is_ours(report: pytest.TestReport) -> bool:
    """Whether it is of a scenario or of a test that asked for a guest."""
    return is_scenario(report) or getattr(report, _OURS, False) is True


def is_scenario_id(nodeid: str) -> bool:
    """Whether pytest's node id is that of a scenario of a file."""
    return nodeid.partition("::")[0].lower().endswith(".toml")


def is_scenario(report: pytest.TestReport) -> bool:
    """Whether a report is a scenario's."""
    return is_scenario_id(report.nodeid)


def is_rerun(report: pytest.TestReport) -> bool:
    """Whether it ends an attempt that another one follows (pytest-rerunfailures)."""
    return str(report.outcome) == "rerun"


def verdict_of(report: pytest.TestReport, scenario: bool) -> Verdict | None:
    """What one phase says; None for one that says nothing by itself.

    A scenario's own verdict and pytest's outcome are the same thing said twice: where they differ, the worse
    one counts.
    """
    by_outcome = _by_outcome(report)
    if not scenario or by_outcome is None:
        return by_outcome
    said = dict(report.user_properties).get("verdict")
    told = told_of(report)
    known = [Verdict(str(said))] if said else []
    known += [told.verdict] if told is not None else []
    if not known:
        return by_outcome if by_outcome in (Verdict.PASSED, Verdict.SKIPPED) else Verdict.ERROR
    if by_outcome is Verdict.FAILED:  # pytest's one word for failed, crashed and hung
        return worst([*known, *([] if any(v.is_driver_fault for v in known) else [Verdict.ERROR])])
    return worst([*known, by_outcome])


def _by_outcome(report: pytest.TestReport) -> Verdict | None:
    if report.failed or is_rerun(report):
        # As pytest has it: what fails outside of the test itself is an error.
        return Verdict.FAILED if report.when == "call" else Verdict.ERROR
    if report.skipped:
        return Verdict.SKIPPED
    return Verdict.PASSED if report.when == "call" else None


def reason_of(report: pytest.TestReport) -> str | None:
    """Why it failed or was skipped, in the words of the report."""
    if isinstance(report.longrepr, tuple):  # a skip: file, line, reason
        return str(report.longrepr[2])
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else report.longreprtext
    return text.strip()[:_REASON_LENGTH] or None


def traceback_of(report: pytest.TestReport) -> str | None:
    """Where a test in Python failed; the end, which is where it is said, if it is long."""
    if not report.failed:
        return None
    return str(report.longrepr)[-_TRACEBACK_LENGTH:].strip() or None


def requests_of(report: pytest.TestReport) -> list[dict[str, str]]:
    """What the fixture `handshake` sent in a test, and what came back, in the order in which it did."""
    found, left = [], _REQUESTS_LENGTH
    for title, text in report.sections:
        name = title.removeprefix("Captured ").removesuffix(" call")
        if name.startswith(REQUEST) and left > 0:
            found.append({"title": name, "text": text[:left]})
            left -= len(text)
    return found
