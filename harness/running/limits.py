# SPDX-License-Identifier: Apache-2.0
"""How long a step and a scenario may take altogether; what one request may take is the step's own timeout.

A request that does not come back in its time hangs, and that is said of the driver.  A step of many requests,
or a scenario of many steps, may be too long although none of them hangs: that is said of the limit.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness.agent.pending import Pending
from harness.config import LimitsConfig
from harness.errors import LimitError
from harness.planning.planned import Plan, PlannedStep

#: Seconds between two looks beyond which this process was itself held up, as by Ctrl-Z: they do not count.
_HELD_UP = 2.0


@dataclass(frozen=True)
class Limits:
    """Seconds; None for none but the step's own timeout.  What a scenario says of itself counts first."""

    step: float | None = None
    scenario: float | None = None

    @classmethod
    def of(cls, config: LimitsConfig) -> Limits:
        """As the settings have them."""
        return cls(config.step_s, config.scenario_s)


class Watchdog:
    """Looks at the clock while somebody waits for the steps of one scenario.

    Args:
        limits: of the settings.
        planned: the scenario.
    """

    def __init__(self, limits: Limits, planned: Plan) -> None:
        self._step_limit = limits.step
        self._limit = planned.scenario.limit_s or limits.scenario
        self._spent = self._on_step = 0.0
        self._looked = time.monotonic()
        self._step: Pending | None = None

    def look(self, pending: Pending, step: PlannedStep) -> LimitError | None:
        """What is to be raised while this step is waited for; None: there is time."""
        now = time.monotonic()
        passed = min(now - self._looked, _HELD_UP)
        self._looked = now
        if self._step is not pending:
            self._step, self._on_step = pending, 0.0
        self._on_step += passed
        self._spent += passed
        own = step.step.limit_s if step.step is not None else None
        limit = own or self._step_limit
        if limit is not None and self._on_step > limit:
            return LimitError("step", limit)
        if self._limit is not None and self._spent > self._limit:
            return LimitError("scenario", self._limit)
        return None
