# SPDX-License-Identifier: Apache-2.0
"""Steps that count what drivers hold (docs/scenarios.md, "What is kept")."""

from __future__ import annotations

from harness.language.model import Counters, Scenario, Target
from harness.planning.connected import ConnectedPlanner
from harness.planning.planned import Answer, NotApplicable, Sizes

_TIMEOUT_MS = 30_000
#: What the client may make of its own between two counts: half of the least that is called a leak.
_MOST_OWN = 4


class CountingPlanner(ConnectedPlanner):
    """Plans them."""

    def __init__(self, scenario: Scenario, target: Target, sizes: Sizes) -> None:
        super().__init__(scenario, target, sizes)
        self._made_before: int | None = None

    def counters(self, step: Counters) -> None:
        """One count.

        Raises:
            NotApplicable: the client has made so much since the last one that it would look like a leak.
        """
        before, self._made_before = self._made_before, self.made_so_far
        if before is not None and self.made_so_far - before > _MOST_OWN:
            raise NotApplicable(
                f"target {self.target.name} is handed pointers, and what the client makes for them between"
                " two counts would be counted, too"
            )
        item = self.objects[step.on] if step.on is not None else None
        self.add(
            "count what is held" + (f", with {step.on}" if step.on is not None else ""),
            "COUNTERS",
            answer=Answer.COUNTERS,
            slot=item.slot if item is not None else self.encoder.constant("NO_SLOT"),
            out_length=self.encoder.constant("MAX_DATA"),
            timeout_ms=_TIMEOUT_MS,
        )
