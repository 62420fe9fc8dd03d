# SPDX-License-Identifier: Apache-2.0
"""Steps of a sequence that stand for several: a callback that blocks meanwhile, counts of what is held."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.fuzzing.draft import Step
from harness.fuzzing.opening import MOST_OPENS, MOST_TOKENS, OpenedObject
from harness.fuzzing.pool import Place
from harness.fuzzing.requests import Requests
from harness.language.model import Pin, Side

#: Instances of a pin beside the others.
_MOST_MANY = 31
#: Requests inside a callback that blocks.
_MOST_INSIDE = 64
#: Milliseconds of a callback that blocks while something else is done: a mere safety net.
_NET_MS = 30_000
#: What may be done meanwhile: nothing that must wait for the callback.
_MEANWHILE = ("open", "close", "handshake", "state", "share")
#: Times that a pin is opened and closed between two counts, and steps after which there is no room for that.
_OPENS = 12
_ALL_STEPS = 165
#: Steps of a callback that blocks beside those that let it go.
_AROUND = 30
#: In a pin that opens: a format that nobody has.
_OTHER_FORMAT = {"sub": "6F2D9C3E-1B74-4E0A-9C55-D3A8F1B2E647"}
_NOT_REPEATED = ("do", "on", "start", "threads", "repeat", "in_stride", "out_stride", "vary")


@dataclass
class Together(Requests):
    """Makes steps of them."""

    def _inside(self, step: Step) -> None:
        """A callback blocks with requests in it; steps that must not wait for it; it is let go."""
        name = str(step.get("on"))
        place = self.composer.places.get(name)
        if not self.composer.target.behaviour or not self.composer.fitting.may_block:
            return
        if place is None or place.side is Side.USER or place.source is not None:
            return
        self.wait_for_all()
        item = self.ensure(name)
        if item is None or item.kept:
            return
        answerer = item if place.sink is None else self.connected(item)
        pin = answerer.place.pin if answerer is not None and answerer.callback else None
        # A class driver may let in one property request of a filter at a time, and so one KsPinHandshake.
        count = 1 if place.sink is not None else max(1, min(int(step.get("threads", 1)), _MOST_INSIDE))
        if len(self.steps) + count + _AROUND > _ALL_STEPS:
            count = 1
        if pin is None or self.tokens + count > MOST_TOKENS or not self.afford(100):
            return
        self.tokens += count
        self.add("behaviour", pin=pin.name, kind="block", delay_ms=_NET_MS)
        asked = {"route": step.get("route", "irp"), "argument1": step.get("argument1", 0), "threads": count}
        if place.sink is None:
            table = self.composer.fitting.request(asked, place)
            self.add("handshake", on=name, **table, start=self.begin(place, str(table["route"])))
        else:
            table = self.composer.fitting.pin_handshake(asked, pin)
            self.add("pin_handshake", on=name, **table, start=self.begin(place, "irp"))
        self.add("wait_inside", pin=pin.name, count=count)
        self._meanwhile(step.get("steps") or (), pin)
        for _ in range(count):
            self.add("unblock", pin=pin.name)
        self.wait_for_all()
        self.add("behaviour", pin=pin.name, kind="default")
        self.calls.doubt(pin)
        if place.pin is not None:
            self.calls.touch(place.pin)

    def _meanwhile(self, steps: Iterable[Step], blocked: Pin) -> None:
        self.blocked = blocked
        try:
            for step in steps:
                if step.get("do") == "cancel":
                    self._wait_or_cancel(step)
                elif step.get("do") in _MEANWHILE:
                    self.take({key: value for key, value in step.items() if key not in ("start", "keep")})
        finally:
            self.blocked = None

    def _leak(self, step: Step) -> None:
        """Counts before, between and after what is repeated: requests, or opens."""
        name = str(step.get("on"))
        place = self.composer.places.get(name)
        if place is None or place.pin is None or place.side is Side.USER or place.shared is not None:
            return
        # What the client makes for pointers between two series would be counted, too.
        if self.cost(place) or (self.counted and self.composer.fitting.hands_pointers):
            return
        self.counted = True
        self.wait_for_all()
        if step.get("opens"):
            self._leak_of_opens(name, place)
            return
        item = self.ensure(name)
        if item is None or item.kept:
            return
        ask = {key: value for key, value in (step.get("ask") or {}).items() if key not in _NOT_REPEATED}
        ask["protocol"] = self.composer.fitting.plain(str(ask.get("protocol", "accepted")), place.pin)
        table = self.composer.fitting.request({**ask, "repeat": 1}, place)
        table.pop("repeat", None)
        events = max(200, min(int(step.get("events", 200)), 5_000))
        for number, repeat in enumerate((200, events, events)):
            self.expect_calls({**table, "repeat": repeat}, item, repeat, begins=False)
            self.add("handshake", on=name, **table, repeat=repeat)
            self.add("counters", on=name, **({"events": events} if number else {}))

    def _leak_of_opens(self, name: str, place: Place) -> None:
        needed = 2 * _OPENS + 3
        if self.opens[place.side] + needed > MOST_OPENS or len(self.steps) + 3 * needed > _ALL_STEPS:
            return
        if name in self.open:
            self.close(name)
        held = self.ensure("filter")
        if held is None:
            return
        word = self.composer.fitting.plain("accepted", place.pin)
        asked = {"route": "irp"} | ({} if word == "accepted" else {"protocol": word})
        for number, times in enumerate((3, _OPENS, _OPENS)):
            for _ in range(times):
                item = self.ensure(name)
                if item is None:
                    return
                self.expect_calls(asked, item, 1, begins=False)
                self.add("handshake", on=name, **asked)
                self.close(name)
            self.add("counters", on="filter", **({"events": _OPENS} if number else {}))

    def _many(self, step: Step) -> None:
        """More instances of one pin, asked one after the other, and closed."""
        name = str(step.get("on"))
        place = self.composer.places.get(name)
        if place is None or place.pin is None or place.side is Side.USER or not _is_lone(place):
            return
        if self.waits_for_the_blocked(place) or self.cost(place):
            return
        count = max(1, min(int(step.get("count", 1)), _MOST_MANY))
        word = self.composer.fitting.plain("accepted", place.pin)
        asked = {"route": step.get("route", "irp")} | ({} if word == "accepted" else {"protocol": word})
        opened: list[OpenedObject] = []
        while len(opened) < count and self.has_room(place) and len(self.steps) < _ALL_STEPS - 3 * len(opened):
            self.names += 1
            one = replace(place, name=f"{place.name}_{self.names}")
            self.add("open_pin", name=one.name, pin=place.pin.name, side=place.side.value)
            without = not place.pin.callback or self.kind(place.pin) == "no_callback"
            opened.append(self.opened(one, callback=not without))
        for item in opened:
            self.expect_calls(asked, item, 1, begins=False)
            self.add("handshake", on=item.place.name, **asked)
        for item in opened:
            self.close(item.place.name)

    def _refused(self, step: Step) -> None:
        """A pin is asked for with a format that no range of it has, and gives none."""
        place = self.composer.places.get(str(step.get("on")))
        if place is None or place.pin is None or place.side is Side.USER or self.blocked is not None:
            return
        if not self.has_room(place):
            return
        self.names += 1
        self.opens[place.side] += 1
        name = f"refused_{self.names}"
        self.add("open_pin", name=name, pin=place.pin.name, format=_OTHER_FORMAT, expect={"answer": "error"})


def _is_lone(place: Place) -> bool:
    return place.sink is None and place.source is None and place.shared is None
