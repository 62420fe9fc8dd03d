# SPDX-License-Identifier: Apache-2.0
"""What comes back of a scenario: judged step by step, and made into one verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.agent.pending import Pending
from harness.agent.status_block import StatusBlock
from harness.errors import AgentError, LimitError, StepHungError, StepNotReachedError
from harness.planning.planned import Answer, Plan, PlannedStep
from harness.results.record import StepResult
from harness.running import left
from harness.running.attribution import Attribution
from harness.running.doubts import failed
from harness.running.ended import Ended
from harness.running.flight import Flight, with_first
from harness.running.step_result import Before, judge_step, step_result, unjudged
from harness.running.under_way import under_way
from harness.verdict import Verdict, worst

if TYPE_CHECKING:
    from drivers.kernel_calls import Doubt


@dataclass
class Answers:
    """What came of the steps of a plan, in their order.

    `ended` says what ended them before the last one; `unusable` why those that follow prove nothing; `said`
    what the drivers printed, where one of them failed.
    """

    steps: list[StepResult] = field(default_factory=list)
    blocks: list[StatusBlock | None] = field(default_factory=list)
    ended: Ended | None = None
    unusable: str | None = None
    said: tuple[str, ...] = ()

    @property
    def verdict(self) -> tuple[Verdict, str | None]:
        """The scenario's verdict and its reason in one line."""
        return verdict_of(self.steps, self.ended)


def collect(flight: Flight, attribution: Attribution) -> Answers:
    """Judges the steps of a scenario as they answer, and sends what was held back behind one of them."""
    collecting = _Collecting(flight, attribution)
    for position, step in enumerate(flight.planned.steps):
        collecting.take(position, step)
    return collecting.answers


def tidy(flight: Flight, attribution: Attribution, answers: Answers) -> tuple[bool, Ended | None]:
    """Reads what cleaning up says: whether the lease is clean, and a crash or a hang that it showed.

    What is left behind is put to `answers` as one more step; a lease is no worse for it.
    """
    for step, pending in flight.tidying():
        try:
            record = flight.record(step, pending)
        except (StepHungError, AgentError, LimitError) as error:
            return False, _while_cleaning_up(step, attribution.of_error(step, error))
        flight.records.append(record)
        result, block = judge_step(0, step, record)
        if result.verdict in (Verdict.CRASHED, Verdict.HUNG):
            ended = attribution.of_outcome(step, result, pending.seconds)
            return False, _while_cleaning_up(step, ended)
        if result.verdict is not Verdict.PASSED:
            # Not clean, but no evidence against anyone: only this lease is over.
            return False, None
        if step.answer is Answer.LEFT and block is not None and answers.unusable is None:
            found = left_step(len(answers.steps), step, block, flight.planned)
            answers.steps += [] if found is None else [found]
    whole = len(flight.cleanup) == len(flight.planned.cleanup)
    return flight.planned.spoils is None and whole, None


def left_step(
    position: int, step: PlannedStep, block: StatusBlock, planned: Plan, more: int = 0
) -> StepResult | None:
    """What the scenario left behind as a step of it; None where the client has not counted.

    `more` requests were sent beside those of the plan.
    """
    counts = left.read(block.output)
    if counts is None:
        return None
    comparisons = tuple(left.judge(counts, planned, more))
    wrong = next((c for c in comparisons if not c.ok and not c.characteristic), None)
    verdict = Verdict.PASSED if wrong is None else Verdict.FAILED
    reason = f"{wrong.rule}: {wrong.field} is {wrong.got}, expected {wrong.expected}" if wrong else None
    return step_result(
        position,
        replace(step, what="what is left when everything is closed"),
        verdict,
        reason=reason,
        block=replace(block, seen=counts, output=b"").as_dict(),
        comparisons=comparisons,
    )


def verdict_of(steps: Sequence[StepResult], ended: Ended | None) -> tuple[Verdict, str | None]:
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


def judged(answers: Answers, ended: Ended | None, doubts: Sequence[Doubt]) -> tuple[Verdict, str | None]:
    """The scenario's verdict and its reason, with what cleaning up showed and what its guest is known for.

    Args:
        answers: of its steps.
        ended: what ended it, be it behind the last answer.
        doubts: calls of the drivers that the guest's Wine gets wrong.
    """
    verdict, reason = answers.verdict
    if answers.ended is None and ended is not None and worst((verdict, ended.verdict)) is not verdict:
        return ended.verdict, ended.reason
    if verdict is Verdict.FAILED and reason is not None:
        return failed(reason, doubts)
    return verdict, reason


