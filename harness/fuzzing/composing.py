# SPDX-License-Identifier: Apache-2.0
"""Sequences made into one scenario that any target of its kind may be given.

Total: whatever is drawn, what comes out is a scenario that contradicts nothing, hands no number to a callback
that would follow it, asks a guest for nothing that it is known not to have, and waits for nothing that only
itself could end.  Several sequences share what they open; after each of them the pins that it touched are
reset, as between scenarios, and what their callbacks must have seen is asked for first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.fuzzing.calls import CallCount
from harness.fuzzing.draft import Draft, Step
from harness.fuzzing.fitting import Fitting
from harness.fuzzing.pool import KERNEL_ROUTES, Place
from harness.language.model import Pin, Scenario, Side, Target

#: Steps of a scenario that sequences may fill; what ends them needs the rest of the 200 that it may have.
MOST_STEPS = 120
_ALL_STEPS = 165
#: Steps from which on no further sequence is begun in a scenario.
_FULL = 90
#: Objects that a side opens in one scenario, and requests that are begun in it (the ABI has 128 of both);
#: steps that are under way at once, and requests inside a callback that blocks.
_MOST_OPENS = 100
_MOST_TOKENS = 120
_MOST_STARTED = 12
_MOST_INSIDE = 16
#: Milliseconds that the callbacks of one sequence may be told to wait, together.
_PATIENCE_MS = 3_000
#: Milliseconds of a callback that blocks while something else is done: a mere safety net.
_NET_MS = 30_000
#: What a blocked callback's pin must not be asked meanwhile: it would wait for it.
_MEANWHILE = ("open", "close", "handshake", "state", "share")
#: In the place of an object: whichever it is.
ANY = "*"
_CONNECTION = "1D58C920-AC9B-11CF-A5D6-28DB04C10000"
#: Times that a pin is opened and closed between two counts.
_OPENS = 12


@dataclass(frozen=True)
class Composed:
    """A scenario; for each of its steps the number of the sequence that it serves; how many are in it."""

    scenario: Scenario
    owners: tuple[int, ...]
    sequences: int


@dataclass(slots=True)
class _Open:
    place: Place
    kept: bool = False
    state: str = "stop"
    callback: bool = True


@dataclass(slots=True)
class _Started:
    name: str
    place: Place
    changes: bool = False


@dataclass(frozen=True)
class Composer:
    """Makes scenarios for one target on one kind of guest.

    Args:
        target: the driver under test, with its formats.
        places: what may be opened, by name.
        fitting: makes single requests fit the target and the guest.
        timeout_ms: that a request may take.
        banned: kinds of steps, with what they are sent to, that this target does not show.
    """

    target: Target
    places: Mapping[str, Place]
    fitting: Fitting
    timeout_ms: int = 10_000
    banned: set[tuple[str, str]] = field(default_factory=set)

    def compose(self, drafts: Sequence[Draft], name: str, title: str) -> Composed | None:
        """One scenario of the first of these sequences, as many as it has room for; None of nothing."""
        composing = _Composing(self)
        sequences = 0
        for number, draft in enumerate(drafts):
            if number and len(composing.steps) >= _FULL:
                break
            composing.sequence(number, draft)
            sequences += 1
        if not any(step["do"] in ("handshake", "pin_handshake", "state") for step in composing.steps):
            return None
        table = {
            "id": name,
            "title": title,
            "rule": "H8",
            "tags": ["fuzz"],
            "arguments": "marks",
            "timeout_ms": self.timeout_ms,
            "steps": composing.steps,
        }
        return Composed(Scenario.model_validate(table), tuple(composing.owners), sequences)


@dataclass
class _Composing:
    """What one scenario has opened and begun so far."""

    composer: Composer
    steps: list[dict[str, Any]] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    _number: int = 0
    _open: dict[str, _Open] = field(default_factory=dict)
    _started: list[_Started] = field(default_factory=list)
    _behaviour: dict[int, tuple[str, int]] = field(default_factory=dict)
    _calls: CallCount = field(default_factory=CallCount)
    _opens: dict[Side, int] = field(default_factory=lambda: {Side.KERNEL: 0, Side.USER: 0})
    _tokens: int = 0
    _names: int = 0
    _patience: int = 0
    _blocked: Pin | None = None

    # ---- a sequence --------------------------------------------------------------------------

    def sequence(self, number: int, draft: Draft) -> None:
        """All of its steps, as far as they fit, and what ends it."""
        self._number, self._patience = number, _PATIENCE_MS
        for step in draft:
            if len(self.steps) < MOST_STEPS:
                self._take(step)
        self._end()

    def _end(self) -> None:
        self._wait_for_all()
        for name, item in list(self._open.items()):
            if item.kept or item.place.shared is not None:
                self._close(name)
        if not self.composer.target.behaviour:
            return
        for pin in self._calls.touched:
            wanted = self._calls.expected(pin)
            if wanted is not None:
                self._add("seen", pin=pin.name, expect=wanted)
        for pin in self._calls.touched:
            self._add("reset", pin=pin.name)
        self._calls.clear()
        self._behaviour.clear()

    def _take(self, step: Step) -> None:
        do, on = str(step["do"]), str(step.get("on"))
        if not self.composer.banned.isdisjoint({(do, on), (do, ANY)}):
            return
        match step["do"]:
            case "handshake":
                self._handshake(step)
            case "pin_handshake":
                self._pin_handshake(step)
            case "state":
                self._state(step)
            case "behaviour":
                self._behave(step)
            case "open":
                self._ensure(str(step.get("on")))
            case "close":
                self._close_drawn(step)
            case "wait" | "cancel":
                self._wait_or_cancel(step)
            case "property_get":
                self._property(step)
            case "inside":
                self._inside(step)
            case "leak":
                self._leak(step)

    def _add(self, do: str, **keys: Any) -> None:
        self.steps.append({"do": do, **keys})
        self.owners.append(self._number)

    # ---- objects -------------------------------------------------------------------------------

    def _ensure(self, name: str) -> _Open | None:
        """The object of this name, opened where it is not; None where it cannot be."""
        found = self._open.get(name)
        place = self.composer.places.get(name)
        if found is not None or place is None:
            return found
        if not self._has_room(place):
            return None
        if place.shared is not None:
            origin = self._ensure(place.shared)
            if origin is None or origin.kept:
                return None
            self._add("share", on=place.shared, name=name)
            return self._opened(place, origin.callback)
        if place.pin is None:
            self._add("open_filter", name=name, side=place.side.value)
            return self._opened(place, callback=False)
        keys: dict[str, Any] = {"name": name, "pin": place.pin.name, "side": place.side.value}
        if place.sink is not None:
            sink = self._ensure(place.sink)
            if sink is None or sink.kept or not self._has_room(place):
                return None
            keys["connect_to"] = place.sink
        self._add("open_pin", **keys)
        without = not place.pin.callback or self._kind(place.pin) == "no_callback"
        return self._opened(place, callback=not without)

    def _opened(self, place: Place, callback: bool) -> _Open:
        self._opens[place.side] += 1
        item = self._open[place.name] = _Open(place, callback=callback)
        return item

    def _has_room(self, place: Place) -> bool:
        if self._opens[place.side] >= _MOST_OPENS:
            return False
        if place.pin is None or place.shared is not None:
            return True
        alike = [
            item
            for item in self._open.values()
            if item.place.shared is None
            and item.place.side is place.side
            and item.place.pin is not None
            and item.place.pin.id == place.pin.id
        ]
        return len(alike) < place.pin.max_instances

    def _close_drawn(self, step: Step) -> None:
        name = str(step.get("on"))
        item = self._open.get(name)
        if item is None or item.place.pin is None:
            return
        if self._blocked is not None:
            if not self._waits_for_the_blocked(item.place):
                self._close(name)
            return
        if item.place.side is Side.USER or item.place.sink is not None:
            self._wait_for_all()
        keeps = bool(step.get("keep")) and item.place.side is Side.KERNEL and not item.kept
        if any(one.place.name == name for one in self._started):
            self._calls.doubt(item.place.pin)
        if keeps:
            item.kept = True
            self._add("close", on=name, keep=True)
            return
        self._close(name)

    def _close(self, name: str) -> None:
        del self._open[name]
        self._add("close", on=name)

    # ---- requests ------------------------------------------------------------------------------

    def _handshake(self, step: Step) -> None:
        place = self.composer.places.get(str(step.get("on")))
        item = self._ensure(place.name) if place and not self._waits_for_the_blocked(place) else None
        if item is None:
            return
        table = self.composer.fitting.request(step, item.place, self._kind(item.place.pin))
        begins = bool(table.pop("start", False))
        threads, repeat = int(table.get("threads", 1)), int(table.get("repeat", 1))
        cost = self._cost(item.place)
        if cost:
            threads, repeat = min(threads, 8), 1
            table.pop("repeat", None)
            for key in ("in_stride", "out_stride", "vary"):
                table.pop(key, None)
        if not self._afford(cost if not begins or self._kind(item.place.pin) != "block" else cost // 2):
            return
        begins = begins and len(self._started) < _MOST_STARTED
        tokens = threads if threads > 1 or begins else 0
        if self._tokens + tokens > _MOST_TOKENS:
            begins, threads = False, 1
            table.pop("threads", None)
        else:
            self._tokens += tokens
        self._expect_calls(table, item, threads * repeat, begins)
        if begins:
            table["start"] = self._begin(item.place)
        self._add("handshake", on=item.place.name, **table)

    def _begin(self, place: Place, *, changes: bool = False) -> str:
        self._names += 1
        started = _Started(f"r{self._names}", place, changes)
        self._started.append(started)
        return started.name

    @property
    def _may_begin(self) -> bool:
        return self._tokens < _MOST_TOKENS and len(self._started) < _MOST_STARTED

    def _expect_calls(self, table: Mapping[str, Any], item: _Open, times: int, begins: bool) -> None:
        pin = item.place.pin
        if pin is None:
            return
        lone = item.place.sink is None and item.place.source is None and not item.kept
        if not lone or begins or not self.composer.fitting.reaches_callback(table, item.place):
            self._calls.doubt(pin)
            if item.place.sink is not None:
                self._doubt_sink(item.place)
            return
        if item.callback:
            last = self.composer.fitting.last_call(table, pin)
            if last is not None:
                last = {**last, "device_state": item.state}
            at_once = int(table.get("threads", 1)) > 1
            self._calls.asked(pin, times, last, at_once=at_once)

    def _doubt_sink(self, place: Place) -> None:
        sink = self.composer.places[place.sink] if place.sink is not None else None
        if sink is not None and sink.pin is not None:
            self._calls.doubt(sink.pin)

    def _pin_handshake(self, step: Step) -> None:
        name = str(step.get("on"))
        place = self.composer.places.get(name)
        if not self.composer.target.behaviour or place is None or place.sink is None or place.pin is None:
            return
        item = self._ensure(name)
        sink = self._open.get(place.sink)
        end = self.composer.places[place.sink]
        if item is None or end.pin is None:
            return
        table = self.composer.fitting.pin_handshake(step, end.pin, self._kind(end.pin))
        threads = int(table.get("threads", 1))
        begins = bool(table.pop("start", False))
        if not self._afford(self._cost(end)):
            return
        if self._tokens + threads > _MOST_TOKENS or len(self._started) >= _MOST_STARTED:
            return
        self._tokens += threads if threads > 1 or begins else 0
        whole = sink is not None and not sink.kept and not item.kept and sink.callback
        if whole and not begins and "vary" not in table:
            self._calls.asked(end.pin, threads, None, at_once=threads > 1)
        else:
            self._calls.doubt(end.pin)
        self._calls.touch(place.pin)
        if begins:
            table["start"] = self._begin(place)
        self._add("pin_handshake", on=name, **table)

    def _wait_or_cancel(self, step: Step) -> None:
        if not self._started:
            return
        index = int(step.get("request") or 0) % len(self._started)
        started = self._started[index]
        if step["do"] == "cancel":
            if not started.changes:
                self._add("cancel", request=started.name)
            return
        del self._started[index]
        self._add("wait", request=started.name)

    def _wait_for_all(self) -> None:
        for started in self._started:
            self._add("wait", request=started.name)
        self._started.clear()

    # ---- what a pin is and does ------------------------------------------------------------------

    def _state(self, step: Step) -> None:
        item = self._ensure(str(step.get("on")))
        if item is None or item.place.pin is None or item.place.shared is not None:
            return
        pin = item.place.pin
        under_way = any(one.changes and one.place.pin == pin for one in self._started)
        kind = self._kind(pin)
        if under_way or not self._afford(3 * self._cost(item.place) if kind == "slow_state" else 0):
            return
        keys: dict[str, Any] = {"on": item.place.name, "to": step.get("to", "stop")}
        if item.kept or kind == "state_status":
            keys["expect"] = "record"
        elif step.get("start") and item.place.side is Side.KERNEL and self._may_begin:
            self._tokens += 1
            keys["start"] = self._begin(item.place, changes=True)
        if "expect" in keys or "start" in keys:
            self._calls.doubt(pin)
        item.state = str(keys["to"])
        self._calls.touch(pin)
        self._add("state", **keys)

    def _behave(self, step: Step) -> None:
        place = self.composer.places.get(str(step.get("on")))
        if not self.composer.target.behaviour or place is None or place.pin is None:
            return
        if self._blocked is not None:
            return
        table = self.composer.fitting.behaviour(step)
        if any(one.place.pin == place.pin for one in self._started):
            self._calls.doubt(place.pin)
        self._behaviour[place.pin.id] = (str(table["kind"]), int(table.get("delay_ms", 0)))
        self._calls.touch(place.pin)
        self._add("behaviour", pin=place.pin.name, **table)

    def _property(self, step: Step) -> None:
        item = self._ensure(str(step.get("on")))
        if item is not None and item.place.pin is not None and not item.kept:
            self._add("property_get", on=item.place.name, set=_CONNECTION, id=0, length=4, expect="record")

    def _kind(self, pin: Pin | None) -> str:
        return self._behaviour.get(pin.id, ("default", 0))[0] if pin is not None else "default"

    def _cost(self, place: Place) -> int:
        """Milliseconds that one request to this pin, or one change of its state, may take."""
        if place.pin is None:
            return 0
        return self._behaviour.get(place.pin.id, ("", 0))[1]

    def _afford(self, cost: int) -> bool:
        if cost > self._patience:
            return False
        self._patience -= cost
        return True

    # ---- several at once ---------------------------------------------------------------------------

    def _inside(self, step: Step) -> None:
        """A callback blocks with requests in it; steps that must not wait for it; it is let go."""
        name = str(step.get("on"))
        place = self.composer.places.get(name)
        if not self.composer.target.behaviour or not self.composer.fitting.may_block:
            return
        if place is None or place.side is Side.USER or place.source is not None:
            return
        self._wait_for_all()
        item = self._ensure(name)
        sink = self._open.get(place.sink) if place.sink is not None else None
        if item is None or place.pin is None or item.kept or not item.callback or not self._afford(100):
            return
        if sink is not None and (sink.kept or not sink.callback):
            return
        answerer = sink.place.pin if sink is not None else place.pin
        count = max(1, min(int(step.get("threads", 1)), _MOST_INSIDE))
        if answerer is None or self._tokens + count > _MOST_TOKENS:
            return
        self._tokens += count
        self._add("behaviour", pin=answerer.name, kind="block", delay_ms=_NET_MS)
        many = {"threads": count} if count > 1 else {}
        first = int(step.get("argument1") or 0)
        start = self._begin(place)
        if sink is None:
            route = step.get("route") if step.get("route") in KERNEL_ROUTES else "irp"
            self._add("handshake", on=name, route=route, argument1=first, start=start, **many)
        else:
            asked = self.composer.fitting.pin_handshake({"argument1": first}, answerer)
            self._add("pin_handshake", on=name, start=start, **asked, **many)
        self._add("wait_inside", pin=answerer.name, count=count, within_ms=8_000)
        self._meanwhile(step.get("steps") or (), answerer)
        for _ in range(count):
            self._add("unblock", pin=answerer.name)
        self._wait_for_all()
        self._add("behaviour", pin=answerer.name, kind="default")
        self._calls.doubt(answerer)
        self._calls.touch(place.pin)

    def _meanwhile(self, steps: Iterable[Step], blocked: Pin) -> None:
        self._blocked = blocked
        try:
            for step in steps:
                if step.get("do") == "cancel":
                    self._wait_or_cancel(step)
                elif step.get("do") in _MEANWHILE:
                    self._take({key: value for key, value in step.items() if key not in ("start", "keep")})
        finally:
            self._blocked = None

    def _waits_for_the_blocked(self, place: Place) -> bool:
        """Whether a request would end up in, or behind, the callback that blocks."""
        if self._blocked is None or place.pin is None:
            return False
        return place.pin.id == self._blocked.id or place.sink is not None or place.source is not None

    def _leak(self, step: Step) -> None:
        """Counts before, between and after what is repeated: requests, or opens."""
        name = str(step.get("on"))
        place = self.composer.places.get(name)
        if place is None or place.pin is None or place.side is Side.USER or place.shared is not None:
            return
        self._wait_for_all()
        if self._cost(place):
            return
        if step.get("opens"):
            self._leak_of_opens(name, place)
            return
        item = self._ensure(name)
        if item is None or item.kept:
            return
        ask = {key: value for key, value in (step.get("ask") or {}).items() if key not in _NOT_REPEATED}
        # What the client makes for a pointer would be counted, too.
        ask["protocol"] = self.composer.fitting.plain(str(ask.get("protocol", "accepted")), place.pin)
        table = self.composer.fitting.request({**ask, "repeat": 1}, place)
        table.pop("repeat", None)
        events = max(200, min(int(step.get("events", 200)), 5_000))
        for number, repeat in enumerate((200, events, events)):
            self._expect_calls({**table, "repeat": repeat}, item, repeat, begins=False)
            self._add("handshake", on=name, **table, repeat=repeat)
            self._add("counters", on=name, **({"events": events} if number else {}))

    def _leak_of_opens(self, name: str, place: Place) -> None:
        needed = 2 * _OPENS + 3
        if self._opens[place.side] + needed > _MOST_OPENS or len(self.steps) + 3 * needed > _ALL_STEPS:
            return
        if name in self._open:
            self._close(name)
        held = self._ensure("filter")
        if held is None:
            return
        word = self.composer.fitting.plain("accepted", place.pin)
        asked = {"route": "irp"} | ({} if word == "accepted" else {"protocol": word})
        for number, times in enumerate((3, _OPENS, _OPENS)):
            for _ in range(times):
                item = self._ensure(name)
                if item is None:
                    return
                self._expect_calls(asked, item, 1, begins=False)
                self._add("handshake", on=name, **asked)
                self._close(name)
            self._add("counters", on="filter", **({"events": _OPENS} if number else {}))


_NOT_REPEATED = ("do", "on", "start", "threads", "repeat", "in_stride", "out_stride", "vary")
