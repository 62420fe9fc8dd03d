# SPDX-License-Identifier: Apache-2.0
"""Compares what came back with what was wanted, field by field, and explains each difference.

Three layers, each with its rule: the fields that the contract or the scenario demands, the
invariants of the I/O manager that hold for every completed request (rule IO), and, where the
contract is silent, the fields that are only put on record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from drivers.abi import load
from harness import ntstatus
from harness.agent.encode import Encoder
from harness.agent.status_block import Outcome, RecordFlag, StatusBlock
from harness.contract.prediction import PredictionKind, Request
from harness.language.model import WaitInside
from harness.language.model.values import Buffer, Route, Rule, State
from harness.planning.planned import Answer, ExpectedField, ExpectedValue, PlannedStep
from harness.results.record import Comparison
from harness.rules import CLAUSES
from vm.words import counted

_STATUS_FIELDS = frozenset({"answer", "returned", "status"})
_WORD_FIELDS = frozenset({"argument1", "argument2"})
#: What is put on record where nothing is judged.
_RECORDED = ("answer", "returned", "status", "information", "pending", "changed_bytes")
#: By what a `wait_inside` step waits for: what has begun, and what of it has ended.
_INSIDE = {"callback": ("count", "finished"), "state": ("changes_begun", "changes_ended")}
_RECORDED_SEEN = ("count", "finished", "irql", "returned")
_RECORDED_PIN_HANDSHAKE = ("returned", "out_written")
#: What is said of the property request, and not of what the property holds.
_OF_THE_REQUEST = frozenset({"answer", "completions"})
_NOT_SHOWN = "not shown by this route"


def judge(planned: PlannedStep, block: StatusBlock) -> tuple[Comparison, ...]:
    """Everything that can be said about one answer.

    A step passes when every comparison that is not a characteristic is `ok`.  A block whose outcome
    is not the one that belongs to the step gives a single comparison of the field ``outcome``: what
    that means (hung, lost, impossible here) is for the caller to decide.
    """
    wanted = Outcome.STARTED if planned.answer is Answer.STARTED else Outcome.DONE
    if block.outcome is not wanted and not (
        # A request may be complete before the agent could call it started.
        planned.answer is Answer.STARTED and block.outcome is Outcome.DONE
    ):
        detail = f", {ntstatus.name(block.detail)}" if block.detail else ""
        return (Comparison("outcome", wanted.value, f"{block.outcome.value}{detail}", ok=False),)
    match planned.answer:
        case Answer.REQUEST:
            return tuple(_request(planned, block))
        case Answer.STATUS:
            fields = _block_fields(block)
            return (*_compare(planned.expected_fields, fields, block), *_pending("answer", block.answer))
        case Answer.SEEN:
            return tuple(_report(planned, block, _RECORDED_SEEN))
        case Answer.PIN_HANDSHAKE:
            return tuple(_report(planned, block, _RECORDED_PIN_HANDSHAKE))
        case Answer.STARTED | Answer.PLAIN:
            return ()


def decoded(planned: PlannedStep, block: StatusBlock) -> dict[str, int | str] | None:
    """The structure inside a record's data, for `seen` and `pin_handshake` steps; else None."""
    encoder = Encoder(load())
    if planned.answer is Answer.SEEN:
        seen = encoder.read_seen(block.output)
        if seen is not None and isinstance(planned.step, WaitInside):
            begun, ended = _INSIDE[planned.step.what]
            seen["inside"] = int(int(seen[begun]) - int(seen[ended]) >= planned.step.count)
        return seen
    if planned.answer is Answer.PIN_HANDSHAKE:
        return encoder.read_pin_handshake(block.output)
    return None


# ---- requests ---------------------------------------------------------------------------------


def _request(planned: PlannedStep, block: StatusBlock) -> Iterator[Comparison]:
    fields = _block_fields(block)
    yield from _compare(planned.expected_fields, fields, block)
    judged = {wanted.field for wanted in planned.expected_fields}
    prediction = planned.prediction
    if prediction is None or prediction.kind is PredictionKind.CHARACTERISTIC or not judged:
        reason = prediction.reason if prediction is not None else "only recorded"
        for name in _RECORDED:
            if name not in judged:
                yield _characteristic(name, fields.get(name), reason)
    if planned.request is not None:
        yield from invariants(sent(planned.request, block), block)
        yield from _repeats(planned, planned.request, block)


def sent(request: Request, block: StatusBlock) -> Request:
    """The request that a record is of: where repeats differ, the one that was sent last."""
    if not request.varies:
        return request
    return request.nth(min(max(block.repeats, 1), request.repeat) - 1)


