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
_RECORDED_MADE = ("held", "references", "dereferences", "calls", "excess", "stale")
#: Counts that explain another one.
_COUNTS = {"held": ("references", "dereferences"), "excess": ("references", "dereferences")}
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
        return (
            Comparison(
                "outcome",
                wanted.value,
                f"{block.outcome.value}{detail}",
                ok=False,
                expected_values=(wanted.value,),
                got_value=block.outcome.value,
            ),
        )
    match planned.answer:
        case Answer.REQUEST:
            return tuple(_request(planned, block))
        case Answer.STATUS:
            return tuple(_compare(planned.expected_fields, _block_fields(block), block))
        case Answer.SEEN:
            return tuple(_report(planned, block, _RECORDED_SEEN))
        case Answer.PIN_HANDSHAKE:
            return tuple(_report(planned, block, _RECORDED_PIN_HANDSHAKE))
        case Answer.MADE:
            return tuple(_made(planned, block))
        case Answer.STARTED | Answer.PLAIN:
            return ()


def decoded(planned: PlannedStep, block: StatusBlock) -> Mapping[str, int | str | bool | None] | None:
    """The structure inside a record's data, for `seen`, `pin_handshake` and `inspect` steps; else None."""
    encoder = Encoder(load())
    if planned.answer is Answer.MADE:
        return encoder.read_made(block.output)
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
        yield from invariants(planned.request, block)
        yield from _repeats(planned, planned.request, block)


def _repeats(planned: PlannedStep, request: Request, block: StatusBlock) -> Iterator[Comparison]:
    """That the same request got the same answer each time, where the contract says which.

    The record shows the first answer that differs from the very first one: it may be the right one of them.
    """
    prediction = planned.prediction
    if request.repeat == 1 or block.cancelled or not planned.expected_fields:
        return
    if prediction is None or prediction.kind is not PredictionKind.EXPECTED:
        return
    fields = prediction.expected
    if fields.get("answer") == ntstatus.SUCCESS and "argument1" not in fields:
        return  # nobody said what the output is to be: it may be another one each time
    alike = block.repeats == request.repeat
    got = f"{request.repeat} alike" if alike else f"answer {block.repeats} differs from the first"
    rule = prediction.rules[0]
    yield Comparison(
        "repeats",
        f"{request.repeat} alike",
        got,
        alike,
        rule.value,
        CLAUSES[rule],
        expected_values=(request.repeat,),
        got_value=block.repeats,
    )


def invariants(request: Request, block: StatusBlock) -> Iterator[Comparison]:
    """What holds for every completed request whatever it answers (rule IO, docs/scenarios.md)."""
    final = block.answer != ntstatus.PENDING
    yield _io("answer is final", "not STATUS_PENDING", ntstatus.name(block.answer), final, value=block.answer)
    yield _io_number("irql_after", (0,), block.irql_after)
    if block.guards is not None:
        low, high = block.guards
        got = {
            (True, True): "intact",
            (False, True): "overwritten before the buffer",
            (True, False): "overwritten behind the buffer",
        }.get((low, high), "overwritten before and behind the buffer")
        yield _io_fact("guard bytes", True, low and high, "intact", got)
        if request.out_buffer is not Buffer.ALIAS and block.changed_last is not None:
            yield _io(
                "last byte written",
                f"below OutLength {request.out_length}",
                str(block.changed_last),
                block.changed_last < request.out_length,
                value=block.changed_last,
            )
    yield from _completion(request, block)


def _completion(request: Request, block: StatusBlock) -> Iterator[Comparison]:
    """That a request is completed once, and that the call and the IRP tell the same."""
    status = block.status
    if request.route is Route.IRP:
        yield _io_number("completions", (1,), block.completions)
        yield _written(status)
        wanted, got = (
            "marked pending" if mark else "not marked pending"
            for mark in (block.pending, block.pending_returned)
        )
        yield _io_fact("IoMarkIrpPending", block.pending, block.pending_returned, wanted, got)
    elif request.route in {Route.EVENT, Route.PORT, Route.APC}:
        yield _io_number("completions", (1,) if block.pending else (0, 1), block.completions)
    if block.iosb_visible and not block.pending and status is not None:
        yield _io(
            "returned",
            ntstatus.name(status),
            ntstatus.name(block.returned),
            block.returned == status,
            expected_values=(status,),
            value=block.returned,
        )
    if block.iosb_visible and block.pending and request.route not in {Route.IRP, Route.SYNC}:
        yield _written(status)
        arrived = RecordFlag.SIGNALLED in block.flags
        got = "arrived" if arrived else "never arrived"
        yield _io_fact("completion signal", True, arrived, "arrived", got)


def _written(status: int | None) -> Comparison:
    there = status is not None
    return _io_fact("IoStatus.Status", True, there, "written", "written" if there else "untouched")


def _io_number(field: str, wanted: tuple[int, ...], got: int) -> Comparison:
    """A number that must be one of these: the last of them, or less, where there are several."""
    expected = str(wanted[0]) if len(wanted) == 1 else f"at most {wanted[-1]}"
    return _io(field, expected, str(got), got in wanted, expected_values=wanted, value=got)