class _Collecting:
    """The answers of one flight, as far as they have come."""

    def __init__(self, flight: Flight, attribution: Attribution) -> None:
        self._flight = flight
        self._attribution = attribution
        self._before = Before()
        self.answers = Answers()

    def take(self, position: int, step: PlannedStep) -> None:
        """The next step's answer."""
        self.answers.blocks.append(None)
        self.answers.steps.append(self._result(position, step))

    def _result(self, position: int, step: PlannedStep) -> StepResult:
        sent = self._flight.steps
        if position == len(sent) and self._flight.first is not None:
            result = self._first(position, step)
            if result is not None:
                return result
        if position >= len(sent):
            return unjudged(position, step, f"not judged: {self._why()}")
        return self._judged(position, step, sent[position])

    def _first(self, position: int, step: PlannedStep) -> StepResult | None:
        """The answer of a repeated request that went alone; None where the others are worth sending."""
        if self._flight.first is None:
            return None
        alone, pending = self._flight.first
        result = self._judged(position, alone.step, pending)
        if result.verdict is Verdict.PASSED and self._usable:
            self._flight.send_rest()
            return None
        self._flight.clean_up()
        if self._usable:
            self.answers.unusable = f'step {position + 1}, "{alone.step.what}", was wrong the first time'
        if result.verdict is Verdict.FAILED:
            note = f"its first answer was wrong: the other {alone.others} requests were not sent"
            result = replace(result, notes=(*result.notes, note))
        return result

    @property
    def _usable(self) -> bool:
        return self.answers.ended is None and self.answers.unusable is None

    def _why(self) -> str:
        ended = self.answers.ended
        return ended.reason if ended is not None else str(self.answers.unusable)

    def _judged(self, position: int, step: PlannedStep, pending: Pending) -> StepResult:
        """One step and its record."""
        answers = self.answers
        try:
            record = self._flight.record(step, pending)
        except StepNotReachedError as error:
            answers.ended = answers.ended or Ended(Verdict.ERROR, str(error))
            return unjudged(position, step, answers.ended.reason)
        except (StepHungError, AgentError, LimitError) as error:
            answers.ended = answers.ended or _at(
                step, self._attribution.of_error(step, error, self._beside(position))
            )
            return step_result(position, step, answers.ended.verdict, reason=answers.ended.reason)
        if position in self._flight.split:
            record = with_first(record)
        self._flight.records.append(record)
        if not self._usable:
            # What comes after a crash, a hang or a failed preparation proves nothing either way.
            return unjudged(position, step, f"not judged: {self._why()}")
        result, answers.blocks[-1] = judge_step(position, step, record, self._before)
        if result.verdict in (Verdict.CRASHED, Verdict.HUNG):
            answers.ended = _at(
                step,
                self._attribution.of_outcome(step, result, pending.seconds, self._beside(position)),
            )
            return replace(result, reason=answers.ended.reason, verdict=answers.ended.verdict)
        if result.verdict is Verdict.ERROR:
            answers.ended = Ended(Verdict.ERROR, result.reason or "the agent refused a step")
        elif _preparation_failed(step, result) or result.verdict is Verdict.SKIPPED:
            answers.unusable = f'step {position + 1}, "{step.what}", {_short(result)}'
        return result

    def _beside(self, position: int) -> list[PlannedStep]:
        steps = self._flight.planned.steps
        return [steps[place] for place in under_way(steps, position)]


def _at(step: PlannedStep, ended: Ended) -> Ended:
    return replace(ended, step=step)


def _while_cleaning_up(step: PlannedStep, ended: Ended) -> Ended:
    return replace(ended, step=step, reason=f"while cleaning up: {ended.reason}")


def _preparation_failed(step: PlannedStep, result: StepResult) -> bool:
    return result.verdict is Verdict.FAILED and (
        step.index is None or any(c.rule == "setup" for c in result.mismatches)
    )


def _short(result: StepResult) -> str:
    return "cannot be done here" if result.verdict is Verdict.SKIPPED else "did not work"
