# SPDX-License-Identifier: Apache-2.0
"""Counts of every attempt, Wilson's intervals, and what is flaky and what is broken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.nights.flakiness import Rate, rates
from harness.nights.statistics import Counts, wilson
from harness.store import queries
from harness.store.database import Store
from tests.harness.nights.folders import Case, Results

Take = Callable[..., str]


def all_rates(store: Store) -> list[Rate]:
    with store.reading() as connection:
        runs = queries.runs(connection)
        return rates(runs, queries.outcomes(connection, [run.id for run in runs]))


@pytest.mark.parametrize(
    ("verdicts", "failed", "n", "state"),
    [
        ("pppp", 0, 4, "steady"),
        ("pfpp", 1, 4, "flaky"),
        ("pfffp", 3, 5, "flaky"),
        ("pppffff", 4, 7, "broken"),
        ("fff", 3, 3, "failing"),
        ("ffff", 4, 4, "broken"),
        ("pespf", 1, 3, "flaky"),
    ],
)
def test_four_failures_in_a_row_are_broken_and_errors_count_for_nothing(
    store: Store, take: Take, verdicts: str, failed: int, n: int, state: str
) -> None:
    long = {"p": "passed", "f": "failed", "e": "error", "s": "skipped"}
    take(*(Results(night=night, cases=[Case("x", long[v])]) for night, v in enumerate(verdicts)))
    (rate,) = all_rates(store)
    assert (rate.counts.failed, rate.counts.n, rate.state) == (failed, n, state)


def test_flaky_needs_both_outcomes_on_identical_inputs(store: Store, take: Take) -> None:
    take(Results(cases=[Case("x")]), Results(night=1, package="2" * 64, cases=[Case("x", "failed")]))
    take(Results(night=2, cases=[Case("x", "failed", content="c2")]))
    assert {rate.state for rate in all_rates(store)} == {"steady", "failing"}
    assert len(all_rates(store)) == 3


def test_a_pass_by_a_retry_stays_visible(store: Store, take: Take) -> None:
    take(Results(cases=[Case("x", "failed", attempts=("failed", "passed", "passed"))]))
    (rate,) = all_rates(store)
    assert (rate.counts.failed, rate.counts.n, rate.retried, rate.state) == (1, 3, 1, "flaky")


def test_the_interval_is_wilson_s() -> None:
    """Wilson 1927, as in Brown, Cai, DasGupta 2001, table of the limits for n = 10."""
    assert wilson(Counts(0, 10)) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(Counts(5, 10)) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(Counts()) == (0.0, 1.0)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_the_closed_form_is_scipy_s(confidence: float) -> None:
    from scipy.stats import binomtest

    for n in (1, 2, 3, 7, 30, 1000):
        for failed in {0, 1, n // 3, n // 2, n - 1, n}:
            theirs = binomtest(failed, n).proportion_ci(confidence_level=confidence, method="wilson")
            assert wilson(Counts(failed, n), confidence) == pytest.approx(
                (theirs.low, theirs.high), abs=1e-12
            )