def _repeats(planned: PlannedStep, request: Request, block: StatusBlock) -> Iterator[Comparison]:
    """That the same request got the same answer each time, where the contract says which.

    The record shows the first answer that differs from the very first one: it may be the right one of them.
    """
    prediction = planned.prediction
    if request.repeat == 1 or block.cancelled or not planned.expected_fields:
        return
    alike = block.repeats == request.repeat
    if request.varies:
        rule = planned.expected_fields[0].rule
        differing = f"{sent_place(request, block)} differs"
    elif prediction is None or prediction.kind is not PredictionKind.EXPECTED:
        return
    else:
        fields = prediction.expected
        if fields.get("answer") == ntstatus.SUCCESS and "argument1" not in fields:
            return  # nobody said what the output is to be: it may be another one each time
        rule = prediction.rules[0]
        differing = f"answer {block.repeats} differs from the first"
    got = f"{request.repeat} alike" if alike else differing
    yield Comparison("repeats", f"{request.repeat} alike", got, alike, rule.value, CLAUSES[rule])


def sent_place(request: Request, block: StatusBlock) -> str:
    """Which of the differing repeats a record is of, in words."""
    return request.place(min(max(block.repeats, 1), request.repeat) - 1)


def invariants(request: Request, block: StatusBlock) -> Iterator[Comparison]:
    """What holds for every completed request whatever it answers (rule IO, docs/scenarios.md)."""
    final = block.answer != ntstatus.PENDING
    yield replace(
        _io("answer is final", "not STATUS_PENDING", ntstatus.name(block.answer), final),
        got_value=block.answer,
    )
    yield replace(
        _io("irql_after", "0", str(block.irql_after), block.irql_after == 0),
        expected_values=(0,),
        got_value=block.irql_after,
    )
    if block.guards is not None:
        low, high = block.guards
        got = {(True, True): "intact", (False, True): "overwritten before the buffer"}.get(
            (low, high), "overwritten behind the buffer"
        )
        yield _io("guard bytes", "intact", got, low and high)
        if request.out_buffer is not Buffer.ALIAS and block.changed_last is not None:
            yield _io(
                "last byte written",
                f"below OutLength {request.out_length}",
                str(block.changed_last),
                block.changed_last < request.out_length,
            )
    yield from _completion(request, block)


def _completion(request: Request, block: StatusBlock) -> Iterator[Comparison]:
    """That a request is completed once, and that the call and the IRP tell the same."""
    status = block.status
    if request.route is Route.IRP:
        yield _io("completions", "1", str(block.completions), block.completions == 1)
        yield _io(
            "IoStatus.Status", "written", "written" if status is not None else "untouched", status is not None
        )
        marked = "marked pending" if block.pending_returned else "not marked pending"
        yield _io(
            "IoMarkIrpPending",
            "marked pending" if block.pending else "not marked pending",
            marked,
            block.pending_returned == block.pending,
        )
    elif request.route in {Route.EVENT, Route.PORT, Route.APC}:
        if block.pending:
            yield _io("completions", "1", str(block.completions), block.completions == 1)
        else:
            yield _io("completions", "at most 1", str(block.completions), block.completions <= 1)
    if block.iosb_visible and not block.pending and status is not None:
        yield _io("returned", ntstatus.name(status), ntstatus.name(block.returned), block.returned == status)
    if block.iosb_visible and block.pending and request.route not in {Route.IRP, Route.SYNC}:
        yield _io(
            "IoStatus.Status", "written", "written" if status is not None else "untouched", status is not None
        )
        arrived = RecordFlag.SIGNALLED in block.flags
        yield _io("completion signal", "arrived", "arrived" if arrived else "never arrived", arrived)


def _pending(field: str, status: object) -> Iterator[Comparison]:
    """That something which has ended says STATUS_PENDING: a success by its number, and no end of anything."""
    if status == ntstatus.PENDING:
        wrong = _io(f"{field} is final", "not STATUS_PENDING", ntstatus.name(ntstatus.PENDING), False)
        yield replace(wrong, got_value=ntstatus.PENDING)


def _io(field: str, expected: str, got: str, ok: bool) -> Comparison:
    return Comparison(field, expected, got, ok, Rule.IO.value, CLAUSES[Rule.IO])


# ---- reports of the target --------------------------------------------------------------------


