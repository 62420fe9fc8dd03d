# SPDX-License-Identifier: Apache-2.0
"""What being watched costs: measured in turns, and held against its goal."""

from __future__ import annotations

import pytest

from harness.bench.tracing import compared, in_turns


def test_each_comes_first_in_turn() -> None:
    order: list[str] = []

    def loop(name: str, rate: float) -> float:
        order.append(name)
        return rate

    plain, watched = in_turns(lambda: loop("plain", 100.0), lambda: loop("watched", 97.0), 3)
    assert order == ["plain", "watched", "watched", "plain", "plain", "watched"]
    assert (plain, watched) == ([100.0] * 3, [97.0] * 3)


@pytest.mark.parametrize(
    ("watched", "met", "got"),
    [([97.0, 90.0, 98.0], True, "3.0%"), ([90.0], False, "10.0%"), ([104.0], True, "-4.0%")],
)
def test_the_median_counts(watched: list[float], met: bool, got: str) -> None:
    said = compared([100.0, 100.0, 80.0], watched)
    assert (said["goal"]["met"], said["goal"]["got"]) == (met, got)
