# SPDX-License-Identifier: Apache-2.0
"""Trips: sequences sent to one lease as scenarios are, several at a time, the next before the answers.

What comes back is judged by the very functions that judge scenarios (`harness.running`).  A lease is used
again as `harness.running.runner` would: after a trip whose steps have all answered and whose cleaning up was
read to its end.  After anything else it is thrown away, and what was on its way to it goes to the next one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.agent.encode import Encoder
from harness.agent.session import MARGIN, AgentSession
from harness.errors import UsageError
from harness.evidence.wine_crash import DriverSymbols
from harness.fuzzing.composing import Composed
from harness.fuzzing.draft import Draft
from harness.fuzzing.feedback import Coverage, CoverageSource
from harness.fuzzing.in_flight import InFlight
from harness.guests import Guest, GuestProvider, KnowsCalls, KnowsFiles
from harness.planning.plan import plan
from harness.planning.planned import NotApplicable, Plan
from harness.results.record import ScenarioResult, StepResult
from harness.running.answers import Answers, collect, tidy
from harness.running.attribution import Attribution
from harness.running.doubts import failed
from harness.running.ended import Ended
from harness.running.flight import Flight
from harness.running.lease import LeaseInUse
from harness.running.limits import Limits, Watchdog
from harness.verdict import Verdict, worst

if TYPE_CHECKING:
    from drivers.abi import Abi
    from harness.language.model import Scenario

#: Trips that are on their way at once: one is carried out while the answers of the one before are judged.
DEPTH = 2
#: Says why a scenario cannot be shown on this guest, None where it can.
Fits = Callable[["Scenario", Mapping[str, Any]], str | None]


@dataclass(frozen=True)
class Trip:
    """Sequences, and the scenario that they make."""

    drafts: tuple[Draft, ...]
    composed: Composed


@dataclass(frozen=True)
class Landed:
    """What came of a trip.

    `clean`: the lease is as good as before.
    """

    trip: Trip
    plan: Plan
    result: ScenarioResult
    clean: bool

    @property
    def odd(self) -> bool:
        """Whether a verdict speaks against the driver."""
        return self.result.verdict in (Verdict.FAILED, Verdict.CRASHED, Verdict.HUNG)

    def steps_of(self, number: int) -> list[StepResult]:
        """The answers to the steps of one of its sequences."""
        return [step for step in self.result.steps if self.owner(step) == number]

    def owner(self, step: StepResult) -> int | None:
        """The number of the sequence that a step serves; None for what the harness adds."""
        if step.index >= len(self.plan.steps):
            return None
        index = self.plan.steps[step.index].index
        return None if index is None else self.trip.composed.owners[index]


@dataclass
class _OnItsWay:
    trip: Trip
    flight: Flight


@dataclass
class Trips:
    """One lease at a time, with trips on their way to it.

    Args:
        provider: of guests.
        abi: of this harness.
        journal: of what is on its way.
        fits: capabilities (`harness.contract.capabilities.missing`).
        coverage: counts what drivers execute, where somebody does.
        margin: seconds beyond a step's own time after which it is overdue.
        limits: of the time that a step or a trip has altogether.
    """

    provider: GuestProvider
    abi: Abi
    journal: InFlight
    fits: Fits
    coverage: CoverageSource | None = None
    margin: float = MARGIN
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.lease = LeaseInUse(self.provider, self.abi, self.journal, self.margin)
        self._crashes = Encoder(self.abi).step("CRASHES")
        self._way: deque[_OnItsWay] = deque()
        self._session: AgentSession | None = None
        self._counter: Coverage | None = None
        self.leases = 0

    # ---- sending ---------------------------------------------------------------------------------

    @property
    def on_their_way(self) -> int:
        """How many."""
        return len(self._way)

    def has_room(self) -> bool:
        """Whether one more may be sent before the next answers; with coverage each goes alone."""
        self._ready()
        return len(self._way) < (DEPTH if self._counter is None else 1)

    def session(self) -> AgentSession:
        """That of the lease, the present one or a fresh one; for what goes by itself.

        Raises:
            ValueError: trips are on their way.
            HarnessError, VmError, BuildError: no guest can be provided.
        """
        if self._way:
            raise ValueError("trips are on their way to the lease")
        return self._ready()

    @property
    def counter(self) -> Coverage | None:
        """Counts what drivers execute in the guest of the present session, where somebody does."""
        return self._counter

    def send(self, trip: Trip) -> None:
        """Puts one more on its way.

        Raises:
            NotApplicable: this target or this guest cannot show it.
            UsageError: it contradicts itself.
        """
        session = self._ready()
        scenario = trip.composed.scenario
        unfit = self.fits(scenario, self.lease.info)
        if unfit is not None:
            raise NotApplicable(unfit)
        planned = plan(scenario, self.lease.target(), self.lease.sizes())
        if planned.spoils is not None:
            raise UsageError(f"no guest is as good as before after it: {planned.spoils}", scenario.id)
        flight = Flight(planned, session)
        self._way.append(_OnItsWay(trip, flight))
        self.journal.now(one.trip.drafts for one in self._way)
        self._submit(flight)

    def _submit(self, flight: Flight) -> None:
        """All of it at once, repeated requests too: a wrong one is rare here, and is looked at alone."""
        if self._counter is not None:
            self._counter.zero()
        planned = flight.planned
        flight.steps = [
            flight.session.submit(step.payload, what=step.what, timeout=step.timeout, place=place)
            for place, step in enumerate(planned.steps)
        ]
        flight.clean_up()

    def _ready(self) -> AgentSession:
        """A session; on a fresh lease what was on its way to the last one goes to it."""
        if self._way:
            return self._way[0].flight.session  # whatever has become of it is that trip's to say
        session = self.lease.ready()
        if session is not self._session:
            self._session = session
            self.leases += 1
            self._counter = None
            if self.coverage is not None:
                self._counter = self.coverage.of(self.lease.held, session, self.lease.info)
        return session

    # ---- answers ---------------------------------------------------------------------------------

    def take(self) -> Landed:
        """What came of the oldest trip on its way; the lease is clean afterwards, or thrown away.

        Raises:
            HarnessError, VmError, BuildError: no guest can be provided.
        """
        began = time.monotonic()
        way = self._way.popleft()
        guest = self.lease.held
        try:
            answers, ended, clean = self._answers(way.flight, guest)
        except BaseException:
            self.discard()
            raise
        result = self._result(way, answers, ended, guest, began)
        if not clean:
            self._again()
        return Landed(way.trip, way.flight.planned, result, clean)

    def executed(self) -> frozenset[int] | None:
        """The blocks that the trip executed which was taken last; None where nobody counts."""
        return None if self._counter is None else frozenset(self._counter.read())

    def _answers(self, flight: Flight, guest: Guest) -> tuple[Answers, Ended | None, bool]:
        doubts = self.provider.doubts() if isinstance(self.provider, KnowsCalls) else ()
        files = self.provider.driver_files() if isinstance(self.provider, KnowsFiles) else None
        attribution = Attribution(guest, flight.session, self._crashes, doubts, DriverSymbols(files))
        flight.watchdog = Watchdog(self.limits, flight.planned)
        answers = collect(flight, attribution)
        ended = answers.ended
        if ended is not None:
            return answers, ended, False
        clean, ended = tidy(flight, attribution, answers)
        return answers, ended, clean and ended is None

    def _result(
        self, way: _OnItsWay, answers: Answers, ended: Ended | None, guest: Guest, began: float
    ) -> ScenarioResult:
        """As a run has it of a scenario."""
        scenario = way.trip.composed.scenario
        verdict, reason = answers.verdict
        if answers.ended is None and ended is not None and worst((verdict, ended.verdict)) is not verdict:
            verdict, reason = ended.verdict, ended.reason
        elif verdict is Verdict.FAILED and reason is not None:
            doubts = self.provider.doubts() if isinstance(self.provider, KnowsCalls) else ()
            verdict, reason = failed(reason, doubts)
        result = ScenarioResult(
            id=scenario.id,
            title=scenario.title,
            rules=tuple(rule.value for rule in scenario.rules),
            verdict=verdict,
            file="fuzz",
            tags=tuple(scenario.tags),
            reason=reason,
            steps=tuple(answers.steps),
            seconds=round(time.monotonic() - began, 6),
            guest_seconds=round(way.flight.guest_seconds, 6),
            lease=guest.id,
        )
        if ended is None:
            return result
        return replace(result, evidence=ended.evidence, ended=ended.rule or None, **ended.crash_fields)

    # ---- leases ------------------------------------------------------------------------------------

    def _again(self) -> None:
        """A fresh lease, and what was on its way goes to it."""
        waiting = [way.trip for way in self._way]
        self._way.clear()
        self.lease.discard()
        for trip in waiting:
            self.send(trip)

    def discard(self) -> None:
        """Throws lease and trips away."""
        self._way.clear()
        self.lease.discard()

    def close(self) -> None:
        """Ends the lease; the provider is its owner's to close.  What was on its way stays on record."""
        if not self._way:
            self.journal.now(())
        self.discard()
        self.journal.close()
