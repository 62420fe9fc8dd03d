# SPDX-License-Identifier: Apache-2.0
"""What the contract says of the answers in a trace, as far as a filter sees them.

The same predictions and comparisons as in a run (`harness.running`), over answers that were recorded
elsewhere.  What a filter cannot see is not judged: guard bytes, how often an IRP was completed, what is left
behind.  What a callback saw is known where somebody asked the sample for it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from drivers import abi
from harness.agent.frames import Record
from harness.agent.status_block import RecordFlag
from harness.capsule.traced.events import Content, Event
from harness.capsule.traced.steps import SIZE
from harness.capsule.traced.translating import Translated
from harness.errors import UsageError
from harness.language.model import PropertyGet, PropertySet, Scenario, Target
from harness.language.model import Step as AnyStep
from harness.planning.plan import plan
from harness.planning.planned import Answer, NotApplicable, PlannedStep
from harness.results.record import StepResult
from harness.running.step_result import judge_step
from harness.verdict import Verdict

#: Fields of a status block that the drivers above a device see, and those of which the output is needed.
_SEEN = frozenset({"answer", "returned", "information", "answer is final", "IoMarkIrpPending"})
_OF_OUTPUT = frozenset({"protocol", "argument1", "argument2"})
#: What a callback of the sample had seen.
_OF_CALLS = frozenset({"count", "device_state", "after_close", "irql", "aliased", "opened", "closed"})
_ANSWERS = (Answer.REQUEST, Answer.PIN_HANDSHAKE, Answer.SEEN)
_STEPS: TypeAdapter[Any] = TypeAdapter(AnyStep)
#: Numbers of a status block that a trace has (`StatusBlock.numbers`); arguments only where it has an output.
_NUMBERS = ("answer", "returned", "status", "information", "pending", "pending_returned")
_NOWHERE = 0xFFFFFFFF
_SIZE_OF_32_BIT = 24
_POISON = 0xDEADF00D


@dataclass(frozen=True)
class Judged:
    """What is said of each answer by its event's number, and why nothing is where nothing could be."""

    results: Mapping[int, StepResult]
    why_not: str | None = None

    @property
    def first_failure(self) -> StepResult | None:
        """The first answer that the contract forbids."""
        return next((each for each in self.results.values() if each.verdict is Verdict.FAILED), None)


def judge(translated: Translated, target: Target) -> Judged:
    """Judges each answer of a trace.

    Args:
        translated: all of its steps, however many.
        target: by whose file the contract knows what a pin accepts.
    """
    scenario = Scenario.model_construct(
        id="trace",
        title="a trace",
        rule="characteristic",
        also=[],
        why=None,
        tags=[],
        needs=[],
        open=[],
        arguments="exact",
        bare=False,
        timeout_ms=10_000,
        limit_s=None,
        steps=[_STEPS.validate_python(step) for step in translated.steps],
    )
    try:
        planned = plan(scenario, target)
    except (UsageError, NotApplicable) as why:
        return Judged({}, str(why))
    return Judged(dict(_results(planned.steps, translated)))


def _results(steps: tuple[PlannedStep, ...], translated: Translated) -> Iterator[tuple[int, StepResult]]:
    for position, step in enumerate(steps):
        event = translated.events[step.index] if step.index is not None else None
        data = isinstance(step.step, PropertyGet | PropertySet)
        if event is None or not (data or step.answer in _ANSWERS) or not _can_be_judged(event):
            continue
        if step.step is not None and step.step.do == "cancel":
            continue
        result, _ = judge_step(position, step, _record(step, event))
        yield event.n, _as_seen(result, event, step)


def is_of_32_bit(event: Event) -> bool:
    """Whether a 32-bit program sent a KSHANDSHAKE as it has it.

    The contract does not say which length is right then, and drivers may translate it.
    """
    theirs = event.event == "handshake" and event.bits == 32
    return theirs and _SIZE_OF_32_BIT in (event.in_length, event.out_length)


def is_unread(event: Event) -> bool:
    """Whether nobody knows what a handshake had asked for, and its lengths do not say that it is wrong."""
    unread = event.event == "handshake" and event.input_unread and event.in_buffer == "normal"
    return unread and event.in_length == event.out_length == SIZE


def _can_be_judged(event: Event) -> bool:
    """Whether its answer is known, and what it answers."""
    ended = event.came_back and event.status is not None
    return ended and not is_of_32_bit(event) and not is_unread(event)


def _as_seen(result: StepResult, event: Event, step: PlannedStep) -> StepResult:
    """The same without what the trace does not show."""
    content = event.output
    seen = _SEEN
    if step.answer is Answer.PIN_HANDSHAKE:
        seen |= _OF_OUTPUT | {"out_written"}
    elif step.answer is Answer.SEEN:
        seen |= _OF_CALLS
    if content is not None and content.protocol is not None:
        seen |= {"protocol"}
        seen |= {name for name in ("argument1", "argument2") if not isinstance(getattr(content, name), str)}
    block = dict(result.status_block or {})
    numbers = block.get("numbers") or {}
    block["numbers"] = {name: numbers[name] for name in numbers if name in seen or name in _NUMBERS}
    result = replace(result, status_block=block)
    shown = tuple(each for each in result.comparisons if each.field in seen)
    wrong = [each for each in shown if not each.ok and not each.characteristic]
    if not wrong:
        return replace(result, comparisons=shown, verdict=Verdict.PASSED, reason=None)
    first = wrong[0]
    reason = f"{first.rule}: {first.field} is {first.got}, expected {first.expected}"
    return replace(result, comparisons=shown, verdict=Verdict.FAILED, reason=reason, rule=first.rule)


def _record(step: PlannedStep, event: Event) -> Record:
    constants = abi.load().constants
    request = step.answer is Answer.REQUEST
    flags = RecordFlag.IOSB_VISIBLE | RecordFlag.GUARD_LOW | RecordFlag.GUARD_HIGH | RecordFlag.IN_INTACT
    flags |= RecordFlag.OUT_VISIBLE
    if event.requestor == "user" and event.pending:
        flags |= RecordFlag.SIGNALLED
    status = event.status if event.status is not None else _POISON
    flags |= RecordFlag.STATUS_WRITTEN * (event.status is not None)
    flags |= RecordFlag.INFO_WRITTEN * (event.information is not None)
    flags |= RecordFlag.PENDING * event.pending
    flags |= RecordFlag.PENDING_RETURNED * event.marked_pending
    flags |= RecordFlag.CANCELLED * event.cancelled
    data = _bytes(event.output) if request else (event.answer or b"")
    return Record(
        seq=0,
        op=constants["KSHS_OP_REQUEST" if request else "KSHS_OP_PROPERTY"],
        outcome=0,
        detail=0,
        flags=int(flags),
        returned=event.returned if event.returned is not None else status,
        status=status,
        completions=1,
        information=event.information or 0,
        changed_bytes=len(data) if request and event.succeeded else 0,
        changed_first=0 if data and event.succeeded else _NOWHERE,
        changed_last=min(len(data), event.out_length) - 1 if data and event.succeeded else _NOWHERE,
        irql_after=0,
        begin_ns=event.at_ns,
        duration_ns=event.took_ns or 0,
        thread=event.tid,
        repeats=1,
        data=data,
    )


def _bytes(content: Content | None) -> bytes:
    if content is None:
        return b""
    if content.bytes_ is not None:
        return content.bytes_
    if content.protocol is None:
        return content.behind
    one, two = (0 if isinstance(each, str) else each for each in (content.argument1, content.argument2))
    return content.protocol.bytes_le + struct.pack("<QQ", one, two) + content.behind
