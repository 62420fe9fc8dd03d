# SPDX-License-Identifier: Apache-2.0
"""How reliable scenarios are: every attempt counted, on identical inputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.nights.statistics import Counts, all_tries
from harness.store.queries import Outcome, RunInfo


@dataclass(frozen=True, slots=True)
class Rate:
    """The failures of one scenario's content on one guest with one package, over all attempts of all runs.

    `retried` counts runs in which a later attempt passed where an earlier one had not.
    """

    key: str
    guest: str
    target: str
    counts: Counts
    retried: int

    @property
    def state(self) -> str:
        """flaky, broken, failing, or steady; the first needs both outcomes."""
        if self.counts.flaky:
            return "flaky"
        if self.counts.broken:
            return "broken"
        return "failing" if self.counts.failed else "steady"


def rates(runs: Iterable[RunInfo], outcomes: Iterable[Outcome]) -> list[Rate]:
    """Rates of all scenarios of some runs, those that fail most often first.

    Args:
        runs: the oldest first.
        outcomes: of these runs, in any order.
    """
    by_id = {run.id: run for run in runs}
    order = {number: place for place, number in enumerate(by_id)}
    grouped: dict[tuple[int, int, int, str], list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda one: order[one.run]):
        conditions = by_id[outcome.run].conditions
        inputs = (outcome.scenario, conditions.guest_id, conditions.target_id, outcome.key)
        grouped.setdefault(inputs, []).append(outcome)
    found = []
    for (_, _, _, key), members in grouped.items():
        conditions = by_id[members[-1].run].conditions
        counts = all_tries([one.tries for one in members])
        if counts.n:
            retried = sum(len(one.tries) > 1 and "passed" in one.tries for one in members)
            guest, package = conditions.kernel or conditions.recipe, (conditions.package or "")[:12]
            found.append(Rate(key, guest, f"{conditions.target} {package}".strip(), counts, retried))
    return sorted(found, key=lambda rate: (-rate.counts.failed / rate.counts.n, rate.key))
