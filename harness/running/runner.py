# SPDX-License-Identifier: Apache-2.0
"""Runs scenarios, one after the other, on leases that it takes and throws away.

All steps of a scenario and what cleans up after it are sent at once and answered in order (but see
`harness.running.flight`).  What comes back is judged by `harness.running.comparison`; what does not come
back is attributed to the step in flight: a crash or a hang when the guest shows it, else an error of the
harness.  The lease is used again only after a scenario whose steps have all answered and whose cleaning up
was read to its end: whatever ended oddly, and any exception, throws it away.

When every step of a scenario has answered and none of them crashed or hung, the next scenario is
sent while the guest still cleans up.  Whatever goes wrong from there on in the first one throws the
lease away, the answers of the second one with it: it is sent again, to a clean guest.  After a crash or a
hang it is sent to the guest that takes over, while the evidence of the first one is gathered.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.agent.encode import Encoder
from harness.agent.journal import Journal
from harness.agent.session import MARGIN, AgentSession
from harness.agent.status_block import StatusBlock
from harness.errors import HarnessError, UsageError
from harness.evidence.wine_crash import DriverSymbols
from harness.guests import Guest, GuestProvider, KnowsCalls, KnowsFiles, LeasesAhead
from harness.planning.plan import plan
from harness.planning.planned import NotApplicable, PinUnopened, Plan, PlannedStep, Sizes
from harness.results.record import ScenarioResult
from harness.running.answers import Answers, collect, judged, tidy
from harness.running.attribution import Attribution, nobody, stacks_step
from harness.running.driver_fault import DriverFaultError, answered
from harness.running.ended import Ended
from harness.running.flight import Flight, Upcoming
from harness.running.hanging import Hangs
from harness.running.incident import KeepsIncidents, kept, said
from harness.running.lease import LeaseInUse, WatchesLeases
from harness.running.limits import Limits, Watchdog
from harness.verdict import Verdict

if TYPE_CHECKING:
    from drivers.abi import Abi
    from drivers.kernel_calls import Doubt
    from harness.language.model import Scenario

_LOG = logging.getLogger(__name__)

#: In the journal, instead of a verdict: sent ahead, and not waited for.
RECALLED = "recalled"
#: In the journal, instead of a verdict: an exception ended it.
BROKEN = "broken"

#: Says why a scenario cannot be shown on this guest, None where it can.
Fits = Callable[["Scenario", Mapping[str, Any]], str | None]


@dataclass
class Runner:
    """Runs scenarios and single steps on one lease at a time.

    Args:
        provider: of guests.
        abi: of this harness.
        journal: written before each batch of steps.
        fits: capabilities (`harness.contract.capabilities.missing`).
        margin: seconds beyond a step's own time after which it is overdue.
        limits: of the time that a step or a scenario has altogether.
        incidents: keeps the evidence of crashes, hangs and lost guests; None: nobody does.
        watch: told of guests, of which it wants to know what each scenario does: none is sent ahead then.
    """

    provider: GuestProvider
    abi: Abi
    journal: Journal
    fits: Fits = field(default=lambda scenario, info: None)
    margin: float = MARGIN
    limits: Limits = field(default_factory=Limits)
    incidents: KeepsIncidents | None = None
    watch: WatchesLeases | None = None

    def __post_init__(self) -> None:
        self._lease = LeaseInUse(
            self.provider, self.abi, self.journal, self.margin, self.incidents, self.watch
        )
        encoder = Encoder(self.abi)
        self._crashes, self._stacks = encoder.step("CRASHES"), stacks_step(encoder)
        self._hangs = Hangs()
        self._next: Flight | None = None

    # ---- the lease ---------------------------------------------------------

    @property
    def lease(self) -> str | None:
        """Names the lease in use."""
        return self._lease.name

    @property
    def info(self) -> Mapping[str, Any]:
        """What the guest says of itself (`kshsctl info`); the same for every fork of a template."""
        return self._lease.info

    @property
    def known_info(self) -> Mapping[str, Any] | None:
        """The same where some guest has said it already; asks nobody."""
        return self._lease.known_info

    @property
    def sizes(self) -> Sizes:
        """Pointer sizes of the guest's two sides."""
        return self._lease.sizes()

    def ready(self) -> AgentSession:
        """A session on a lease, the present one or a fresh one.

        Raises:
            HarnessError, VmError, BuildError: the guest cannot be provided.
        """
        if self._next is not None:
            return self._next.session  # whatever has become of it is the sent scenario's to say
        return self._lease.ready()

    @property
    def guest(self) -> Guest:
        """The guest of the present lease."""
        self.ready()
        return self._lease.guest if self._next is None else self._lease.held

    def release(self) -> None:
        """Closes everything that steps of a test's own left open, or throws the lease away."""
        self._lease.release()

    def discard(self) -> None:
        """Throws the lease away; the next scenario gets a fresh one."""
        try:
            self._recall()
        finally:
            self._lease.discard()

    def _recall(self) -> None:
        """What was sent ahead does not count."""
        flight, self._next = self._next, None
        if flight is not None:
            self.journal.end(flight.planned.scenario.id, RECALLED, flight.file)

    def forget_hangs(self) -> None:
        """What hung so far keeps nothing from being tried: one scenario that is played again is no row."""
        self._hangs = Hangs()

    def close(self) -> None:
        """Ends session, lease and provider."""
        try:
            self.discard()
        finally:
            self.provider.close()

    @property
    def _doubts(self) -> Sequence[Doubt]:
        return self.provider.doubts() if isinstance(self.provider, KnowsCalls) else ()

    @property
    def _symbols(self) -> DriverSymbols:
        return DriverSymbols(self.provider.driver_files() if isinstance(self.provider, KnowsFiles) else None)

    # ---- a scenario --------------------------------------------------------

    def run(
        self,
        scenario: Scenario,
        *,
        file: str,
        line: int | None = None,
        upcoming: Scenario | None = None,
        upcoming_file: str | None = None,
    ) -> ScenarioResult:
        """One scenario to its verdict.

        Args:
            scenario: validated.
            file: where it comes from, for the result.
            line: of its first line there.
            upcoming: what will be run next, if that is known; it may be sent ahead.
            upcoming_file: where that one comes from; the same file by default.

        Raises:
            HarnessError, VmError, BuildError: no guest can be provided at all.
        """
        try:
            after = None if upcoming is None else Upcoming(upcoming, upcoming_file or file)
            return self._run(scenario, file, line, after)
        except BaseException:
            # Nobody knows what was sent and what has come of it.
            self.discard()
            raise

    def _run(
        self, scenario: Scenario, file: str, line: int | None, upcoming: Upcoming | None
    ) -> ScenarioResult:
        began = time.monotonic()
        result = ScenarioResult(
            id=scenario.id,
            title=scenario.title,
            rules=tuple(rule.value for rule in scenario.rules),
            verdict=Verdict.ERROR,
            file=file,
            line=line,
            tags=tuple(scenario.tags),
            content=scenario.content,
        )
        if self._next is not None and self._next.planned.scenario is not scenario:
            self.discard()
        flight, self._next = self._next, None
        if flight is None:
            session = self.ready()
            unfit = self.fits(scenario, self.info)
            if unfit is not None:
                return replace(result, verdict=Verdict.SKIPPED, reason=unfit)
            try:
                planned = self._plan(scenario)
            except NotApplicable as why:
                return replace(result, verdict=Verdict.SKIPPED, reason=str(why))
            except UsageError as error:
                fault = self._fault_behind(error) or Ended(Verdict.ERROR, str(error))
                result = replace(result, verdict=fault.verdict, reason=fault.reason)
                return replace(result, evidence=fault.evidence, incident=fault.incident)
            flight = self._send(session, planned, file)
        lease = self.lease
        answers, ended = self._answers(flight, upcoming)
        verdict, reason = judged(answers, ended, self._doubts)
        return replace(
            result,
            verdict=verdict,
            reason=reason,
            steps=tuple(answers.steps),
            evidence=ended.evidence if ended is not None else (),
            said=ended.said if ended is not None else answers.said,
            incident=ended.incident if ended is not None else None,
            seconds=round(time.monotonic() - began, 6),
            guest_seconds=round(flight.guest_seconds, 6),
            lease=lease,
            ended=ended.rule or None if ended is not None else None,
            again=verdict is Verdict.ERROR and ended is not None and ended.again,
            **(ended.crash_fields if ended is not None else {}),
        )

    def _answers(self, flight: Flight, upcoming: Upcoming | None) -> tuple[Answers, Ended | None]:
        """All that comes back, and what ended it; the lease is clean afterwards, or thrown away."""
        scenario = flight.planned.scenario
        try:
            attribution = Attribution(
                self._lease.held,
                flight.session,
                self._crashes,
                self._doubts,
                self._symbols,
                self._replace if upcoming is not None else nobody,
                self._stacks,
            )
            flight.watchdog = Watchdog(self.limits, flight.planned)
            answers = collect(flight, attribution)
            ended, clean = answers.ended, False
            if ended is None:
                if flight.planned.spoils is None and upcoming is not None:
                    self._send_ahead(flight.session, upcoming)
                clean, ended = tidy(flight, attribution, answers)
                if ended is None and flight.planned.spoils is not None:
                    ended = attribution.afterwards()
            stood = ended is not None and (ended.verdict is Verdict.HUNG or ended.wedged)
            hung = ended.step if ended is not None and stood else None
            self._hangs.note(flight.planned, answers.steps, hung)
            if ended is None and answers.verdict[0] is Verdict.FAILED:
                answers.said = said(self._lease.held, answers.steps)
            # Before the evidence is gathered, which takes its time: a kill must not cost a driver's fault.
            self.journal.end(scenario.id, judged(answers, ended, self._doubts)[0].value, flight.file)
        except Exception:  # what a user or a CI interrupts stays in flight
            self.journal.end(scenario.id, BROKEN, flight.file)
            raise
        return answers, ended if clean else self._give_up(flight, answers, ended, upcoming)

    def _give_up(
        self, flight: Flight, answers: Answers, ended: Ended | None, upcoming: Upcoming | None
    ) -> Ended | None:
        """Throws the lease away, and gathers its evidence before; the next scenario may run meanwhile."""
        guest = self._lease.held
        with contextlib.closing(self._lease.set_aside()):
            self._recall()
            if ended is None:
                return None
            if upcoming is not None:
                self._replace()
                self._send_to_fresh(upcoming)
            return kept(self.incidents, guest, flight, answers, ended)

    def _send_to_fresh(self, upcoming: Upcoming) -> None:
        """The next scenario to the guest that takes over, where that is there already."""
        provider = self.provider if self.watch is None and self.incidents is not None else None
        if not isinstance(provider, LeasesAhead) or not provider.is_there():
            return
        try:
            session = self._lease.ready()
        except Exception as error:  # it will be again, and be said then
            _LOG.warning("the guest that was to take over is of no use", exc_info=error)
            return
        self._send_ahead(session, upcoming, beside=True)

    def _replace(self) -> None:
        """Begins the next guest, while the evidence of the present one is gathered."""
        if isinstance(self.provider, LeasesAhead):
            self.provider.acquire_ahead()

    def answer(self, scenario: Scenario) -> list[tuple[PlannedStep, StatusBlock]]:
        """What came back of the steps that the scenario itself names, for tests in Python.

        Raises:
            DriverFaultError: the driver crashed or hung under it.
            NotApplicable, UsageError: it cannot be sent.
            HarnessError: the harness failed, also between this request and the one before: a test that
                goes on would otherwise do so on another guest without knowing it.
        """
        if self._lease.failure is not None:
            failure = self._lease.failure
            self.discard()
            raise HarnessError(f"the agent was lost between two requests: {failure}")
        if self._next is not None:
            self.discard()
        session = self.ready()
        try:
            planned = self._plan(scenario)
        except UsageError as error:
            fault = self._fault_behind(error)
            if fault is None:
                raise
            raise DriverFaultError.of(fault) from None
        try:
            answers, ended = self._answers(self._send(session, planned, ""), None)
        except BaseException:
            self.discard()
            raise
        return answered(planned, answers, ended)

    # ---- sending -----------------------------------------------------------

    def _plan(self, scenario: Scenario) -> Plan:
        """What is to be sent.

        Raises:
            NotApplicable: this target cannot show it, or it stands on what always hangs.
            UsageError: the scenario contradicts itself.
        """
        planned = plan(scenario, self._lease.target(), self.sizes)
        reason = self._hangs.skips(planned)
        if reason is not None:
            raise NotApplicable(reason)
        return planned

    def _fault_behind(self, error: UsageError) -> Ended | None:
        """What the driver has done that a scenario cannot be planned; None where it has done nothing."""
        fault = self._lease.fault
        known = isinstance(error, PinUnopened) and fault is not None and fault.verdict.is_driver_fault
        return fault if known else None

    def _send(self, session: AgentSession, planned: Plan, file: str) -> Flight:
        """A plan, written down first; where the lease will be thrown away, without what would clean it."""
        self.journal.begin(planned.scenario.id, self.lease or "-", file)
        if planned.spoils is not None:
            self._replace()
            # What the guest has on record by now is not this scenario's (`Attribution.afterwards`).
            session.submit(self._crashes, what="crashes before the scenario", timeout=10.0)
        flight = Flight(planned, session, file)
        flight.send()
        return flight

    def _send_ahead(self, session: AgentSession, upcoming: Upcoming, *, beside: bool = False) -> None:
        """The next scenario, where it is certain that it will be run, and on this lease.

        Where another guest is there `beside` it, none that would have a third one made.
        """
        if (
            self.watch is not None
            or session.failure is not None
            or self.fits(upcoming.scenario, self.info) is not None
        ):
            return
        try:
            planned = plan(upcoming.scenario, self._lease.target(), self.sizes)
        except (NotApplicable, UsageError):
            return  # said when its turn comes
        if self._hangs.told(planned) is None and not (beside and planned.spoils is not None):
            self._next = self._send(session, planned, upcoming.file)
