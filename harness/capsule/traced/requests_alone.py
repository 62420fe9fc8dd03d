# SPDX-License-Identifier: Apache-2.0
"""The handshakes of a trace alone, each kind once, on objects that are opened before and stay open.

What was opened anew after it had been closed is one object.  A callback that is told to take its time would
take it thousands of times, so that what is sent to it meanwhile is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.capsule.traced.folding import Kind, kind, renamed
from harness.capsule.traced.steps import Step
from harness.capsule.traced.translating import is_refused
from vm.words import counted

_OPENS = ("open_filter", "open_pin", "share")
#: Keys of these that name another object.
_WITH = ("on", "filter", "connect_to")
#: Behaviours with which a callback does not return at once.
_SLOW = frozenset({"slow", "block", "hang", "loop", "slow_state", "pending"})
_MOST_KINDS = 16
#: Objects that are kept open though nothing is asked of them.
_MOST_IDLE = 24
#: Keys of requests whose repeats are not the same.
VARIED = frozenset({"vary", "in_stride", "out_stride"})


@dataclass(frozen=True)
class Asked:
    """What to open, do once, do over and over, and close; and which object is counted on."""

    open: tuple[str, ...]
    setup: tuple[Step, ...]
    steps: tuple[Step, ...]
    closes: tuple[str, ...]
    counted: str
    remarks: tuple[str, ...]


@dataclass
class _Gatherer:
    """Walks through a trace's steps."""

    repeat: int
    opens: list[Step] = field(default_factory=list)
    body: list[Step] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    closed: dict[Kind, list[str]] = field(default_factory=dict)
    pins: dict[str, object] = field(default_factory=dict)
    slow: set[object] = field(default_factory=set)
    done: set[Kind] = field(default_factory=set)
    left_out: int = 0

    def take(self, step: Step) -> None:
        """One step of the trace."""
        match step["do"]:
            case do if do in _OPENS:
                self._open(step)
            case "close":
                self._close(step)
            case "behaviour":
                self._told(step)
            case "reset":
                self.slow.discard(step["pin"])
                if any(each["do"] == "behaviour" for each in self.body):
                    self._changed(step)
            case "state" if "start" not in step and step["on"] in self.names:
                self._changed(renamed(step, self.names))
            case "handshake":
                self._handshake(step)

    def _open(self, step: Step) -> None:
        if is_refused(step) or any(step.get(key) not in (None, *self.names) for key in _WITH):
            return
        mine = renamed(step, self.names)
        again = self.closed.get(_spec(mine))
        if again:
            self.names[step["name"]] = again.pop()
            return
        self.opens.append(mine)
        self.names[step["name"]] = step["name"]
        self.pins[step["name"]] = step.get("pin", self.pins.get(mine.get("on", "")))

    def _close(self, step: Step) -> None:
        name = self.names.pop(step["on"], None)
        if name is not None and not step.get("keep"):
            (opened,) = [each for each in self.opens if each["name"] == name]
            self.closed.setdefault(_spec(opened), []).append(name)

    def _told(self, step: Step) -> None:
        if step["kind"] in _SLOW or step.get("delay_ms"):
            self.slow.add(step["pin"])
        else:
            self.slow.discard(step["pin"])
            self._changed(step)

    def _changed(self, step: Step) -> None:
        self.done.clear()
        self.body.append(step)

    def _handshake(self, step: Step) -> None:
        """One kind of request, unless it was there before."""
        mine = renamed(step, self.names)
        alone = "start" not in step and not VARIED & step.keys()
        which = (*kind(mine), ("on", mine["on"]))
        if not alone or step["on"] not in self.names or self.pins.get(mine["on"]) in self.slow:
            self.left_out += 1
        elif which not in self.done:
            self.done.add(which)
            self.body.append({**mine, "repeat": self.repeat})


