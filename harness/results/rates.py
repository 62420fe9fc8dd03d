# SPDX-License-Identifier: Apache-2.0
"""What so many hits of so many tries say of a rate."""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from statistics import NormalDist


@lru_cache(maxsize=4096)
def wilson(hits: int, tries: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a rate; 0 to 1 where there is nothing to go by.

    The closed form (Wilson 1927), since importing SciPy for it takes longer than all that asks for it.
    """
    if tries == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate, share = hits / tries, z * z / tries
    middle = (rate + share / 2) / (1 + share)
    half = z / (1 + share) * sqrt(rate * (1 - rate) / tries + share / (4 * tries))
    return (0.0 if hits == 0 else max(0.0, middle - half)), (
        1.0 if hits == tries else min(1.0, middle + half)
    )
