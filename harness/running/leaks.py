# SPDX-License-Identifier: Apache-2.0
"""Judges what `counters` steps counted: whether something was taken for each request and never given back.

One growth proves nothing: caches fill, and others use the same kernel.  A leak goes on for as long as its
cause does.  So three counts are needed, and what leaks has grown in both intervals between them, in each
by as much as a leak in one of `_ONE_IN` events makes and by more than what the client itself keeps.  Where
a counter is the whole system's (pool tags and the handles of the System process on Windows), only a leak in
every second event is told from what others do, and only over many events; with fewer it is not measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from harness.agent.encode import Counters
from harness.language.model import Counters as CountersStep
from harness.language.model import Rule
from harness.planning.planned import PlannedStep
from harness.results.record import Comparison
from harness.rules import CLAUSES

#: Of counters that are nobody's but the drivers': a leak in one of so many events is one.
_ONE_IN = 50
#: Of counters that the whole system shares.
_ONE_IN_SHARED = 2
#: Growth by less is never one: the client keeps 8 idle threads (drivers/ksclient/threads.c).
_KEPT = 8
#: The same for what the whole system shares.
_KEPT_SHARED = 1000
#: Bytes of the smallest block that a pool has.
_SMALLEST_BLOCK = 16
#: Growth of bytes by less is none: a heap may take memory for many small blocks at once, and show it as one.
_KEPT_BYTES = 65536

_OF_THE_PROCESS = ("pool_blocks", "pool_bytes", "handles")
_OF_THE_OBJECT = ("file_references", "device_references", "base_references")
#: What the reference class driver counts itself; another one's is seen when a device is removed.
_OF_THE_CLASS_DRIVER = (
    "class_object_inside",
    "class_object_references",
    "class_device_inside",
    "class_device_references",
)
_NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class _Count:
    step: CountersStep
    counters: Counters


@dataclass(frozen=True, slots=True)
class Judged:
    """What one count says: `comparisons`, and the names of what should have been measured and was not."""

    comparisons: tuple[Comparison, ...]
    unmeasured: tuple[str, ...] = ()


@dataclass
class Ledger:
    """The counts of one scenario, in their order."""

    _counts: list[_Count] = field(default_factory=list)

    def judge(self, planned: PlannedStep, counters: Counters) -> Judged:
        """Puts one count down; judges it where it ends the second interval of a series."""
        step = planned.step
        if not isinstance(step, CountersStep):
            raise TypeError(f"{planned.what}: no step that counts")
        if not step.events:
            self._counts.clear()
        self._counts.append(_Count(step, counters))
        if len(self._counts) < 3:
            return Judged(tuple(_recorded(counters)))
        return _judged(tuple(self._counts[-3:]))


def _recorded(counters: Counters) -> Iterator[Comparison]:
    for name, value in counters.values.items():
        yield _characteristic(name, "a count to compare others with", str(value), value)


def _judged(counts: tuple[_Count, ...]) -> Judged:
    shared = any(count.counters.tags is not None for count in counts)
    names = list(_OF_THE_PROCESS)
    if all(count.step.on is not None and count.step.on == counts[0].step.on for count in counts):
        names += (*_OF_THE_OBJECT, *_OF_THE_CLASS_DRIVER)
    comparisons: list[Comparison] = []
    unmeasured = []
    for name in names:
        system = shared and name in _OF_THE_PROCESS
        values = [count.counters.values.get(name) for count in counts]
        known = [value for value in values if value is not None]
        if len(known) < len(values) or (system and _few(counts)):
            comparisons.append(_characteristic(name, _why(name, known, values), _NOT_MEASURED, None))
            if name not in _OF_THE_CLASS_DRIVER:
                unmeasured.append(name)
        elif system and name != "handles":
            grown = _growth(known, counts)
            comparisons.append(_characteristic(name, "judged by tags", grown, known[2] - known[0]))
        else:
            comparisons.append(_compared(name, known, counts, system))
    if shared and not _few(counts):
        comparisons += _tags(counts)
    return Judged(tuple(comparisons), tuple(unmeasured))


def _why(name: str, known: list[int], values: list[int | None]) -> str:
    if len(known) == len(values):
        return "it is the whole system's, and these are few events"
    if name in _OF_THE_CLASS_DRIVER:
        return "this class driver does not say"
    return "this kernel does not show it"


def _few(counts: tuple[_Count, ...]) -> bool:
    """Whether a leak in every second event would be lost in what the rest of the system does."""
    return any(count.step.events < _ONE_IN_SHARED * _KEPT_SHARED for count in counts[1:])


def _tags(counts: tuple[_Count, ...]) -> Iterator[Comparison]:
    """Every pool tag that leaks; where none does, one comparison that says so of all of them."""
    tables = [count.counters.tags or {} for count in counts]
    leaking = []
    for tag in sorted(set().union(*tables)):
        values = [table.get(tag, 0) for table in tables]
        compared = _compared(f"pool_blocks of tag {_tag(tag)}", values, counts, shared=True)
        if not compared.ok:
            leaking.append(compared)
    if leaking:
        yield from leaking
    else:
        yield _io("pool tags", "none grows with the events", f"none of {len(tables[-1])} does", True)


def _tag(tag: int) -> str:
    """A pool tag as debuggers show it; what is no letter is a dot."""
    raw = tag.to_bytes(4, "little")
    return "".join(chr(byte) if 0x20 < byte < 0x7F else "." for byte in raw)


def _compared(name: str, values: list[int], counts: tuple[_Count, ...], shared: bool) -> Comparison:
    grown = [later - earlier for earlier, later in pairwise(values)]
    limits = [_limit(name, count.step.events, shared) for count in counts[1:]]
    leaks = all(growth >= limit for growth, limit in zip(grown, limits, strict=True))
    events = " and ".join(str(count.step.events) for count in counts[1:])
    expected = f"not grown in both {events} events"
    return _io(name, expected, _growth(values, counts), not leaks, grown=values[-1] - values[0])


def _limit(name: str, events: int, shared: bool) -> int:
    if shared:
        return max(_KEPT_SHARED, events // _ONE_IN_SHARED)
    if name == "pool_bytes":
        return max(_KEPT_BYTES, events // _ONE_IN * _SMALLEST_BLOCK)
    return max(_KEPT, events // _ONE_IN)


def _growth(values: list[int], counts: tuple[_Count, ...]) -> str:
    steps = zip(pairwise(values), counts[1:], strict=True)
    return ", ".join(f"{later - earlier:+d} in {count.step.events}" for (earlier, later), count in steps)


def _io(name: str, expected: str, got: str, ok: bool, grown: int | None = None) -> Comparison:
    return Comparison(name, expected, got, ok, Rule.IO.value, CLAUSES[Rule.IO], got_value=grown)


def _characteristic(name: str, why: str, got: str, value: int | None) -> Comparison:
    rule = Rule.CHARACTERISTIC
    return Comparison(
        name,
        f"not laid down: {why}",
        got,
        ok=True,
        rule=rule.value,
        clause=CLAUSES[rule],
        characteristic=True,
        got_value=value,
    )
