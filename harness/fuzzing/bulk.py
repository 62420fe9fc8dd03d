# SPDX-License-Identifier: Apache-2.0
"""One bulk: some hundred short sequences on pins that stand open, sent and judged in one go."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.errors import AgentError, StepHungError
from harness.fuzzing.draft import Draft
from harness.fuzzing.feedback import Feature, features
from harness.fuzzing.screening import Screen, Shot
from harness.planning.planned import Answer, Plan, PlannedStep
from harness.results.record import StepResult
from harness.running.answers import left_step
from harness.running.step_result import Before, judge_step
from harness.verdict import Verdict

if TYPE_CHECKING:
    from harness.agent.pending import Pending
    from harness.agent.session import AgentSession

#: Steps that are sent ahead of the one that is judged: below the session's window, so that nobody waits.
_AHEAD = 384
#: Odd answers after which a bulk is not worth reading on.
_MOST_ODD = 3
_ENDED = (Verdict.CRASHED, Verdict.HUNG)


@dataclass(frozen=True, slots=True)
class Aimed:
    """A sequence and its steps, ready to be sent."""

    draft: Draft
    shots: Sequence[Shot]


@dataclass(frozen=True)
class Odd:
    """Something that is not as it must be: of the sequence of that number, None where it is nobody's alone.

    `result` is None where no record came: `reason` says why.
    """

    number: int | None
    reason: str
    result: StepResult | None = None


@dataclass
class Flown:
    """What came of a bulk: how much was sent, what was odd, and what each sequence showed that is new.

    `clean`: the lease is as good as before.
    """

    sent: int = 0
    steps: int = 0
    requests: int = 0
    odd: list[Odd] = field(default_factory=list)
    news: dict[int, frozenset[Feature]] = field(default_factory=dict)
    clean: bool = True


def fly(screen: Screen, session: AgentSession, sequences: Sequence[Aimed]) -> Flown:
    """Sends a bulk, and judges it.

    Args:
        screen: that has made its steps.
        session: with an agent to which nothing else is on its way.
        sequences: all of them.
    """
    flight = _Flight(screen, session, sequences)
    flight.fly()
    return flight.flown


@dataclass
class _Flight:
    screen: Screen
    session: AgentSession
    sequences: Sequence[Aimed]
    flown: Flown = field(default_factory=Flown)
    before: Before = field(default_factory=Before)
    way: deque[tuple[int, Shot, Pending]] = field(default_factory=deque)

    def fly(self) -> None:
        """Opens, sends, closes, and judges all of it."""
        planned = self.screen.standing.plan
        try:
            self._opened([(step, self._submit(step)) for step in planned.steps])
            self._send()
            closing = [(step, self._submit(step)) for step in planned.cleanup]
            while self.way and self.flown.clean:
                self._next()
            if self.flown.clean:
                self._closed(closing, planned)
        except (StepHungError, AgentError) as error:
            number = self.way[0][0] if self.way else None
            self._end(Odd(number, str(error)))

    def _submit(self, step: PlannedStep) -> Pending:
        return self.session.submit(step.payload, what=step.what, timeout=step.timeout)

    def _send(self) -> None:
        """As many as there is use in: what goes on after a crash proves nothing."""
        if not self.flown.clean:
            return
        for number, aimed in enumerate(self.sequences):
            for shot in aimed.shots:
                while len(self.way) >= _AHEAD:
                    self._next()
                pending = self.session.submit(shot.payload, what=shot.what, timeout=shot.timeout)
                self.way.append((number, shot, pending))
                self.flown.steps += 1
                self.flown.requests += shot.requests
            self.flown.sent = number + 1
            if not self.flown.clean or len(self.flown.odd) >= _MOST_ODD:
                return

    def _next(self) -> None:
        """The oldest answer on its way."""
        number, shot, pending = self.way[0]
        record = pending.result()
        self.way.popleft()
        if self.screen.passes(shot, record):
            return
        result = self.screen.judged(shot, record)
        if result.verdict is Verdict.PASSED:
            self.flown.news[number] = self.flown.news.get(number, frozenset()) | features([result])
            return
        if result.verdict is Verdict.SKIPPED:
            return
        odd = Odd(number, str(result.reason), result)
        if result.verdict in (*_ENDED, Verdict.ERROR):
            self._end(odd)
        else:
            self.flown.odd.append(odd)

    def _end(self, odd: Odd) -> None:
        self.flown.odd.append(odd)
        self.flown.clean = False

    def _opened(self, opening: Sequence[tuple[PlannedStep, Pending]]) -> None:
        for step, pending in opening:
            result, _ = judge_step(0, step, pending.result(), self.before)
            if result.verdict is not Verdict.PASSED:
                self._end(Odd(None, str(result.reason), result))
                return

    def _closed(self, closing: Sequence[tuple[PlannedStep, Pending]], planned: Plan) -> None:
        """What cleaning up says, and what is left behind."""
        for step, pending in closing:
            result, block = judge_step(0, step, pending.result())
            if result.verdict is not Verdict.PASSED:
                self._end(Odd(None, str(result.reason), result))
                return
            if step.answer is Answer.LEFT and block is not None:
                found = left_step(0, step, block, planned, self.flown.requests)
                if found is not None and found.verdict is not Verdict.PASSED:
                    self.flown.odd.append(Odd(None, str(found.reason), found))
