# SPDX-License-Identifier: Apache-2.0
"""Compares what a target or the client reported beside a request: what callbacks saw, what is held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from drivers.abi import load
from harness import ntstatus
from harness.agent.encode import Counters, Encoder
from harness.agent.status_block import StatusBlock
from harness.contract.prediction import PredictionKind
from harness.language.model import WaitInside
from harness.language.model.values import Rule
from harness.planning.planned import Answer, PlannedStep
from harness.results.record import Comparison
from harness.rules import CLAUSES
from harness.running.block_fields import block_fields, characteristic, compare, pending
from vm.words import counted

#: By what a `wait_inside` step waits for: what has begun, and what of it has ended.
_INSIDE = {"callback": ("count", "finished"), "state": ("changes_begun", "changes_ended")}
#: The same where the addresses that the caller gave are known.
_RECORDED_ADDRESSES = ("in_callers", "out_callers")
_RECORDED_MADE = ("held", "references", "dereferences", "calls", "excess", "stale")
#: Counts that explain another one.
_COUNTS = {"held": ("references", "dereferences"), "excess": ("references", "dereferences")}
#: What is said of the property request, and not of what the property holds.
_OF_THE_REQUEST = frozenset({"answer", "completions", "repeats"})


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


def counters(block: StatusBlock) -> Counters | None:
    """What the client counted, None where the record does not hold all of it."""
    return Encoder(load()).read_counters(block.output)


def report(planned: PlannedStep, block: StatusBlock, recorded: tuple[str, ...]) -> Iterator[Comparison]:
    """A structure that the target's property set gave; the property request itself must have worked."""
    own = tuple(wanted for wanted in planned.expected_fields if wanted.field in _OF_THE_REQUEST)
    yield from compare(own, block_fields(block), block)
    yield from pending("answer", block.answer)
    if not ntstatus.is_success(block.answer):
        if planned.prediction is not None and planned.prediction.kind is PredictionKind.CHARACTERISTIC:
            yield characteristic("answer", block.answer, planned.prediction.reason)
        return
    fields = block.seen if block.seen is not None else decoded(planned, block)
    if fields is None:
        cs = load().cs
        yield _no_structure(
            block, len(cs.kshs_seen if planned.answer is Answer.SEEN else cs.kshs_pin_handshake)
        )
        return
    expected_fields = tuple(
        wanted for wanted in planned.expected_fields if wanted.field not in _OF_THE_REQUEST
    )
    yield from compare(expected_fields, fields, block)
    if planned.answer is Answer.PIN_HANDSHAKE:
        yield from pending("returned", fields["returned"])  # KsPinHandshake is a call that waits
    if not expected_fields:
        reason = planned.prediction.reason if planned.prediction is not None else "only recorded"
        for name in recorded:
            yield characteristic(name, fields[name], reason)
    for name in _RECORDED_ADDRESSES:
        if name in fields:
            yield characteristic(name, fields[name], "whether the callback gets the caller's own buffers")


def made(planned: PlannedStep, block: StatusBlock) -> Iterator[Comparison]:
    """What has become of a block or an interface, with the counts where one of them is wrong."""
    fields = decoded(planned, block)
    if fields is None:
        yield _no_structure(block, len(load().cs.kshs_made))
        return
    wanted = planned.expected_fields
    if not fields["present"] and "present" not in {field.field for field in wanted}:
        yield characteristic("present", False, "no answer brought one")
        return
    unsure = tuple(field for field in wanted if fields[field.field] is None)
    for field in unsure:
        yield characteristic(field.field, None, "this guest cannot say")
    sure = tuple(field for field in wanted if field not in unsure)
    for comparison in compare(sure, fields, block):
        more = _COUNTS.get(comparison.field)
        if more is not None and not comparison.ok:
            counts = ", ".join(counted(int(fields[name] or 0), name[:-1]) for name in more)
            comparison = replace(comparison, got=f"{comparison.got} ({counts})")
        elif comparison.field == "inside" and not comparison.ok:
            comparison = replace(comparison, got=f"no: {_function(fields['outside'])} is elsewhere")
        yield comparison
    if not wanted:
        for name in _RECORDED_MADE:
            yield characteristic(name, fields[name], "only recorded")


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
