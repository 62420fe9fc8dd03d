# SPDX-License-Identifier: Apache-2.0
"""One ranking of verdicts, for a run, a report, an exit code and a retry."""

from __future__ import annotations

import itertools

import pytest

from harness.verdict import SEVERITY, Verdict, after_retry, worst


def test_every_verdict_has_its_place() -> None:
    assert sorted(SEVERITY) == sorted(Verdict)


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ((), Verdict.SKIPPED),
        ((Verdict.SKIPPED, Verdict.PASSED), Verdict.PASSED),
        ((Verdict.PASSED, Verdict.ERROR), Verdict.ERROR),
        ((Verdict.ERROR, Verdict.FAILED), Verdict.FAILED),
        ((Verdict.FAILED, Verdict.HUNG, Verdict.ERROR), Verdict.HUNG),
        ((Verdict.HUNG, Verdict.CRASHED), Verdict.CRASHED),
    ],
)
def test_what_is_known_of_a_driver_outranks_what_is_wrong_with_us(
    verdicts: tuple[Verdict, ...], whole: Verdict
) -> None:
    assert {worst(order) for order in itertools.permutations(verdicts)} == {whole}


@pytest.mark.parametrize("again", Verdict)
@pytest.mark.parametrize("first", Verdict)
def test_a_retry_mends_faults_of_ours_alone(first: Verdict, again: Verdict) -> None:
    stands = after_retry(first, again)
    if first.is_driver_fault:
        assert stands.is_driver_fault
        assert SEVERITY.index(stands) >= SEVERITY.index(first)
    else:
        assert stands is again
