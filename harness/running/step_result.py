# SPDX-License-Identifier: Apache-2.0
"""One step of a plan and the record that came back, made into a `StepResult`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness import ntstatus
from harness.agent.frames import Record
from harness.agent.status_block import Outcome, StatusBlock
from harness.language.model import Rule
from harness.planning.planned import Answer, PlannedStep
from harness.results.record import Comparison, StepResult
from harness.running import comparison as compare
from harness.running import disclosure, report_comparison
from harness.running.block_fields import sent
from harness.running.leaks import Ledger
from harness.verdict import Verdict

#: Rules by which a step is judged that goes by the target file: that it can be opened, what it accepts, and
#: who owns its arguments.
_BY_THE_FILE = frozenset({Rule.SETUP.value, Rule.H9.value, Rule.ARGUMENTS.value})


@dataclass
class Before:
    """What the steps of a scenario leave for those behind them: counts, and where buffers were."""

    ledger: Ledger = field(default_factory=Ledger)
    sent: StatusBlock | None = None

    def note(self, step: PlannedStep, block: StatusBlock) -> None:
        """Remembers the request that was answered last, where its buffers' addresses are known."""
        if step.answer is Answer.REQUEST and block.done:
            self.sent = block if block.in_pointer or block.out_pointer else None

    def addressed(self, seen: dict[str, Any]) -> dict[str, Any]:
        """What a callback saw, and whether its buffers were the last caller's own."""
        if self.sent is not None and seen.get("count"):
            seen["in_callers"] = int(seen["in_pointer"] == self.sent.in_pointer)
            seen["out_callers"] = int(seen["out_pointer"] == self.sent.out_pointer)
        return seen


def judge_step(
    position: int, step: PlannedStep, record: Record, before: Before | None = None
) -> tuple[StepResult, StatusBlock | None]:
    """What one record says: compared, and its outcome made a verdict; and the decoded block.

    A record that cannot be decoded is the agent's fault, hence `ERROR`.  `before` is what steps before this
    one left for it, and is added to.
    """
    before = before or Before()
    try:
        block = StatusBlock.from_record(record, pointer_size=step.pointer_size)
    except ValueError as error:
        return step_result(position, step, Verdict.ERROR, reason=str(error)), None
    decoded = report_comparison.decoded(step, block)
    if decoded is not None:
        block = replace(block, seen=before.addressed(dict(decoded)))
    block = replace(block, disclosed=disclosure.disclosed(step, block))
    before.note(step, block)
    comparisons = compare.judge(step, block)
    unmeasured: tuple[str, ...] = ()
    if step.answer is Answer.COUNTERS and block.done:
        counters = report_comparison.counters(block)
        if counters is None:
            return step_result(
                position, step, Verdict.ERROR, reason="the client's counters are cut short"
            ), block
        judged = before.ledger.judge(step, counters)
        comparisons, unmeasured = judged.comparisons, judged.unmeasured
        block = replace(block, seen=dict(counters.values), output=b"")  # its tags are of no use alone
    wrong = [c for c in comparisons if not c.ok and not c.characteristic]
    detail = ntstatus.name(block.detail)
    reason: str | None = None
    match block.outcome:
        case Outcome.LOST:
            verdict, reason = Verdict.CRASHED, f"the kernel side vanished under the step ({detail})"
        case Outcome.HUNG:
            verdict, reason = Verdict.HUNG, _overdue(step)
        case Outcome.UNSUPPORTED:
            verdict, reason = Verdict.SKIPPED, f"this guest cannot do it: {step.what} ({detail})"
        case Outcome.REFUSED:
            verdict, reason = (
                Verdict.ERROR,
                f"the guest refused the step as impossible: {step.what} ({detail})"
                f"{_or_the_file(step, block.detail == ntstatus.NO_SUCH_DEVICE)}",
            )
        case _:
            verdict = Verdict.FAILED if wrong else Verdict.PASSED
            if unmeasured and not wrong:
                verdict = Verdict.SKIPPED
                reason = f"not measured on this guest: {', '.join(unmeasured)}"
            if wrong and step.premise:
                verdict = Verdict.ERROR
                reason = (
                    f"{step.what}: {wrong[0].field} is {wrong[0].got}, expected {wrong[0].expected}:"
                    " this guest was not made ready, and nothing is known about the driver"
                )
            elif wrong and step.condition and not ntstatus.is_success(block.answer):
                verdict = Verdict.SKIPPED
                reason = (
                    f"{step.what}: {ntstatus.name(block.answer)}: the driver refuses it, which nobody"
                    " forbids, and what follows cannot be shown"
                )
            elif wrong:
                first = wrong[0]
                reason = f"{first.rule}: {first.field} is {first.got}, expected {first.expected}"
                if step.request is not None and step.request.varies:
                    reason += f", with {compare.sent_place(step.request, block)}"
                reason += _or_the_file(step, first.rule in _BY_THE_FILE)
    request = None if step.request is None else sent(step.request, block)
    result = step_result(
        position,
        replace(step, request=request),
        verdict,
        reason=reason,
        block=block.as_dict(),
        comparisons=comparisons,
    )
    return result, block


def _overdue(step: PlannedStep) -> str:
    """What a step that hung has waited for."""
    if step.request is None or step.request.repeat == 1:
        return f"no answer within {step.timeout:g} s"
    return f"no answer to one of {step.request.repeat} requests within {step.each:g} s"


def _or_the_file(step: PlannedStep, concerned: bool) -> str:
    """Where else to look than at the driver: neither of the two is known to be wrong."""
    if not (concerned and step.doubtful):
        return ""
    return f"; if the driver is right, the target file may be wrong: {', '.join(step.doubtful)}"


def step_result(
    position: int,
    step: PlannedStep,
    verdict: Verdict,
    *,
    reason: str | None = None,
    block: Mapping[str, Any] | None = None,
    comparisons: Sequence[Comparison] = (),
) -> StepResult:
    """A result with everything that the plan knows of the step, judged or not."""
    request = step.request
    judged = next((c.rule for c in comparisons if not c.ok and not c.characteristic), None)
    predicted = step.prediction.rules[0].value if step.prediction and step.prediction.rules else None
    notes = [step.step.note] if step.step is not None and step.step.note else []
    if step.prediction is not None:
        notes.append(step.prediction.reason)
    notes += step.notes
    return StepResult(
        index=position,
        name=step.what,
        do=step.kind,
        verdict=verdict,
        route=request.route.value if request else None,
        mode=request.mode.value if request else None,
        rule=judged or predicted,
        request={}
        if request is None
        else {
            "protocol": str(request.data.protocol),
            "argument1": f"0x{request.data.argument1:X}",
            "argument2": f"0x{request.data.argument2:X}",
            "control": f"0x{request.control:08X}",
            "in_length": request.in_length,
            "out_length": request.out_length,
            "in_buffer": request.in_buffer.value,
            "out_buffer": request.out_buffer.value,
        },
        status_block=block,
        comparisons=tuple(comparisons),
        notes=tuple(notes),
        reason=reason,
    )


def unjudged(position: int, step: PlannedStep, why: str) -> StepResult:
    """A step about which nothing can be said, and why."""
    return step_result(position, step, Verdict.SKIPPED, reason=why)