def asked(steps: Sequence[Step], repeat: int) -> Asked | None:
    """The handshakes of a trace alone; None where there is none.

    Args:
        steps: of the trace, each object closed at the end.
        repeat: how often each is sent.
    """
    found = _Gatherer(repeat)
    for step in steps:
        found.take(step)
    setup, often = _parted(found.body)
    kinds = [place for place, step in enumerate(often) if step["do"] == "handshake"]
    if not kinds:
        return None
    often_said = f"each sent {repeat:,} times between each two of three counts"
    remarks = [f"{counted(min(len(kinds), _MOST_KINDS), 'kind')} of handshakes, {often_said}"]
    if len(kinds) > _MOST_KINDS:
        more = set(kinds[_MOST_KINDS:])
        often = [step for place, step in enumerate(often) if place not in more]
        remarks.append(f"{counted(len(kinds) - _MOST_KINDS, 'more kind')} of handshakes, not sent so often")
    if found.left_out:
        left_out = counted(found.left_out, "step")
        remarks.append(f"{left_out} of handshakes that differ, overlap or take their time, not sent so often")
    # What is shared is asked by the other name, and has to be open for that.
    used = {step["on"] for step in (*often, *found.opens) if "on" in step}
    opens = _needed(found.opens, used)
    if len(opens) > _MOST_KINDS + _MOST_IDLE:
        fewer = _asked_of(opens, {step["on"] for step in (*setup, *often) if "on" in step})
        remarks.append(f"{counted(len(opens) - len(fewer), 'object')}, not open while handshakes are counted")
        opens = fewer
    entries = _entries(opens)
    return Asked(
        open=entries,
        setup=(*(step for step in opens if not entries or step["do"] == "share"), *setup),
        steps=tuple(often),
        closes=tuple(step["name"] for step in reversed(opens)),
        counted=next(step["name"] for step in opens if step["do"] != "share"),
        remarks=tuple(remarks),
    )


def _spec(step: Step) -> Kind:
    """By what two opens open the same."""
    return (*kind(step), *((key, str(step[key])) for key in _WITH if step.get(key) is not None))


def _parted(body: Sequence[Step]) -> tuple[list[Step], list[Step]]:
    """What comes before the first handshake, to be done once, and the rest up to the last one.

    Where a state changes in between, all of it is done over and over, and each pin goes back to stop.
    """
    asking = [place for place, step in enumerate(body) if step["do"] == "handshake"]
    if not asking:
        return [], []
    often = list(body[asking[0] : asking[-1] + 1])
    before = list(body[: asking[0]])
    if all(step["do"] == "handshake" for step in often):
        return before, often
    last = {step["on"]: step["to"] for step in (*before, *often) if step["do"] == "state"}
    back: list[Step] = [
        {"do": "state", "on": name, "to": "stop"} for name, to in last.items() if to != "stop"
    ]
    return [], [*before, *often, *back]


def _needed(opens: Sequence[Step], used: set[str]) -> list[Step]:
    """Without filters that nothing is asked of: the harness opens the one that pins live on by itself."""
    filters = [step["name"] for step in opens if step["do"] == "open_filter"]
    if len(filters) != 1 or filters[0] in used:
        return list(opens)
    return [
        {key: value for key, value in step.items() if key != "filter"}
        for step in opens
        if step["do"] != "open_filter"
    ]


def _asked_of(opens: Sequence[Step], used: set[str]) -> list[Step]:
    """Those that are used, and what they are opened with."""
    names = set(used)
    kept: list[Step] = []
    for step in reversed(opens):
        if step["name"] in names:
            names |= {step[key] for key in _WITH if step.get(key) is not None}
            kept.insert(0, step)
    return kept


def _entries(opens: Sequence[Step]) -> tuple[str, ...]:
    """Pins as entries of `open`, where they are plain."""
    pins = [step for step in opens if step["do"] != "share"]
    if any(step.keys() != {"do", "name", "pin"} or not isinstance(step["pin"], str) for step in pins):
        return ()
    return tuple(
        step["name"] if step["name"] == step["pin"] else f"{step['name']} = {step['pin']}" for step in pins
    )
