# SPDX-License-Identifier: Apache-2.0
"""How often something failed, and what that says: counts, Wilson intervals, Fisher's exact test.

SciPy is imported where a number is asked for: two single runs need none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from harness.results import rates
from harness.verdict import Verdict

#: Below this a difference is claimed.
SIGNIFICANT = 0.05
#: So many failures in a row are no flake.
BROKEN = 4
_TELLING = frozenset({Verdict.PASSED, Verdict.FAILED, Verdict.CRASHED, Verdict.HUNG})


@dataclass(frozen=True, slots=True)
class Counts:
    """Attempts that speak of the driver: of `n`, `failed` failed, crashed or hung; `row` at the very end."""

    failed: int = 0
    n: int = 0
    row: int = 0

    @classmethod
    def of(cls, verdicts: Iterable[str]) -> Counts:
        """From the verdicts of attempts, the oldest first; skipped ones and errors of ours say nothing."""
        telling = [Verdict(verdict) for verdict in verdicts if verdict in _TELLING]
        row = 0
        for verdict in reversed(telling):
            if not verdict.is_driver_fault:
                break
            row += 1
        return cls(sum(verdict.is_driver_fault for verdict in telling), len(telling), row)

    @property
    def mixed(self) -> bool:
        """Whether both outcomes are among them."""
        return 0 < self.failed < self.n

    @property
    def broken(self) -> bool:
        """Whether the last `BROKEN` failed: whatever was before, it does not flake now."""
        return self.row >= BROKEN

    @property
    def flaky(self) -> bool:
        """Both outcomes, and not simply broken by now."""
        return self.mixed and not self.broken

    def __str__(self) -> str:
        return f"{self.failed} of {self.n}"


NO_COUNTS = Counts()


def wilson(counts: Counts, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of the rate of failures; 0 to 1 where there is nothing to go by."""
    return rates.wilson(counts.failed, counts.n, confidence)


def fisher(before: Counts, now: Counts) -> float:
    """The chance of so many more failures now by chance alone: Fisher's exact test, one-sided."""
    from scipy.stats import fisher_exact

    table = [[now.failed, now.n - now.failed], [before.failed, before.n - before.failed]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def could_tell(before: Counts, now: Counts) -> bool:
    """Whether the samples are large enough that a driver which always fails would show."""
    return now.n > 0 and fisher(before, Counts(now.n, now.n)) < SIGNIFICANT


def all_tries(tries: Sequence[tuple[str, ...]]) -> Counts:
    """Counts over all attempts of several runs, the oldest first."""
    return _counts(tuple(verdict for run in tries for verdict in run))


@lru_cache(maxsize=1024)
def _counts(verdicts: tuple[str, ...]) -> Counts:
    """Most scenarios of most nights have one attempt, which passed."""
    return Counts.of(verdicts)
