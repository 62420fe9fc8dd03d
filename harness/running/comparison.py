# SPDX-License-Identifier: Apache-2.0
"""Compares what came back with what was wanted, field by field, and explains each difference.

Three layers, each with its rule: the fields that the contract or the scenario demands, the
invariants of the I/O manager that hold for every completed request (rule IO), and, where the
contract is silent, the fields that are only put on record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness import ntstatus
from harness.agent.status_block import Outcome, RecordFlag, StatusBlock
from harness.contract.prediction import PredictionKind, Request
from harness.language.model.values import Buffer, Route, Rule
from harness.planning.planned import Answer, PlannedStep
from harness.results.record import Comparison
from harness.rules import CLAUSES
from harness.running import disclosure
from harness.running.block_fields import block_fields, characteristic, compare, pending, sent
from harness.running.report_comparison import made, report

#: What is put on record where nothing is judged.
_RECORDED = ("answer", "returned", "status", "information", "pending", "changed_bytes")
_RECORDED_SEEN = ("count", "finished", "irql", "returned", "aliased")
_RECORDED_PIN_HANDSHAKE = ("returned", "out_written")


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
            fields = block_fields(block)
            return (*compare(planned.expected_fields, fields, block), *pending("answer", block.answer))
        case Answer.SEEN:
            return tuple(report(planned, block, _RECORDED_SEEN))
        case Answer.PIN_HANDSHAKE:
            return tuple(report(planned, block, _RECORDED_PIN_HANDSHAKE))
        case Answer.MADE:
            return tuple(made(planned, block))
        case Answer.STARTED | Answer.PLAIN | Answer.COUNTERS | Answer.LEFT:
            return ()


# ---- requests ---------------------------------------------------------------------------------


def _request(planned: PlannedStep, block: StatusBlock) -> Iterator[Comparison]:
    fields = block_fields(block)
    yield from compare(planned.expected_fields, fields, block)
    judged = {wanted.field for wanted in planned.expected_fields}
    prediction = planned.prediction
    if prediction is None or prediction.kind is PredictionKind.CHARACTERISTIC or not judged:
        reason = prediction.reason if prediction is not None else "only recorded"
        # What is predicted nevertheless is that it is an error: which one is to be put on record.
        known = judged - set(prediction.expected if prediction is not None else ())
        for name in _RECORDED:
            if name not in known:
                yield characteristic(name, fields.get(name), reason)
    yield from _after_a_failure(planned, block, fields, judged)
    yield from disclosure.judge(planned, block)
    if planned.request is not None:
        yield from invariants(sent(planned.request, block), block)
        yield from _repeats(planned, planned.request, block)


def _after_a_failure(
    planned: PlannedStep, block: StatusBlock, fields: Mapping[str, Any], judged: set[str]
) -> Iterator[Comparison]:
    """Information and output of a request that a callback declined: nobody lays them down."""
    prediction = planned.prediction
    if prediction is None or prediction.kind is not PredictionKind.EXPECTED or not judged:
        return
    if Rule.H9 in prediction.rules and ntstatus.is_error(block.answer):
        for name in ("information", "changed_bytes"):
            if name not in judged:
                yield characteristic(name, fields.get(name), "the contract speaks of them on success alone")


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


def sent_place(request: Request, block: StatusBlock) -> str:
    """Which of the differing repeats a record is of, in words."""
    return request.place(min(max(block.repeats, 1), request.repeat) - 1)


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