def _io_fact(field: str, wanted: bool, got: bool, expected: str, shown: str) -> Comparison:
    """Something that is so or not, with the words for it."""
    return _io(field, expected, shown, got is wanted, expected_values=(wanted,), value=got)


def _io(
    field: str,
    expected: str,
    got: str,
    ok: bool,
    *,
    value: int,
    expected_values: tuple[int, ...] | None = None,
) -> Comparison:
    """Without `expected_values`: more than could be listed would do."""
    return Comparison(
        field,
        expected,
        got,
        ok,
        Rule.IO.value,
        CLAUSES[Rule.IO],
        expected_values=expected_values,
        got_value=value,
    )


# ---- reports of the target --------------------------------------------------------------------


def _report(planned: PlannedStep, block: StatusBlock, recorded: tuple[str, ...]) -> Iterator[Comparison]:
    """A structure that the target's property set gave; the property request itself must have worked."""
    own = tuple(wanted for wanted in planned.expected_fields if wanted.field in _OF_THE_REQUEST)
    yield from _compare(own, _block_fields(block), block)
    if not ntstatus.is_success(block.answer):
        if planned.prediction is not None and planned.prediction.kind is PredictionKind.CHARACTERISTIC:
            yield _characteristic("answer", block.answer, planned.prediction.reason)
        return
    fields = decoded(planned, block)
    if fields is None:
        cs = load().cs
        yield _no_structure(block, len(cs.kshs_seen if planned.answer is Answer.SEEN else cs.kshs_pin_handshake))
        return
    expected_fields = tuple(
        wanted for wanted in planned.expected_fields if wanted.field not in _OF_THE_REQUEST
    )
    yield from _compare(expected_fields, fields, block)
    if not expected_fields:
        reason = planned.prediction.reason if planned.prediction is not None else "only recorded"
        for name in recorded:
            yield _characteristic(name, fields[name], reason)


def _made(planned: PlannedStep, block: StatusBlock) -> Iterator[Comparison]:
    """What has become of a block or an interface, with the counts where one of them is wrong."""
    fields = decoded(planned, block)
    if fields is None:
        yield _no_structure(block, len(load().cs.kshs_made))
        return
    wanted = planned.expected_fields
    if not fields["present"] and "present" not in {field.field for field in wanted}:
        yield _characteristic("present", False, "no answer brought one")
        return
    unsure = tuple(field for field in wanted if fields[field.field] is None)
    for field in unsure:
        yield _characteristic(field.field, None, "this guest cannot say")
    sure = tuple(field for field in wanted if field not in unsure)
    for comparison in _compare(sure, fields, block):
        more = _COUNTS.get(comparison.field)
        if more is not None and not comparison.ok:
            counts = ", ".join(counted(int(fields[name] or 0), name[:-1]) for name in more)
            comparison = replace(comparison, got=f"{comparison.got} ({counts})")
        elif comparison.field == "inside" and not comparison.ok:
            comparison = replace(comparison, got=f"no: {_function(fields['outside'])} is elsewhere")
        yield comparison
    if not wanted:
        for name in _RECORDED_MADE:
            yield _characteristic(name, fields[name], "only recorded")


def _function(index: int | str | None) -> str:
    """A member of INTERFACE that holds a function, by its number in kshs_made."""
    named = {0: "InterfaceReference", 1: "InterfaceDereference"}
    return named.get(int(index or 0), f"function {int(index or 0) - 1} behind InterfaceDereference")


def _no_structure(block: StatusBlock, size: int) -> Comparison:
    return Comparison(
        "data",
        "the whole structure",
        counted(len(block.output), "byte"),
        False,
        Rule.SETUP.value,
        CLAUSES[Rule.SETUP],
        expected_values=(size,),
        got_value=len(block.output),
    )


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
        values = tuple(_cut(wanted.field, value, block.pointer_size) for value in wanted.values)
        ok = any(_matches(wanted.field, value, got) for value in values)
        expected = " or ".join(_show(wanted.field, value) for value in values)
        yield Comparison(
            wanted.field,
            expected,
            _show(wanted.field, got),
            ok,
            wanted.rule.value,
            CLAUSES[wanted.rule],
            expected_values=values,
            got_value=_value(got),
        )


def _cut(field: str, value: ExpectedValue, pointer_size: int) -> ExpectedValue:
    """An argument as a side of this pointer size can hold it."""
    if field in _WORD_FIELDS and isinstance(value, int):
        return value & ((1 << 8 * pointer_size) - 1)
    return value


def _matches(field: str, wanted: ExpectedValue, got: Any) -> bool:
    if got is None:
        return False
    if field in _STATUS_FIELDS:
        if wanted == "untouched" or got == "untouched":
            return bool(wanted == got)
        if wanted == "success":
            return ntstatus.is_success(got)
        if wanted == "error":
            return ntstatus.is_error(got)
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
    return got if got is None or isinstance(got, (int, str)) else str(got)
