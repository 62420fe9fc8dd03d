# SPDX-License-Identifier: Apache-2.0
"""Runs scenarios, one after the other, on leases that it takes and throws away.

All steps of a scenario and what cleans up after it are sent at once and answered in order.  What
comes back is judged by `harness.running.comparison`; what does not come back is attributed to the step in
flight: a crash or a hang when the guest shows it, else an error of the harness.  After a crash, a
hang or an error, and wherever cleaning up fails, the lease is thrown away.

When every step of a scenario has answered and none of them crashed or hung, the next scenario is
sent while the guest still cleans up.  Whatever goes wrong from there on in the first one throws the
lease away, the answers of the second one with it: it is sent again, to a clean guest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.agent.encode import Encoder
from harness.agent.frames import Record, info_of
from harness.agent.journal import Journal
from harness.agent.pending import Pending
from harness.agent.session import MARGIN, AgentSession
from harness.agent.status_block import StatusBlock
from harness.errors import AgentError, HarnessError, StepHungError, StepNotReachedError, UsageError
from harness.guests import ChecksGuests, Guest, GuestProvider, LeasesAhead
from harness.planning.plan import plan
from harness.planning.planned import NotApplicable, Plan, PlannedStep, Sizes
from harness.results.record import ScenarioResult, StepResult
from harness.running.attribution import Attribution, Ended
from harness.running.step_result import judge_step, step_result, unjudged
from harness.verdict import Verdict

if TYPE_CHECKING:
    from drivers.abi import Abi
    from harness.language.model import Scenario

#: Seconds for INFO: it computes digests of drivers.
_INFO_TIMEOUT = 60.0
#: In the journal, instead of a verdict: sent ahead, and not waited for.
RECALLED = "recalled"

#: Says why a scenario cannot be shown on this guest, None where it can.
Fits = Callable[["Scenario", Mapping[str, Any]], str | None]


@dataclass
class _Flight:
    """A scenario that was sent: its plan, the session, what is on its way.

    `records` are those that came, cleaning up included.
    """

    planned: Plan
    session: AgentSession
    steps: list[Pending]
    cleanup: list[Pending]
    records: list[Record] = field(default_factory=list)

    @property
    def guest_seconds(self) -> float:
        """From the begin of its first step to the end of its last one, by the guest's clock."""
        if not self.records:
            return 0.0
        begin = min(record.begin_ns for record in self.records)
        return (max(record.begin_ns + record.duration_ns for record in self.records) - begin) / 1e9


@dataclass
class _Answers:
    """What came of the steps of a plan, in their order."""

    steps: list[StepResult]
    blocks: list[StatusBlock | None]
    ended: Ended | None


class DriverFaultError(AssertionError):
    """A step of a test in Python met a driver that crashed, hung or refused the preparation.

    An assertion on purpose: it speaks against the driver, so the test has failed.
    """

    def __init__(self, verdict: Verdict, reason: str, evidence: Sequence[str]) -> None:
        super().__init__("\n".join([f"{verdict.value}: {reason}", *evidence]))
        self.verdict = verdict
        self.reason = reason


