# SPDX-License-Identifier: Apache-2.0
"""Counting what drivers hold (docs/scenarios.md, "What is kept"), and instances of pins that are closed."""

from __future__ import annotations

from harness.contract.callbacks import OpenObject
from harness.language.model import Counters, Scenario, Side, Target
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

    def count_closed(self, item: OpenObject, *, kept: bool) -> None:
        """An object is closed: of a pin the driver sees it before the next step, unless it is held elsewhere.

        A connection holds its sink, a request under way its pin, and user mode's handles go another way.
        """
        if item.pin is None:
            return
        handles = sum(other is item or other.origin is item for other in self.objects.values())
        held = kept or item.closed or item.connected or item.origin is not None or handles > 1
        asked = any(flying.touches(item) for flying in self.in_flight.values())
        self.calls.closed(item.pin, sure=item.side is Side.KERNEL and not held and not asked)
