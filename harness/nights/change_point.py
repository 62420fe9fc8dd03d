# SPDX-License-Identifier: Apache-2.0
"""Where a failure began, by counts alone: the posterior of a change point between two unknown rates.

Up to some candidate a scenario fails at one rate, from it on at a higher one; neither is known.  Both are
integrated out (Jeffreys' prior on each, on the condition that the second is the higher), so that the same
plays that look for the place also say how often it fails, and a rate that was measured badly makes the answer
less certain instead of wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[numpy.float64]

#: Rates of the grid; evenly spaced in the arc sine of their root, which is Jeffreys' prior.
_POINTS = 64


@dataclass(frozen=True)
class ChangePoint:
    """What the plays say.

    Args:
        likely: of each candidate the probability that the failure began there; together 1.
        before: of each, the rate at which those before it would fail then.
        after: the rate from it on.
    """

    likely: tuple[float, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]

    def gains(self) -> list[float]:
        """Of each candidate, how much one more play of it is expected to say of the place, in nats."""
        import numpy

        likely = numpy.asarray(self.likely)
        count = len(likely)
        # The row is the one that is played, the column where it began.
        is_bad = numpy.arange(count)[:, None] >= numpy.arange(count)[None, :]
        fails = numpy.where(is_bad, numpy.asarray(self.after), numpy.asarray(self.before))
        return [float(gain) for gain in _entropy(fails @ likely) - _entropy(fails) @ likely]


def change_point(failed: Sequence[int], passed: Sequence[int], weights: Sequence[float]) -> ChangePoint:
    """Where the failure began, as far as plays say it.

    Args:
        failed: plays that failed, of each candidate in their order.
        passed: those that passed.
        weights: how likely each was beforehand; 0 where it cannot have begun, as at the first.
    """
    import numpy

    rates, hit, miss = _grid()
    fails, passes = numpy.asarray(failed, float), numpy.asarray(passed, float)
    before_f, before_p = fails.cumsum() - fails, passes.cumsum() - passes
    low = numpy.outer(before_f, hit) + numpy.outer(before_p, miss)
    high = numpy.outer(fails.sum() - before_f, hit) + numpy.outer(passes.sum() - before_p, miss)
    tops = low.max(axis=1, keepdims=True), high.max(axis=1, keepdims=True)
    low, high = numpy.exp(low - tops[0]), numpy.exp(high - tops[1])
    below = low.cumsum(axis=1) - low  # of all rates that are lower than each
    above = high.sum(axis=1, keepdims=True) - high.cumsum(axis=1)
    evidence = numpy.maximum((high * below).sum(axis=1), numpy.finfo(float).tiny)
    with numpy.errstate(divide="ignore"):
        logs = numpy.log(evidence) + tops[0][:, 0] + tops[1][:, 0] + numpy.log(numpy.asarray(weights, float))
    likely = numpy.exp(logs - logs.max())
    found = likely / likely.sum(), (low * above) @ rates / evidence, (high * below) @ rates / evidence
    return ChangePoint(*(tuple(float(value) for value in row) for row in found))


def _entropy(rates: Floats) -> Floats:
    """Of plays that fail at these rates."""
    import numpy

    rates = numpy.clip(rates, 1e-12, 1 - 1e-12)
    entropy: Floats = -(rates * numpy.log(rates) + (1 - rates) * numpy.log1p(-rates))
    return entropy


@cache
def _grid() -> tuple[Floats, Floats, Floats]:
    """Rates, their logarithms, and the logarithms of what is left of each to 1."""
    import numpy

    rates = numpy.sin((numpy.arange(_POINTS) + 0.5) * numpy.pi / (2 * _POINTS)) ** 2
    return rates, numpy.log(rates), numpy.log1p(-rates)
