# SPDX-License-Identifier: Apache-2.0
"""Which values of a step are kept and compared, and which differ by nature from run to run.

By nature differ times, thread ids and addresses; what the client counts of the whole kernel side (handles,
pool); the output of a step that is no handshake, which is one of the structures of
``drivers/abi/kshs_abi.h`` and full of all these: its members that mean something are among `seen`.  Where
several requests were on their way at once, what a callback saw last, how many it had in it at a time, how
many had left it by some moment, and which of them a cancel still reached is their race's to say.  So it is
with a single request that nothing is known to hold inside when it is cancelled: it may be through.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from harness.store.models import NUMBERS

#: Members of `seen` that differ by nature.
BY_NATURE = frozenset({"thread", "in_pointer", "out_pointer", "duration_ns", "begin_ns"})
#: Those of the client's counters that count what others hold, too.
OF_THE_WHOLE = frozenset({"handles", "pool_blocks", "pool_bytes"})
#: Those that depend on which of several requests came last.
OF_A_RACE = frozenset({"overlapped", "argument1", "argument2", "device_state"})
#: Those that are of the last call alone, whichever that was, where a callback's own counts are asked for.
OF_THE_LAST = frozenset({"protocol", "returned", "aliased", "irql"})
#: Those that are other ones a moment later, while requests are on their way.
OF_A_MOMENT = frozenset({"count", "finished"})
#: Numbers that say something of a handshake's output, and nothing stable of any other step's.
OF_OUTPUT = frozenset(
    {"changed_bytes", "changed_first", "changed_last", "disclosed_bytes", "argument1", "argument2"}
)
#: Counters behind a scenario of which one more is a leak.
LEFT = ("class_object_inside", "class_device_inside")
_LEFT_OUT = (BY_NATURE, BY_NATURE | OF_A_RACE)
_LEFT_OUT_AFTERWARDS = BY_NATURE | OF_A_RACE | OF_THE_LAST
_LEFT_OUT_INSIDE = _LEFT_OUT_AFTERWARDS | OF_A_MOMENT
#: Operations that ask what a callback has counted so far.
_OF_A_CALLBACK = ("property", "wait_inside")
#: The same names for steps that are no handshakes: what has no name is None.
_WITHOUT_OUTPUT = tuple("" if name in OF_OUTPUT else name for name in NUMBERS)

Value: TypeAlias = int | str | None
#: Outcome, the numbers, protocol, and the members of `seen` in the order of their names.
Block: TypeAlias = tuple[Any, ...]
_NUMBER = frozenset({int, type(None)})
_BITS = 1 << 64
#: KSHS_REC_CANCELLED: the last of `NUMBERS` holds it.
_CANCELLED = 512
_NOTHING: tuple[None, ...] = (None,) * len(NUMBERS)


class NotARecordError(ValueError):
    """A record does not hold what every run writes."""


def block_of(status_block: Mapping[str, Any], *, raced: bool = False, loose: bool = False) -> Block:
    """What is kept of a status block of results.jsonl, to be checked by `check`.

    Args:
        status_block: as docs/results.md has it.
        raced: whether several requests were on their way at once by then.
        loose: whether one is on its way that nothing is known to hold.

    Raises:
        NotARecordError: it is none.
    """
    numbers = status_block.get("numbers")
    if numbers is None:
        raise NotARecordError("its numbers are missing: it is of an earlier kshs")
    op = status_block.get("op")
    handshake = None
    if op == "request":
        kept = tuple(map(numbers.get, NUMBERS))
        handshake = status_block.get("handshake")
    elif (raced or loose) and op == "cancel":
        kept = _NOTHING
    else:
        kept = tuple(map(numbers.get, _WITHOUT_OUTPUT))
    if (raced or loose) and kept[-1]:
        kept = (*kept[:-1], kept[-1] & ~_CANCELLED)
    seen = status_block.get("seen")
    if not isinstance(seen, Mapping | None):
        raise NotARecordError("what a callback saw is no table")
    members: tuple[tuple[str, Any], ...] | None = None
    if seen and op == "release_all":
        members = _left(seen)
    elif seen:
        left_out = OF_THE_WHOLE if op == "counters" else _LEFT_OUT[raced]
        if raced and op in _OF_A_CALLBACK:
            left_out = _LEFT_OUT_INSIDE if op == "wait_inside" else _LEFT_OUT_AFTERWARDS
        members = tuple((name, seen[name]) for name in sorted(seen) if name not in left_out) or None
    protocol = handshake["protocol"] if handshake else None
    return (status_block["outcome"], *kept, protocol, members)


def _left(seen: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """What a scenario left behind, as far as it is exact: nothing else is the same each time."""
    grown = {
        f"{name}_grown": seen["after"][name] - seen["before"][name] for name in LEFT if name in seen["after"]
    }
    return tuple(sorted({"kept": seen["kept"], "references": seen["references"], **grown}.items()))


def check(block: Block) -> None:
    """That each value of a block is of the type that it must have.

    Raises:
        NotARecordError: one is not.
    """
    outcome, *numbers, protocol, members = block
    if not isinstance(outcome, str) or not isinstance(protocol, str | None):
        raise NotARecordError("outcome or protocol is no text")
    for name, value in zip(NUMBERS, numbers, strict=True):
        if type(value) not in _NUMBER or (value is not None and not -(_BITS >> 1) <= value < _BITS):
            raise NotARecordError(f"{name} is no number of 64 bits")
    for name, value in members or ():
        if not isinstance(name, str) or not isinstance(value, int | str | None):
            raise NotARecordError("what a callback saw is no number")


def kept_block(block: Block) -> Block:
    """A block as it is kept, which its digest is of: numbers without a sign."""
    outcome, *numbers, protocol, members = block
    return (outcome[:20], *map(unsigned, numbers), protocol and protocol[:50], members)


def row_of(block: Block) -> dict[str, Any]:
    """The columns of a block."""
    outcome, *numbers, protocol, members = block
    columns: dict[str, Any] = {"outcome": outcome[:20], "protocol": protocol and protocol[:50]}
    columns |= {name: _signed(value) for name, value in zip(NUMBERS, numbers, strict=True)}
    columns["seen"] = None if members is None else json.dumps(dict(members), separators=(",", ":"))
    return columns


def fields_of(row: Mapping[str, Any] | None) -> dict[str, Value]:
    """The fields of a block's columns by the names that people read; none where nothing came back.

    Members of `seen` are called ``seen.count`` and so on.
    """
    if row is None:
        return {}
    fields: dict[str, Value] = {"outcome": row["outcome"], "protocol": row["protocol"]}
    fields |= {name: unsigned(row[name]) for name in NUMBERS}
    if row["seen"]:
        fields |= {f"seen.{name}": value for name, value in json.loads(row["seen"]).items()}
    return fields


def _signed(value: int | None) -> int | None:
    """As databases have it: their numbers have 64 bits with a sign."""
    return value - _BITS if value is not None and value >= _BITS >> 1 else value


def unsigned(value: int | None) -> int | None:
    """A number of 64 bits as records have it, which databases keep with a sign."""
    return value + _BITS if value is not None and value < 0 else value