@dataclass
class Runner:
    """Runs scenarios and single steps on one lease at a time.

    Args:
        provider: of guests.
        abi: of this harness.
        journal: written before each batch of steps.
        fits: capabilities (`harness.contract.capabilities.missing`).
        margin: seconds beyond a step's own time after which it is overdue.
    """

    provider: GuestProvider
    abi: Abi
    journal: Journal
    fits: Fits = field(default=lambda scenario, info: None)
    margin: float = MARGIN

    def __post_init__(self) -> None:
        self._guest: Guest | None = None
        self._session: AgentSession | None = None
        self._encoder = Encoder(self.abi)
        self._info: Mapping[str, Any] | None = None
        self._next: _Flight | None = None

    # ---- the lease ---------------------------------------------------------

    @property
    def lease(self) -> str | None:
        """Names the lease in use."""
        return self._guest.id if self._guest else None

    @property
    def info(self) -> Mapping[str, Any]:
        """What the guest says of itself (`kshsctl info`); the same for every fork of a template."""
        if self._info is None:
            self.ready()
        assert self._info is not None
        return self._info

    @property
    def known_info(self) -> Mapping[str, Any] | None:
        """The same where some guest has said it already; asks nobody."""
        return self._info

    @property
    def sizes(self) -> Sizes:
        """Pointer sizes of the guest's two sides; both are the agent's on the guests there are."""
        size = self.ready().hello.pointer_size
        return Sizes(kernel=size, user=size)

    def ready(self) -> AgentSession:
        """A session on a lease, the present one or a fresh one.

        Raises:
            HarnessError, VmError, BuildError: the guest cannot be provided.
        """
        if self._next is not None:
            return self._next.session  # whatever has become of it is the sent scenario's to say
        if self._session is not None and self._session.failure is None:
            return self._session
        self.discard()
        self._guest = self.provider.acquire()
        try:
            self._session = AgentSession(
                self._guest.open_agent(), self.abi, journal=self.journal.sending, margin=self.margin
            )
            if self._info is None:
                info = self._ask_info(self._session)
                if isinstance(self.provider, ChecksGuests):
                    self.provider.check_guest(info)
                self._info = info
        except BaseException:
            self.discard()
            raise
        return self._session

    @property
    def guest(self) -> Guest:
        """The guest of the present lease."""
        self.ready()
        assert self._guest is not None
        return self._guest

    def release(self) -> None:
        """Closes everything that steps of a test's own left open, or throws the lease away."""
        session = self._session
        if session is None:
            return
        try:
            for side in ("KERNEL", "USER"):
                step = self._encoder.step("RELEASE_ALL", side=self._encoder.constant(f"SIDE_{side}"))
                record = session.run(step, what=f"release all of the {side.lower()} side")
                if record.outcome != self._encoder.constant("OUTCOME_DONE"):
                    self.discard()
                    return
        except (AgentError, StepHungError):
            self.discard()

    def discard(self) -> None:
        """Throws the lease away; the next scenario gets a fresh one."""
        session, self._session = self._session, None
        guest, self._guest = self._guest, None
        self._recall()
        if session is not None:
            session.close(timeout=1.0, polite=False)
        if guest is not None:
            guest.close()

    def close(self) -> None:
        """Ends session, lease and provider."""
        self.discard()
        self.provider.close()

    def _ask_info(self, session: AgentSession) -> Mapping[str, Any]:
        record = session.run(self._encoder.step("INFO"), what="info", timeout=_INFO_TIMEOUT)
        return info_of(record)

    # ---- a scenario --------------------------------------------------------

    def run(
        self, scenario: Scenario, *, file: str, line: int | None = None, upcoming: Scenario | None = None
    ) -> ScenarioResult:
        """One scenario to its verdict.

        Args:
            scenario: validated.
            file: where it comes from, for the result.
            line: of its first line there.
            upcoming: what will be run next, if that is known; it may be sent ahead.

        Raises:
            HarnessError, VmError, BuildError: no guest can be provided at all.
        """
        began = time.monotonic()
        result = ScenarioResult(
            id=scenario.id,
            title=scenario.title,
            rules=tuple(rule.value for rule in scenario.rules),
            verdict=Verdict.ERROR,
            file=file,
            line=line,
            tags=tuple(scenario.tags),
        )
        if self._next is not None and self._next.planned.scenario is not scenario:
            self.discard()
        flight, self._next = self._next, None
        if flight is None:
            session = self.ready()
            reason = self.fits(scenario, self.info)
            if reason is not None:
                return replace(result, verdict=Verdict.SKIPPED, reason=reason)
            try:
                planned = plan(scenario, self.provider.target(), self.sizes)
            except NotApplicable as why:
                return replace(result, verdict=Verdict.SKIPPED, reason=str(why))
            except UsageError as error:
                return replace(result, verdict=Verdict.ERROR, reason=str(error))
            flight = self._send(session, planned)
        lease = self.lease
        answers = self._collect(flight)
        steps, ended = answers.steps, answers.ended
        verdict, reason = _verdict(steps, ended)
        evidence = ended.evidence if ended else ()
        if ended is None:
            if flight.planned.spoils is None and upcoming is not None and verdict is not Verdict.ERROR:
                self._send_ahead(flight.session, upcoming)
            tidy = self._tidy(flight)
            if tidy is not None and verdict not in (Verdict.FAILED, Verdict.ERROR):
                verdict, reason, evidence = tidy.verdict, tidy.reason, tidy.evidence
        if verdict in (Verdict.CRASHED, Verdict.HUNG, Verdict.ERROR):
            self.discard()
        self.journal.end(scenario.id, verdict.value)
        return replace(
            result,
            verdict=verdict,
            reason=reason,
            steps=tuple(steps),
            evidence=evidence,
            seconds=round(time.monotonic() - began, 6),
            guest_seconds=round(flight.guest_seconds, 6),
            lease=lease,
        )

    def answer(self, scenario: Scenario) -> list[tuple[PlannedStep, StatusBlock]]:
        """What came back of the steps that the scenario itself names, for tests in Python.

        Raises:
            DriverFaultError: the driver crashed or hung under it.
            NotApplicable, UsageError: it cannot be sent.
            HarnessError: the harness failed, also between this request and the one before: a test that
                goes on would otherwise do so on another guest without knowing it.
        """
        if self._session is not None and self._session.failure is not None:
            failure = self._session.failure
            self.discard()
            raise HarnessError(f"the agent was lost between two requests: {failure}")
        if self._next is not None:
            self.discard()
        session = self.ready()
        planned = plan(scenario, self.provider.target(), self.sizes)
        flight = self._send(session, planned)
        answers = self._collect(flight)
        ended = answers.ended or self._tidy(flight)
        verdict, reason = _verdict(answers.steps, ended)
        self.journal.end(scenario.id, verdict.value)
        if ended is not None:
            self.discard()
            if ended.verdict.is_driver_fault:
                raise DriverFaultError(ended.verdict, ended.reason, ended.evidence)
            raise HarnessError(ended.reason)
        broken = next((s for s in answers.steps if s.verdict is Verdict.FAILED and s.do == "setup"), None)
        if broken is not None:
            raise DriverFaultError(Verdict.FAILED, f"{broken.name}: {broken.reason}", ())
        if verdict is Verdict.SKIPPED:
            raise NotApplicable(reason or "this guest cannot do it")
        return [
            (step, block)
            for step, block in zip(planned.steps, answers.blocks, strict=True)
            if step.index is not None and block is not None
        ]

    def _send(self, session: AgentSession, planned: Plan) -> _Flight:
        """Everything of a plan; where the lease will be thrown away, without what would clean it."""
        self.journal.begin(planned.scenario.id, self.lease or "-")
        if planned.spoils is not None and isinstance(self.provider, LeasesAhead):
            self.provider.acquire_ahead()
        cleanup = planned.cleanup if planned.spoils is None else ()
        steps, tidying = (
            [session.submit(step.payload, what=step.what, timeout=step.timeout) for step in part]
            for part in (planned.steps, cleanup)
        )
        return _Flight(planned, session, steps, tidying)

    def _send_ahead(self, session: AgentSession, scenario: Scenario) -> None:
        """The next scenario, where it is certain that it will be run, and on this lease."""
        if session.failure is not None or self.fits(scenario, self.info) is not None:
            return
        try:
            planned = plan(scenario, self.provider.target(), self.sizes)
        except (NotApplicable, UsageError):
            return  # said when its turn comes
        self._next = self._send(session, planned)

    def _recall(self) -> None:
        """What was sent ahead does not count."""
        flight, self._next = self._next, None
        if flight is not None:
            self.journal.end(flight.planned.scenario.id, RECALLED)

    def _collect(self, flight: _Flight) -> _Answers:
        """Judges the steps of a scenario as they answer."""
        planned, session = flight.planned, flight.session
        results: list[StepResult] = []
        blocks: list[StatusBlock | None] = []
        ended: Ended | None = None
        unusable: str | None = None
        for position, (step, pending) in enumerate(zip(planned.steps, flight.steps, strict=True)):
            blocks.append(None)
            try:
                record = pending.result()
            except StepNotReachedError as error:
                ended = ended or Ended(Verdict.ERROR, str(error))
                results.append(unjudged(position, step, ended.reason))
                continue
            except (StepHungError, AgentError) as error:
                ended = ended or self._attribution(session).of_error(step, error)
                results.append(step_result(position, step, ended.verdict, reason=ended.reason))
                continue
            flight.records.append(record)
            if ended is not None or unusable is not None:
                # What comes after a crash, a hang or a failed preparation proves nothing either way.
                why = ended.reason if ended else unusable
                results.append(unjudged(position, step, f"not judged: {why}"))
                continue
            result, blocks[-1] = judge_step(position, step, record)
            if result.verdict in (Verdict.CRASHED, Verdict.HUNG):
                ended = self._attribution(session).of_outcome(step, result, pending.seconds)
                result = replace(result, reason=ended.reason, verdict=ended.verdict)
            elif result.verdict is Verdict.ERROR:
                ended = Ended(Verdict.ERROR, result.reason or "the agent refused a step")
            elif _preparation_failed(step, result) or result.verdict is Verdict.SKIPPED:
                unusable = f'step {position + 1}, "{step.what}", {_short(result)}'
            results.append(result)
        return _Answers(results, blocks, ended)

    def _tidy(self, flight: _Flight) -> Ended | None:
        """Leaves the lease clean or throws it away; says when cleaning up showed a crash or a hang."""
        planned, session = flight.planned, flight.session
        if planned.spoils is not None:
            self.discard()
            return None
        ended: Ended | None = None
        for step, pending in zip(planned.cleanup, flight.cleanup, strict=True):
            try:
                record = pending.result()
            except (StepHungError, AgentError) as error:
                ended = ended or self._attribution(session).of_error(step, error)
                break
            flight.records.append(record)
            result, _ = judge_step(0, step, record)
            if result.verdict in (Verdict.CRASHED, Verdict.HUNG):
                ended = self._attribution(session).of_outcome(step, result, pending.seconds)
                break
            if result.verdict is not Verdict.PASSED:
                # Not clean, but no evidence against anyone: only this lease is over.
                self.discard()
                return None
        return replace(ended, reason=f"while cleaning up: {ended.reason}") if ended else None

    def _attribution(self, session: AgentSession) -> Attribution:
        assert self._guest is not None
        return Attribution(self._guest, session, self._encoder.step("CRASHES"))


# ---- the whole from its parts ------------------------------------------------


def _preparation_failed(step: PlannedStep, result: StepResult) -> bool:
    return result.verdict is Verdict.FAILED and (
        step.index is None or any(c.rule == "setup" for c in result.mismatches)
    )


def _short(result: StepResult) -> str:
    return "cannot be done here" if result.verdict is Verdict.SKIPPED else "did not work"


def _verdict(steps: Sequence[StepResult], ended: Ended | None) -> tuple[Verdict, str | None]:
    """The scenario's verdict and its reason in one line.

    A step that fails before the harness itself does has still failed: the record is there.
    """
    failed = next((step for step in steps if step.verdict is Verdict.FAILED), None)
    if ended is not None and (ended.verdict is not Verdict.ERROR or failed is None):
        return ended.verdict, ended.reason
    if failed is not None:
        return Verdict.FAILED, f'step {failed.index + 1}, "{failed.name}": {failed.reason}'
    skipped = next((step for step in steps if step.verdict is Verdict.SKIPPED), None)
    if skipped is not None:
        return Verdict.SKIPPED, skipped.reason
    return Verdict.PASSED, None
