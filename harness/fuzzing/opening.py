# SPDX-License-Identifier: Apache-2.0
"""What one scenario of sequences has opened and begun so far, and what opens and ends it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.fuzzing.calls import CallCount
from harness.fuzzing.draft import Step
from harness.fuzzing.pool import Place
from harness.language.model import Pin, Side

if TYPE_CHECKING:
    from harness.fuzzing.composing import Composer

#: Objects that a side opens in one scenario, and requests that are begun in it (the ABI has 128 of both);
#: steps that are under way at once.
MOST_OPENS = 100
MOST_TOKENS = 120
MOST_STARTED = 12


@dataclass(slots=True)
class OpenedObject:
    """An object that is open.

    `kept`: only what was kept of it is left; `state` is None where nobody can say; `callback`: it has one;
    `peer` is the sink that it was connected to.
    """

    place: Place
    kept: bool = False
    state: str | None = "stop"
    callback: bool = True
    peer: OpenedObject | None = None


@dataclass(slots=True)
class Begun:
    """A request, or a change of state, that is under way; whether its sender has what could be cancelled."""

    name: str
    place: Place
    changes: bool = False
    cancellable: bool = False


@dataclass
class Opening:
    """Opens, closes, waits; `number` is that of the sequence whose steps are added."""

    composer: Composer
    steps: list[dict[str, Any]] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    number: int = 0
    open: dict[str, OpenedObject] = field(default_factory=dict)
    started: list[Begun] = field(default_factory=list)
    behaviour: dict[int, tuple[str, int]] = field(default_factory=dict)
    calls: CallCount = field(default_factory=CallCount)
    opens: dict[Side, int] = field(default_factory=lambda: {Side.KERNEL: 0, Side.USER: 0})
    tokens: int = 0
    names: int = 0
    patience: int = 0
    blocked: Pin | None = None
    counted: bool = False

    def take(self, step: Step) -> None:
        """One step of a sequence, as far as it fits."""
        raise NotImplementedError

    def add(self, do: str, **keys: Any) -> None:
        """One more step of the scenario."""
        self.steps.append({"do": do, **keys})
        self.owners.append(self.number)

    # ---- objects -----------------------------------------------------------------------------

    def ensure(self, name: str) -> OpenedObject | None:
        """The object of this name, opened where it is not; None where it cannot be."""
        found = self.open.get(name)
        place = self.composer.places.get(name)
        if found is not None or place is None:
            return found
        if not self.has_room(place):
            return None
        if place.shared is not None:
            origin = self.ensure(place.shared)
            if origin is None or origin.kept:
                return None
            self.add("share", on=place.shared, name=name)
            return self.opened(place, origin.callback)
        if place.pin is None:
            self.add("open_filter", name=name, side=place.side.value)
            return self.opened(place, callback=False)
        keys: dict[str, Any] = {"name": name, "pin": place.pin.name, "side": place.side.value}
        sink: OpenedObject | None = None
        if place.sink is not None:
            sink = self.ensure(place.sink)
            if sink is None or sink.kept or not self.has_room(place):
                return None
            keys["connect_to"] = place.sink
        self.add("open_pin", **keys)
        without = not place.pin.callback or self.kind(place.pin) == "no_callback"
        item = self.opened(place, callback=not without)
        item.peer = sink
        return item

    def opened(self, place: Place, callback: bool) -> OpenedObject:
        """Puts down that it is open."""
        self.opens[place.side] += 1
        item = self.open[place.name] = OpenedObject(place, callback=callback)
        return item

    def has_room(self, place: Place) -> bool:
        """Whether one more such object may be open."""
        if self.opens[place.side] >= MOST_OPENS:
            return False
        if place.pin is None or place.shared is not None:
            return True
        alike = [
            item
            for item in self.open.values()
            if item.place.shared is None
            and item.place.side is place.side
            and item.place.pin is not None
            and item.place.pin.id == place.pin.id
        ]
        return len(alike) < place.pin.max_instances

    def close(self, name: str) -> None:
        """Closes an object for good."""
        del self.open[name]
        self.add("close", on=name)

    # ---- what is under way -------------------------------------------------------------------

    def begin(self, place: Place, route: str | None = None) -> str:
        """Puts down that something is under way there; the name by which it is waited for."""
        self.names += 1
        started = Begun(f"r{self.names}", place, route is None, route not in (None, "call", "sync"))
        self.started.append(started)
        return started.name

    @property
    def may_begin(self) -> bool:
        """Whether one more thing may be under way."""
        return self.tokens < MOST_TOKENS and len(self.started) < MOST_STARTED

    def wait_for_all(self) -> None:
        """Waits for all that is under way."""
        for started in self.started:
            self.add("wait", request=started.name)
        self.started.clear()

    # ---- what a pin was told -----------------------------------------------------------------

    def connected(self, item: OpenedObject) -> OpenedObject | None:
        """The other end of a source's connection, where both are as they were when it was made."""
        peer = item.peer
        if peer is None or item.kept or peer.kept or self.open.get(peer.place.name) is not peer:
            return None
        return peer

    def kind(self, pin: Pin | None) -> str:
        """What a pin was told to do."""
        return self.behaviour.get(pin.id, ("default", 0))[0] if pin is not None else "default"

    def cost(self, place: Place) -> int:
        """Milliseconds that one request to this pin, or one change of its state, may take."""
        if place.pin is None:
            return 0
        return self.behaviour.get(place.pin.id, ("", 0))[1]

    def afford(self, cost: int) -> bool:
        """Whether the sequence has so many milliseconds left, which are taken."""
        if cost > self.patience:
            return False
        self.patience -= cost
        return True

    def waits_for_the_blocked(self, place: Place) -> bool:
        """Whether a request would end up in, or behind, the callback that blocks."""
        if self.blocked is None or place.pin is None:
            return False
        return place.pin.id == self.blocked.id or place.sink is not None or place.source is not None
