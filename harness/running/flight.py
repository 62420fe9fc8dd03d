# SPDX-License-Identifier: Apache-2.0
"""A scenario on its way: what was sent of it, what is held back, and what came.

Everything goes out at once, but for steps whose request is repeated: of these the first request goes alone,
also where several threads repeat it.  Where its answer is wrong already, the other thousand would say the
same and cost their time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from drivers.abi import load
from harness.agent.frames import Record
from harness.agent.pending import Pending
from harness.agent.session import AgentSession
from harness.contract.prediction import Request
from harness.planning.planned import Answer, Plan, PlannedStep
from harness.running.limits import Watchdog

if TYPE_CHECKING:
    from harness.language.model import Scenario


@dataclass(frozen=True)
class Upcoming:
    """The scenario that will be run next, and the file that it comes from."""

    scenario: Scenario
    file: str


@dataclass
class Flight:
    """A plan that is being sent to a session.

    `steps` and `cleanup` are on their way, in the order of the plan; `first` is the first request of the
    step that is held back behind it, and `split` are the places of the answers that it is one of.
    `records` are those that came, cleaning up included; `watchdog` looks after the time of all of it.
    """

    planned: Plan
    session: AgentSession
    file: str = ""
    steps: list[Pending] = field(default_factory=list)
    cleanup: list[Pending] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    first: tuple[Alone, Pending] | None = None
    split: set[int] = field(default_factory=set)
    watchdog: Watchdog | None = None

    def record(self, step: PlannedStep, pending: Pending) -> Record:
        """The record of a step, as soon as it is there; raises what `Pending.result` raises.

        Raises:
            LimitError: the time of the step or of the scenario was over.
        """
        watchdog = self.watchdog
        if watchdog is None:
            return pending.result()
        error = watchdog.look(pending, step)
        if error is not None and not pending.done:
            raise error
        return pending.result(lambda: watchdog.look(pending, step))

    @property
    def guest_seconds(self) -> float:
        """From the begin of its first step to the end of its last one, by the guest's clock."""
        if not self.records:
            return 0.0
        begin = min(record.begin_ns for record in self.records)
        return (max(record.begin_ns + record.duration_ns for record in self.records) - begin) / 1e9

    def send(self) -> None:
        """All that can go now: up to the next repeated request, or to the end with what cleans up."""
        self.first = None
        with self.session.together():
            for position in range(len(self.steps), len(self.planned.steps)):
                alone = first_alone(self.planned.steps, position)
                if alone is not None:
                    self.first = alone, self._submit(alone.step, position)
                    return
                self.steps.append(self._submit(self.planned.steps[position], position))
            self.clean_up()

    def send_rest(self) -> None:
        """The other requests of the step that was held back, and all that can go behind them."""
        if self.first is None:
            raise ValueError("no request went alone")
        alone, _ = self.first
        self.split.add(alone.answered)
        place = len(self.steps)
        self.steps.append(self._submit(_without_first(self.planned.steps[place]), place))
        self.send()

    def clean_up(self) -> None:
        """What cleans up; nothing where the lease will be thrown away in any case."""
        self.first = None
        if self.planned.spoils is None:
            self.cleanup += [self._submit(step) for step in self.planned.cleanup]

    def tidying(self) -> Iterator[tuple[PlannedStep, Pending]]:
        """The steps that clean up, each with its record to come."""
        yield from zip(self.planned.cleanup[: len(self.cleanup)], self.cleanup, strict=True)

    def _submit(self, step: PlannedStep, place: int | None = None) -> Pending:
        return self.session.submit(step.payload, what=step.what, timeout=step.timeout, place=place)


@dataclass(frozen=True)
class Alone:
    """The first request of a step, sent by itself.

    `answered` is the place of the step whose record will be that of the other requests, and `others` how many
    these are, those of further threads among them.
    """

    step: PlannedStep
    answered: int
    others: int


def first_alone(steps: Sequence[PlannedStep], position: int) -> Alone | None:
    """The first request of the step at this place, where it repeats one; None where it is not to go alone.

    That is where nothing is expected of its answer, and where the scenario itself has begun it and waits for
    it in a later step.
    """
    step = steps[position]
    request = step.request
    if request is None or request.repeat == 1 or not _is_request(step):
        return None
    threads = _threads(steps, position) if step.answer is Answer.STARTED else [step]
    if not threads or not threads[0].expected_fields:
        return None
    waited = threads[0]
    first = _repeated(step, 1) if waited is step else _at_once(step, waited)
    return Alone(
        replace(first, timeout=step.each, request=request.row(0, 1)),
        answered=next(place for place, other in enumerate(steps) if other is waited),
        others=len(threads) * request.repeat - 1,
    )


def _threads(steps: Sequence[PlannedStep], position: int) -> list[PlannedStep]:
    """What waits for the threads that one step of the scenario starts, where this is the first of them."""
    step = steps[position]
    if step.step is None or getattr(step.step, "start", None) is not None:
        return []
    own = [other for other in steps if other.step is step.step]
    return [other for other in own if other.answer is Answer.REQUEST] if own[0] is step else []


def _at_once(step: PlannedStep, waited: PlannedStep) -> PlannedStep:
    """A request that is to be started as one that is waited for at once, and judged as its answer will be."""
    abi = load()
    head = abi.cs.kshs_step(step.payload)
    head.flags = int(head.flags) & ~abi.constants["KSHS_STEP_ASYNC"]
    head.token = abi.constants["KSHS_NO_TOKEN"]
    head.repeat = 1
    payload = bytes(head.dumps()) + step.payload[len(abi.cs.kshs_step) :]
    name = step.what.removeprefix("start ").rpartition(" as ")[0]
    return replace(waited, what=f"{name}, before its threads", payload=payload)


def with_first(record: Record) -> Record:
    """The record of the other requests as one of all of them: the first had its answer before."""
    return replace(record, repeats=record.repeats + 1)


def _without_first(step: PlannedStep) -> PlannedStep:
    if step.request is None:
        raise ValueError(f"{step.what}: no request to repeat")
    request = step.request
    return _repeated(step, request.repeat - 1, request.row(1, request.repeat - 1))


def _is_request(step: PlannedStep) -> bool:
    abi = load()
    return int(abi.cs.kshs_step(step.payload).op) == abi.constants["KSHS_OP_REQUEST"]


def _repeated(step: PlannedStep, count: int, request: Request | None = None) -> PlannedStep:
    """The step with another number of requests, and with what `request` varies; only its head changes."""
    cs = load().cs
    head = cs.kshs_step(step.payload)
    head.repeat = count
    if request is not None and request.varies:
        head.in_length, head.out_length = request.in_length, request.out_length
        if request.first_bit is not None:
            head.value = request.first_bit
    size = len(cs.kshs_step)
    return replace(step, payload=bytes(head.dumps()) + step.payload[size:])
