# SPDX-License-Identifier: Apache-2.0
"""Steps of a sequence as steps of a scenario, one for one: requests, states, behaviours, ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.fuzzing.draft import Step
from harness.fuzzing.opening import MOST_STARTED, MOST_TOKENS, OpenedObject, Opening
from harness.fuzzing.pool import Place
from harness.language.model import Side

_CONNECTION = "1D58C920-AC9B-11CF-A5D6-28DB04C10000"


@dataclass
class Requests(Opening):
    """Makes each of them fit, or leaves it out."""

    def _handshake(self, step: Step) -> None:
        place = self.composer.places.get(str(step.get("on")))
        item = self.ensure(place.name) if place and not self.waits_for_the_blocked(place) else None
        if item is None:
            return
        table = self.composer.fitting.request(step, item.place, self.kind(item.place.pin))
        begins = bool(table.pop("start", False))
        threads, repeat = int(table.get("threads", 1)), int(table.get("repeat", 1))
        cost = self.cost(item.place)
        if cost:
            repeat = 1
            for key in ("repeat", "in_stride", "out_stride", "vary"):
                table.pop(key, None)
        if not self.afford(cost * threads):
            return
        begins = begins and len(self.started) < MOST_STARTED
        tokens = threads if threads > 1 or begins else 0
        if self.tokens + tokens > MOST_TOKENS:
            begins, threads = False, 1
            table.pop("threads", None)
        else:
            self.tokens += tokens
        self.expect_calls(table, item, threads * repeat, begins)
        if not begins and not item.kept and self._keeps_its_input(table, item.place):
            table["expect"] = {"input_intact": True}
        if begins:
            table["start"] = self.begin(item.place, str(table["route"]))
        self.add("handshake", on=item.place.name, **table)

    def _keeps_its_input(self, table: Mapping[str, Any], place: Place) -> bool:
        """Whether the input must be as it was (H2): it is the caller's, and the request a right one."""
        more = table.keys() & {"in_buffer", "vary", "threads"}
        right = self.composer.fitting.reaches_callback(table, place)
        return right and not more and place.pin is not None and place.sink is None and place.source is None

    def expect_calls(self, table: Mapping[str, Any], item: OpenedObject, times: int, begins: bool) -> None:
        """Puts down whether so many requests reach the pin's callback."""
        pin = item.place.pin
        if pin is None:
            return
        lone = item.place.sink is None and item.place.source is None and not item.kept
        if not lone or begins or not self.composer.fitting.reaches_callback(table, item.place):
            self.calls.doubt(pin)
            self._doubt_other_end(item.place)
            return
        if item.callback:
            last = self.composer.fitting.last_call(table, pin)
            if last is not None and item.state is not None:
                last = {**last, "device_state": item.state}
            at_once = int(table.get("threads", 1)) > 1
            self.calls.asked(pin, times, last, at_once=at_once)

    def _doubt_other_end(self, place: Place) -> None:
        """What a connected pin makes of a request is nobody's to say, nor where it goes."""
        other = self.composer.places.get(place.sink or place.source or "")
        if other is not None and other.pin is not None:
            self.calls.doubt(other.pin)

    def _pin_handshake(self, step: Step) -> None:
        name = str(step.get("on"))
        place = self.composer.places.get(name)
        if not self.composer.target.behaviour or place is None or place.pin is None:
            return
        if place.source is not None:
            self._pin_handshake_of_sink(step, place)
            return
        if place.sink is None:
            return
        item = self.ensure(name)
        end = self.composer.places[place.sink].pin
        if item is None or end is None:
            return
        table = self.composer.fitting.pin_handshake(step, end, self.kind(end))
        threads = int(table.get("threads", 1))
        begins = bool(table.pop("start", False))
        cost = self.cost(self.composer.places[place.sink])
        if cost:
            table.pop("vary", None)
        if self.tokens + threads > MOST_TOKENS or len(self.started) >= MOST_STARTED:
            return
        if not self.afford(cost * threads):
            return
        self.tokens += threads if threads > 1 or begins else 0
        peer = self.connected(item)
        if peer is not None and peer.callback and not begins and "vary" not in table:
            self.calls.asked(end, threads, None, at_once=threads > 1)
        else:
            self.calls.doubt(end)
        self.calls.touch(place.pin)
        if begins:
            table["start"] = self.begin(place, "irp")
        self.add("pin_handshake", on=name, **table)

    def _pin_handshake_of_sink(self, step: Step, place: Place) -> None:
        """Of the end that has no other to ask the contract says nothing, nor what becomes of it."""
        source = self.composer.places.get(str(place.source))
        item = self.ensure(place.name)
        if item is None or item.kept or source is None or source.pin is None or place.pin is None:
            return
        if self.blocked is not None or not self.afford(self.cost(place) + self.cost(source)):
            return
        table = self.composer.fitting.pin_handshake(step, source.pin, self.kind(source.pin))
        kept = {key: table[key] for key in ("protocol", "argument1", "argument2") if key in table}
        for pin in (place.pin, source.pin):
            self.calls.doubt(pin)
        self.add("pin_handshake", on=place.name, **kept, expect="record")

    def _wait_or_cancel(self, step: Step) -> None:
        if not self.started:
            return
        index = int(step.get("request") or 0) % len(self.started)
        started = self.started[index]
        if step["do"] == "cancel":
            if started.cancellable:
                self.add("cancel", request=started.name)
            return
        del self.started[index]
        self.add("wait", request=started.name)

    def _close_drawn(self, step: Step) -> None:
        name = str(step.get("on"))
        item = self.open.get(name)
        if item is None or item.place.pin is None:
            return
        if self.blocked is not None:
            if not self.waits_for_the_blocked(item.place):
                self.close(name)
            return
        if item.place.side is Side.USER or item.place.sink is not None:
            self.wait_for_all()
        keeps = bool(step.get("keep")) and item.place.side is Side.KERNEL and not item.kept
        if any(one.place.name == name for one in self.started):
            self.calls.doubt(item.place.pin)
        if keeps:
            item.kept = True
            self.add("close", on=name, keep=True)
            return
        self.close(name)

    def _state(self, step: Step) -> None:
        item = self.ensure(str(step.get("on")))
        if item is None or item.place.pin is None or item.place.shared is not None:
            return
        pin = item.place.pin
        under_way = any(one.changes and one.place.pin == pin for one in self.started)
        kind = self.kind(pin)
        if under_way or not self.afford(3 * self.cost(item.place) if kind == "slow_state" else 0):
            return
        keys: dict[str, Any] = {"on": item.place.name, "to": step.get("to", "stop")}
        if item.kept or kind == "state_status":
            keys["expect"] = "record"
        elif step.get("start") and item.place.side is Side.KERNEL and self.may_begin:
            self.tokens += 1
            keys["start"] = self.begin(item.place)
        if "expect" in keys or "start" in keys:
            self.calls.doubt(pin)
        item.state = None if "expect" in keys else str(keys["to"])
        self.calls.touch(pin)
        self.add("state", **keys)

    def _behave(self, step: Step) -> None:
        place = self.composer.places.get(str(step.get("on")))
        if not self.composer.target.behaviour or place is None or place.pin is None:
            return
        if self.blocked is not None:
            return
        table = self.composer.fitting.behaviour(step)
        if any(one.place.pin == place.pin for one in self.started):
            self.calls.doubt(place.pin)
        self.behaviour[place.pin.id] = (str(table["kind"]), int(table.get("delay_ms", 0)))
        self.calls.touch(place.pin)
        self.add("behaviour", pin=place.pin.name, **table)

    def _property(self, step: Step) -> None:
        item = self.ensure(str(step.get("on")))
        if item is not None and item.place.pin is not None and not item.kept:
            self.add("property_get", on=item.place.name, set=_CONNECTION, id=0, length=4, expect="record")
