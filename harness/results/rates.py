# SPDX-License-Identifier: Apache-2.0
"""What so many hits of so many tries say of a rate."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist


def wilson(hits: int, tries: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a rate; 0 to 1 where there is nothing to go by."""
    if tries == 0:
        return 0.0, 1.0
    # As scipy.stats has it, to which tests hold it: to import that takes longer than the gate may take.
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate, spread = hits / tries, z * z / tries
    middle = (rate + spread / 2) / (1 + spread)
    half = z * sqrt(rate * (1 - rate) / tries + spread / (4 * tries)) / (1 + spread)
    return 0.0 if hits == 0 else middle - half, 1.0 if hits == tries else middle + half