def _report(planned: PlannedStep, block: StatusBlock, recorded: tuple[str, ...]) -> Iterator[Comparison]:
    """A structure that the target's property set gave; the property request itself must have worked."""
    own = tuple(wanted for wanted in planned.expected_fields if wanted.field in _OF_THE_REQUEST)
    yield from _compare(own, _block_fields(block), block)
    yield from _pending("answer", block.answer)
    if not ntstatus.is_success(block.answer):
        if planned.prediction is not None and planned.prediction.kind is PredictionKind.CHARACTERISTIC:
            yield _characteristic("answer", block.answer, planned.prediction.reason)
        return
    fields = decoded(planned, block)
    if fields is None:
        yield Comparison(
            "data",
            "the whole structure",
            counted(len(block.output), "byte"),
            False,
            Rule.SETUP.value,
            CLAUSES[Rule.SETUP],
        )
        return
    expected_fields = tuple(
        wanted for wanted in planned.expected_fields if wanted.field not in _OF_THE_REQUEST
    )
    yield from _compare(expected_fields, fields, block)
    if planned.answer is Answer.PIN_HANDSHAKE:
        yield from _pending("returned", fields["returned"])  # KsPinHandshake is a call that waits
    if not expected_fields:
        reason = planned.prediction.reason if planned.prediction is not None else "only recorded"
        for name in recorded:
            yield _characteristic(name, fields[name], reason)


# ---- fields -----------------------------------------------------------------------------------


def _block_fields(block: StatusBlock) -> dict[str, Any]:
    """The comparable fields of a status block by the names that expectations use."""
    handshake = block.handshake
    hidden = "untouched" if block.iosb_visible else None
    return {
        "answer": block.answer,
        "returned": block.returned,
        "status": block.status if block.status is not None else hidden,
        "information": block.information if block.information is not None else "untouched",
        "pending": block.pending,
        "completions": block.completions,
        "cancelled": block.cancelled,
        "changed_bytes": block.changed_bytes if block.out_visible else None,
        "input_intact": block.input_intact,
        "native": block.native,
        "data": block.output.hex(),
        "protocol": str(handshake.protocol) if handshake is not None else None,
        "argument1": handshake.argument1 if handshake is not None else None,
        "argument2": handshake.argument2 if handshake is not None else None,
    }


def _compare(
    expected_fields: tuple[ExpectedField, ...], fields: Mapping[str, Any], block: StatusBlock
) -> Iterator[Comparison]:
    for wanted in expected_fields:
        got = fields.get(wanted.field)
        ok = any(_matches(wanted.field, value, got, block.pointer_size) for value in wanted.values)
        expected = " or ".join(_show(wanted.field, value) for value in wanted.values)
        yield Comparison(
            wanted.field,
            expected,
            _show(wanted.field, got),
            ok,
            wanted.rule.value,
            CLAUSES[wanted.rule],
            expected_values=wanted.values,
            got_value=_value(got),
        )


def _matches(field: str, wanted: ExpectedValue, got: Any, pointer_size: int) -> bool:
    if got is None:
        return False
    if field in _STATUS_FIELDS:
        if wanted == "untouched" or got == "untouched":
            return bool(wanted == got)
        if wanted == "success":
            return ntstatus.is_success(got)
        if wanted == "error":
            return ntstatus.is_error(got)
    if field in _WORD_FIELDS and isinstance(wanted, int):
        return bool(wanted & ((1 << 8 * pointer_size) - 1) == got)
    if isinstance(wanted, bool):
        return wanted == bool(got)
    return bool(wanted == got)


def _show(field: str, value: Any) -> str:
    if value is None:
        return _NOT_SHOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if field in _STATUS_FIELDS and isinstance(value, int):
        return ntstatus.name(value)
    if field in _WORD_FIELDS and isinstance(value, int):
        return f"0x{value:X}"
    if field == "device_state" and isinstance(value, int):
        states = list(State)
        return states[value].value if value < len(states) else str(value)
    if field == "out_written":
        return "yes" if value else "no"
    return {"success": "any success", "error": "any error"}.get(str(value), str(value))


def _characteristic(field: str, got: Any, reason: str) -> Comparison:
    return Comparison(
        field,
        f"not laid down: {reason}",
        _show(field, got),
        ok=True,
        rule=Rule.CHARACTERISTIC.value,
        clause=CLAUSES[Rule.CHARACTERISTIC],
        characteristic=True,
        got_value=_value(got),
    )


def _value(got: Any) -> int | str | bool | None:
    """What came, as JSON has it: numbers stay numbers."""
    if got is None or got == "untouched":
        return None
    return got if isinstance(got, (int, str)) else str(got)
