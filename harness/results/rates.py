# SPDX-License-Identifier: Apache-2.0
"""What so many hits of so many tries say of a rate."""

from __future__ import annotations


def wilson(hits: int, tries: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a rate; 0 to 1 where there is nothing to go by."""
    if tries == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest  # takes its time: only where a number is asked for

    found = binomtest(hits, tries).proportion_ci(confidence_level=confidence, method="wilson")
    return float(found.low), float(found.high)
