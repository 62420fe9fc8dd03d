# SPDX-License-Identifier: Apache-2.0
"""The fields of a status block: compared with what was wanted, and shown in words and as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness import ntstatus
from harness.agent.status_block import StatusBlock
from harness.contract.prediction import Request
from harness.language.model.values import Rule, State
from harness.planning.planned import ExpectedField, ExpectedValue
from harness.results.record import Comparison
from harness.rules import CLAUSES

_STATUS_FIELDS = frozenset({"answer", "returned", "status"})
_WORD_FIELDS = frozenset({"argument1", "argument2"})
_NOT_SHOWN = "not shown by this route"


def sent(request: Request, block: StatusBlock) -> Request:
    """The request that a record is of: where repeats differ, the one that was sent last."""
    if not request.varies:
        return request
    return request.nth(min(max(block.repeats, 1), request.repeat) - 1)


def block_fields(block: StatusBlock) -> dict[str, Any]:
    """The comparable fields of a status block by the names that expectations use."""
    handshake = block.handshake
    hidden = "untouched" if block.iosb_visible else None
    return {
        "answer": block.answer,
        "returned": block.returned,
        "status": block.status if block.status is not None else hidden,
        "information": block.information if block.information is not None else "untouched",
        "pending": block.pending,
        "repeats": block.repeats,
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


def compare(
    expected_fields: tuple[ExpectedField, ...], fields: Mapping[str, Any], block: StatusBlock
) -> Iterator[Comparison]:
    """Each field that was wanted with what came; `block` says how wide arguments are."""
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


def characteristic(field: str, got: Any, reason: str) -> Comparison:
    """A field that is only put on record, and why nothing is said of it."""
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


def pending(field: str, status: object) -> Iterator[Comparison]:
    """That something which has ended says STATUS_PENDING: a success by its number, and no end of anything."""
    if status == ntstatus.PENDING:
        yield Comparison(
            f"{field} is final",
            "not STATUS_PENDING",
            ntstatus.name(ntstatus.PENDING),
            False,
            Rule.IO.value,
            CLAUSES[Rule.IO],
            got_value=ntstatus.PENDING,
        )
