# SPDX-License-Identifier: Apache-2.0
"""A no for what the driver did, and for what is new, flaky, or past its date."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from harness.nights.baseline import usable
from harness.store import accepting, queries
from tests.harness.gate.changes import (
    COMPARISON,
    COVERAGE,
    EVIDENCE,
    FAILURES,
    FLAKES,
    KNOWN,
    No,
    changed,
    damaged,
    drop,
    elsewhere,
    failing,
    fewer,
    is_no,
    issue,
    known,
    partial_failure,
    policy,
    quarantined,
)
from tests.harness.gate.scene import NOW, WRONG, Scene

#: Of one request.
OTHER_VALUE = {"requests": ({"information": 64},)}


def in_between(scene: Scene) -> None:
    """A build between the released package and the candidate: its second run has another value."""
    first = scene.run("mid1", hours=7.5, package="5" * 64)
    second = replace(first, id="mid2", hours=7, cases=scene.cases(two=OTHER_VALUE))
    scene.runs = {"mid1": first, "mid2": second, **scene.runs}


def accept(scene: Scene, run: str) -> None:
    """Somebody accepts what a run got."""
    with scene.store.writing() as connection:
        found = queries.find_run(connection, run)
        outcomes = usable(queries.outcomes(connection, [found.id]))
        answers = {one.scenario: one.answers for one in outcomes if one.answers is not None}
        accepting.accept(connection, found.id, answers, who="ana", why="looked at", pattern="*")


CASES = [  # ---- failures
    No("a new failure", {FAILURES, COMPARISON}, r"relay\.two failed in run new1", before=failing(two=WRONG)),
    No(
        "a failure in one run alone",
        {FAILURES},
        r"relay\.two failed in run new2",
        before=failing("new2", two=WRONG),
    ),
    No("a crash", {FAILURES, COMPARISON}, "crashed", before=failing(two={"verdict": "crashed"})),
    No("a hang", {FAILURES, COMPARISON}, "hung", before=failing(two={"verdict": "hung"})),
    No(
        "a pass by a retry",
        {FAILURES},
        "before the last",
        before=failing(two={"verdict": "passed", "attempts": ("failed", "passed")}),
    ),
    No("a failure in a run that does not count", {FAILURES, COVERAGE}, "in run new1", before=partial_failure),
    No("a failure on a guest that nobody asked for", {FAILURES}, "in run else", before=elsewhere),
    No(
        "the released package fails as well",
        {FAILURES},
        r"relay\.two failed",
        before=failing("old1", "old2", "new1", "new2", two=WRONG),
    ),
    No(
        "a known issue where the policy takes none",
        {FAILURES, COMPARISON},
        r"relay\.two failed",
        before=lambda s: (s.fail(two=WRONG), known(issue())(s)),
    ),
    # ---- against the released package
    No(
        "a changed characteristic",
        {COMPARISON},
        r"information 32 -> 64",
        before=failing(two={"requests": ({"information": 64},)}),
    ),
    No(
        "a test in Python that is gone",
        {COMPARISON},
        "missing",
        before=changed("old1", "old2", tests={"test_a.py::test_b": "passed"}),
    ),
    No("what passed is skipped", {COMPARISON}, "now skipped", before=failing(two={"verdict": "skipped"})),
    No(
        "the released package was not run",
        {COMPARISON},
        "was not run on the same inputs",
        before=drop("old1", "old2"),
    ),
    No(
        "the released package was run on another kernel",
        {COMPARISON},
        "was not run on the same inputs",
        before=changed("old1", "old2", kernel="Wine 10.0 as NT 6.1.7601"),
    ),
    No(
        "the released package was run in part",
        {COMPARISON},
        "was not run on the same inputs",
        before=fewer("old1", "old2"),
    ),
    No(
        "the released package cannot be read",
        {COMPARISON},
        "released",
        after=lambda s: (s.released / "relay.cat").unlink(),
    ),
    No("lines of a run could not be read", {COVERAGE, EVIDENCE}, "could not be read", before=damaged),
    No(
        "a field that has become unsteady",
        {COMPARISON},
        "information: 32 or 64 on identical inputs, and never before",
        before=failing("new2", two={"requests": ({"information": 64},)}),
    ),
    No(
        "the released package is this very package",
        {COMPARISON},
        "names this very package as the released one",
        before=policy('package = "released"', 'package = "candidate"'),
    ),
    No(
        "a value that a build in between had now and then",
        {COMPARISON},
        r"information 32 -> 64",
        before=lambda s: (s.fail(two=OTHER_VALUE), in_between(s)),
    ),
    No(
        "a field that has become unsteady with a build in between",
        {COMPARISON},
        "information: 32 or 64 on identical inputs, and never before",
        before=lambda s: (s.fail("new2", two=OTHER_VALUE), in_between(s)),
    ),
    No(
        "a value that is accepted, and was another now and then with a build in between",
        {COMPARISON},
        r"information 32 -> 64",
        before=lambda s: (s.fail(two=OTHER_VALUE), in_between(s)),
        after=lambda s: accept(s, "old1"),
    ),
    # ---- flakes and what is known
    No(
        "too few attempts to say how flaky",
        {FLAKES},
        "6 attempts are too few",
        before=policy("suite = 0.7", "suite = 0.05"),
    ),
    No(
        "an expired quarantine",
        {KNOWN},
        r"quarantine of relay\.two \(bo\) expired",
        before=known(quarantined(expires=(NOW - timedelta(days=1)).date())),
    ),
    No(
        "an expired known issue",
        {KNOWN},
        r"KS-1 \(ana\) expired",
        before=lambda s: known(issue(expires=(NOW - timedelta(days=1)).date()))(s),
    ),
]


@pytest.mark.parametrize("case", [pytest.param(one, id=one.name) for one in CASES])
def test_it_is_a_no(scene: Scene, case: No) -> None:
    is_no(scene, case)
