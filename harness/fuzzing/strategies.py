# SPDX-License-Identifier: Apache-2.0
"""What sequences are drawn from: hypothesis strategies over the step language, for one pool of objects.

Shapes, not cases: nothing here knows what a driver might do wrong, only what can be done to one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from harness.fuzzing.draft import Draft, Step
from harness.fuzzing.fitting import KINDS
from harness.fuzzing.pool import KERNEL_ROUTES, Place
from harness.language.model import Side, Target

Draw = Callable[[st.SearchStrategy[Any]], Any]

_LENGTHS = ("size-1", "size+1", "size/2", "2*size", "size+65536", 0, 1, 24, 40, 65536, 0x7FFFFFFF, 0xFFFFFFFF)
BUFFERS = ("null", "alias", "misaligned", "readonly", "freed", "page_end")
#: IOCTL_KS_HANDSHAKE with another method, access, function or device; and 7 with METHOD_NEITHER elsewhere.
CONTROLS = (0x002F001C, 0x002F401F, 0x002F801F, 0x0022001F, 0x002F0FFF)
_STATUSES = (0, 0xC0000010, 0xC00000BB, 0xC0000001, 0xC0000022, 0x103, 0x80000005, 0x40000000, 0xC000009A)
STATES = ("stop", "acquire", "pause", "run")
#: Milliseconds, most of them few: they are paid with sequences that are not sent.
_DELAYS = (*(1,) * 14, *(2,) * 10, *(5,) * 10, 20, 20, 60, 300, 1_200)
ARGUMENTS = (0, 1, 2, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, (1 << 64) - 1, 0xFFFF8000_00001000)
#: Of the answers to "how often", how many are which: once, a few times, very often.
_REPEATS = (2, 3, 10, 64, 100, 300, 1_000, 2_000)


class Strategies:
    """Strategies for one target.

    Args:
        target: the driver under test.
        places: the objects that it gives.
    """

    def __init__(self, target: Target, places: Mapping[str, Place]) -> None:
        pins = {name: place for name, place in places.items() if place.pin is not None}
        self._all = st.sampled_from(sorted(places))
        lone = [name for name, p in pins.items() if p.sink is None and p.source is None]
        kernel = [name for name in lone if pins[name].side is Side.KERNEL]
        sources = [name for name, place in pins.items() if place.sink is not None]
        #: Who answers what a source asks of the pin that it is connected to.
        self._ends = {name: str(pins[name].sink) for name in sources}
        sinks = [name for name, place in pins.items() if place.source is not None]
        #: Most requests go where the contract says what they answer.
        self._kernel = st.sampled_from(sorted(kernel) or sorted(places))
        self._user = st.sampled_from(sorted(set(lone) - set(kernel)) or sorted(places))
        self._pins = st.sampled_from(sorted(pins) or sorted(places))
        self._sources = st.sampled_from(sorted(sources)) if sources else self._kernel
        self._sinks = st.sampled_from(sorted(sinks)) if sinks else self._sources
        self._protocols = st.sampled_from(["accepted", "accepted", "unknown", "null", *target.protocols])
        self._guids = list(target.protocols.values()) or [uuid.UUID(int=1)]
        self._behaves = target.behaviour
        self._number = st.integers(0, 99)
        self._argument = st.one_of(
            st.sampled_from(ARGUMENTS), st.integers(0, 1 << 16), st.integers(0, (1 << 64) - 1)
        )
        self._length = st.one_of(st.sampled_from(_LENGTHS), st.integers(0, 256), st.integers(0, 4096))
        self.step: st.SearchStrategy[Step] = st.composite(self._step)()
        self.sequence: st.SearchStrategy[Draft] = st.composite(self._sequence)()
        #: Drawn together, since a draw by itself costs as much as what it draws.
        self.sequences = st.lists(self.sequence, min_size=8, max_size=8)
        self.steps = st.lists(self.step, min_size=8, max_size=24)

    # ---- sequences -------------------------------------------------------------------------------

    def _sequence(self, draw: Draw) -> Draft:
        shape = draw(self._number)
        if shape < 8:
            return tuple(self._around(draw))
        if shape < 62:
            return tuple(draw(st.lists(self.step, min_size=1, max_size=8)))
        if shape < 82:
            return (self._many(draw),) if shape < 64 else tuple(self._behaving(draw))
        if shape < 96 and self._behaves:
            return (self._inside(draw),)
        return (self._leak(draw),)

    def _around(self, draw: Draw) -> Sequence[Step]:
        """The same is asked before and after something happens to an end of it."""
        source: str = draw(self._sources if draw(self._number) < 60 else self._kernel)
        ends: list[str] = [source, self._ends.get(source, source)]
        on = draw(st.sampled_from(ends))
        ask = self._pin_handshake(draw) if source in self._ends else self._handshake(draw)
        kind: int = draw(self._number)
        other: str = draw(st.sampled_from(ends))
        happens: Step = {"do": "close", "on": other}
        if kind < 15:
            happens = {"do": "close", "on": other, "keep": True}
        elif kind < 30:
            happens = {"do": "state", "on": other, "to": draw(st.sampled_from(STATES))}
        elif kind < 40:
            happens = self._behaviour(draw, other)
        ask = {**ask, "on": on}
        return [{"do": "open", "on": source}, ask, happens, ask]

    def _many(self, draw: Draw) -> Step:
        """More instances of one pin, each of which is asked."""
        return {
            "do": "many",
            "on": draw(self._kernel),
            "count": draw(st.sampled_from((2, 4, 8, 9, 16, 31))),
            "route": draw(st.sampled_from(KERNEL_ROUTES)),
        }

    def _behaving(self, draw: Draw) -> Sequence[Step]:
        """A pin is told what to do, and then asked: by requests, through its connection, by its states."""
        on: str = draw(self._kernel if draw(self._number) < 70 else self._sources)
        end = self._ends.get(on, on)
        told = self._behaviour(draw, end)
        asked = [self._asked(draw, on, told) for _ in range(draw(st.integers(1, 4)))]
        return [told, *asked, *draw(st.lists(self.step, max_size=3))]

    def _asked(self, draw: Draw, on: str, told: Step) -> Step:
        """One thing that makes a pin do what it was told."""
        of_states = str(told["kind"]) in ("slow_state", "state_status")
        kind = draw(self._number)
        if kind < (60 if of_states else 20):
            begins = {"start": True} if of_states and kind < 30 else {}
            return {"do": "state", "on": on, "to": draw(st.sampled_from(STATES)), **begins}
        if on in self._ends:
            return {**self._pin_handshake(draw), "on": on}
        return {**self._handshake(draw), "on": on}

    def _inside(self, draw: Draw) -> Step:
        return {
            "do": "inside",
            "on": draw(self._sources if draw(self._number) < 40 else self._kernel),
            "route": draw(st.sampled_from(KERNEL_ROUTES)),
            "threads": draw(st.sampled_from((1, 1, 1, 2, 4, 8, 16, 64))),
            "argument1": draw(st.integers(0, 1 << 16)),
            "steps": [self._meanwhile(draw) for _ in range(draw(st.integers(1, 5)))],
        }

    def _meanwhile(self, draw: Draw) -> Step:
        kind = draw(st.sampled_from(("open", "close", "handshake", "handshake", "state", "state", "cancel")))
        if kind == "handshake":
            return self._handshake(draw)
        if kind == "state":
            return {"do": "state", "on": draw(self._pins), "to": draw(st.sampled_from(STATES))}
        if kind == "cancel":
            return {"do": "cancel", "request": 0}
        return {"do": kind, "on": draw(self._pins)}

    def _leak(self, draw: Draw) -> Step:
        if draw(self._number) < 25:
            return {"do": "leak", "on": draw(self._kernel), "opens": True}
        return {
            "do": "leak",
            "on": draw(self._kernel),
            "events": draw(st.sampled_from((200, 500, 1_000))),
            "ask": self._handshake(draw),
        }

    # ---- steps ---------------------------------------------------------------------------------------

    def _step(self, draw: Draw) -> Step:
        kind = draw(self._number)
        if kind < 57:
            return self._handshake(draw)
        if kind < 58:
            return {"do": "refused", "on": draw(self._kernel)}
        if kind < 68:
            return {"do": "state", "on": draw(self._pins), "to": draw(st.sampled_from(STATES))} | (
                {"start": True} if kind == 67 else {}
            )
        if kind < 76:
            return {"do": "close", "on": draw(self._pins)} | ({"keep": True} if kind == 75 else {})
        if kind < 79:
            return {"do": "wait", "request": draw(st.integers(0, 3))}
        if kind < 82:
            return {"do": "cancel", "request": draw(st.integers(0, 3))}
        if kind < 84:
            return {"do": "property_get", "on": draw(self._pins)}
        if kind < 92:
            return self._pin_handshake(draw)
        return self._behaviour(draw, draw(self._pins))

    def _handshake(self, draw: Draw, *, row: bool = False) -> dict[str, Any]:
        shape = draw(self._number)
        user = shape >= 88
        step: dict[str, Any] = {"do": "handshake", "on": draw(self._user if user else self._kernel)}
        step["route"] = draw(st.sampled_from(("sync", "event", "port", "apc") if user else KERNEL_ROUTES))
        protocol = draw(self._protocols)
        if protocol != "accepted":
            step["protocol"] = protocol
        if draw(self._number) < 40:
            step |= {"argument1": draw(self._argument), "argument2": draw(self._argument)}
        if row:
            return step | self._row(draw)
        if shape < 36:
            return step
        if shape < 52:
            self._wrong_length(draw, step)
        elif shape < 60:
            step["mode"] = "user"
            if draw(self._number) < 30:
                self._wrong_length(draw, step)
        elif shape < 66:
            step[draw(st.sampled_from(("in_buffer", "out_buffer")))] = draw(st.sampled_from(BUFFERS))
            if draw(self._number) < 50:
                self._wrong_length(draw, step)
        elif shape < 71:
            step["threads"] = draw(st.sampled_from((2, 3, 4, 8, 16, 64)))
        elif shape < 77:
            step["repeat"] = draw(st.sampled_from(_REPEATS))
            if draw(self._number) < 25:
                step["mode"] = "user"
        elif shape < 83:
            step["start"] = True
        elif shape < 85:
            step["protocol"] = str(self._near(draw))
        elif shape < 86:
            step["on"] = draw(self._all)
        elif shape < 87:
            step["control"] = draw(st.sampled_from(CONTROLS))
        elif shape < 88:
            step["repeat"] = 70_000 if draw(self._number) < 5 else 5_000
        elif draw(self._number) < 15:
            step["repeat"] = draw(st.sampled_from((2, 2, 3, 3, 10, 64)))
        elif draw(self._number) < 25:
            self._wrong_length(draw, step)
        elif draw(self._number) < 20:
            step["start"] = True
        return step

    def _wrong_length(self, draw: Draw, step: dict[str, Any]) -> None:
        which = draw(st.integers(0, 3))
        said = draw(self._length)
        if which != 1:
            step["in_length"] = said
        if which != 0:
            step["out_length"] = said if which == 2 else draw(self._length)

    def _row(self, draw: Draw) -> dict[str, Any]:
        which = draw(st.integers(0, 4))
        mode = {"mode": "user"} if draw(self._number) < 25 else {}
        if which == 0:
            return {"vary": "protocol", "repeat": 128, **mode}
        repeat = draw(st.sampled_from((64, 256, 1_024, 4_096)))
        stride = draw(st.sampled_from((1, 1, 4, 8)))
        row: dict[str, Any] = {"repeat": repeat, **mode}
        if which != 2:
            row |= {"in_length": 0, "in_stride": stride}
        if which != 1:
            row |= {"out_length": 0, "out_stride": stride}
        return row

    def _near(self, draw: Draw) -> uuid.UUID:
        """A protocol of the target's with one bit the other way."""
        data = bytearray(draw(st.sampled_from(self._guids)).bytes_le)
        bit = draw(st.integers(0, 127))
        data[bit // 8] ^= 1 << bit % 8
        return uuid.UUID(bytes_le=bytes(data))

    def _pin_handshake(self, draw: Draw) -> Step:
        ends = self._sources if draw(self._number) < 80 else self._sinks
        step: dict[str, Any] = {"do": "pin_handshake", "on": draw(ends)}
        step["protocol"] = draw(self._protocols)
        if draw(self._number) < 50:
            step |= {"argument1": draw(self._argument), "argument2": draw(self._argument)}
        shape = draw(self._number)
        if shape < 15:
            step["threads"] = draw(st.sampled_from((2, 4, 8)))
        elif shape < 25:
            step["start"] = True
        elif shape < 33:
            step["vary"] = "protocol"
        elif shape < 40:
            step["protocol"] = str(self._near(draw))
        return step

    def _behaviour(self, draw: Draw, on: str) -> Step:
        step: dict[str, Any] = {"do": "behaviour", "on": on, "kind": draw(st.sampled_from(KINDS))}
        if step["kind"] in ("decline", "status", "state_status"):
            step["status"] = draw(st.sampled_from(_STATUSES))
        elif step["kind"] in ("slow", "block", "slow_state"):
            step["delay_ms"] = draw(st.sampled_from(_DELAYS))
        elif step["kind"] == "transform":
            step |= {"value": draw(self._argument), "value2": draw(self._argument)}
        return step
