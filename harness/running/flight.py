# SPDX-License-Identifier: Apache-2.0
"""A scenario on its way: what was sent of it, what is held back, and what came.

Everything goes out at once, but for steps whose request is repeated: of these the first request goes alone.
Where its answer is wrong already, the other thousand would say the same and cost their time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from drivers.abi import load
from harness.agent.frames import Record
from harness.agent.pending import Pending
from harness.agent.session import AgentSession
from harness.contract.prediction import Request
from harness.planning.planned import Answer, Plan, PlannedStep


@dataclass
class Flight:
    """A plan that is being sent to a session.

    `steps` and `cleanup` are on their way, in the order of the plan; `first` is the first request of the
    step that is held back behind it, and `split` are the places of those of which it went alone.
    `records` are those that came, cleaning up included.
    """

    planned: Plan
    session: AgentSession
    file: str = ""
    steps: list[Pending] = field(default_factory=list)
    cleanup: list[Pending] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    first: tuple[PlannedStep, Pending] | None = None
    split: set[int] = field(default_factory=set)

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
        for step in self.planned.steps[len(self.steps) :]:
            alone = first_alone(step)
            if alone is not None:
                self.first = alone, self._submit(alone)
                return
            self.steps.append(self._submit(step))
        self.clean_up()

    def send_rest(self) -> None:
        """The other requests of the step that was held back, and all that can go behind them."""
        step = self.planned.steps[len(self.steps)]
        self.split.add(len(self.steps))
        self.steps.append(self._submit(_without_first(step)))
        self.send()

    def clean_up(self) -> None:
        """What cleans up; nothing where the lease will be thrown away in any case."""
        self.first = None
        if self.planned.spoils is None:
            self.cleanup += [self._submit(step) for step in self.planned.cleanup]

    def tidying(self) -> Iterator[tuple[PlannedStep, Pending]]:
        """The steps that clean up, each with its record to come."""
        yield from zip(self.planned.cleanup[: len(self.cleanup)], self.cleanup, strict=True)

    def _submit(self, step: PlannedStep) -> Pending:
        return self.session.submit(step.payload, what=step.what, timeout=step.timeout)


def first_alone(step: PlannedStep) -> PlannedStep | None:
    """The first request of a step that repeats one; None where it is not to go alone.

    That is where nothing is expected of its answer, and where several threads send at once.
    """
    request = step.request
    if (
        request is None
        or request.repeat == 1
        or step.answer is not Answer.REQUEST
        or not step.expected_fields
    ):
        return None
    abi = load()
    head = abi.cs.kshs_step(step.payload)
    if int(head.op) != abi.constants["KSHS_OP_REQUEST"]:
        return None
    return replace(_repeated(step, 1), timeout=step.each, request=request.row(0, 1))


def with_first(record: Record) -> Record:
    """The record of the other requests as one of all of them: the first had its answer before."""
    return replace(record, repeats=record.repeats + 1)


def _without_first(step: PlannedStep) -> PlannedStep:
    if step.request is None:
        raise ValueError(f"{step.what}: no request to repeat")
    request = step.request
    return _repeated(step, request.repeat - 1, request.row(1, request.repeat - 1))


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
