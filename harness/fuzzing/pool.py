# SPDX-License-Identifier: Apache-2.0
"""The objects that sequences speak of: each pin of a target by every side and route, alone and connected.

A name says all that there is to know of an object: which pin, who opens it, what it is connected to.  So a
step can be moved from one sequence to another, and whatever it speaks of is opened when it is first needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.language.model import Pin, Side, Target

#: Pins of a target of which sequences are made, the first ones; and pairs that are connected.
MOST_PINS = 6
MOST_PAIRS = 4
#: Characters of a pin's name that objects are called by; longer ones by the pin's number.
_MOST_NAME = 14

KERNEL_ROUTES = ("call", "irp")
_USER = {"sync": ("sync",), "port": ("port", "event"), "apc": ("apc", "event")}


@dataclass(frozen=True, slots=True)
class Place:
    """One object by its name.

    `pin` is None for a filter; `sink` names the object that it is connected to, `source` the one that is
    connected to it, `shared` the one to whose file object it is a second handle; `routes` are those that its
    handle serves.
    """

    name: str
    pin: Pin | None
    side: Side = Side.KERNEL
    routes: tuple[str, ...] = KERNEL_ROUTES
    sink: str | None = None
    source: str | None = None
    shared: str | None = None


def pool(target: Target) -> Mapping[str, Place]:
    """Every object that a target can give, by name; which of them open, only a guest can say."""
    return {place.name: place for place in _places(target)}


def _places(target: Target) -> Iterator[Place]:
    pins = target.pin[:MOST_PINS]
    for pin in pins:
        name = _called(pin)
        yield Place(name, pin)
        if pin.max_instances > 1:
            yield Place(f"{name}_second", pin)
        for suffix, routes in _USER.items():
            yield Place(f"{name}_{suffix}", pin, Side.USER, routes)
        yield Place(f"{name}_shared", pin, Side.USER, ("sync",), shared=name)
    pairs = [(a, b) for a in pins if a.flow == "out" for b in pins if b.flow == "in"]
    for source, sink in pairs[:MOST_PAIRS]:
        end = f"{_called(sink)}_of_{_called(source)}"
        start = f"{_called(source)}_to_{_called(sink)}"
        yield Place(end, sink, source=start)
        yield Place(start, source, sink=end)
    yield Place("filter", None)
    yield Place("filter_sync", None, Side.USER, ("sync",))


def _called(pin: Pin) -> str:
    return pin.name if len(pin.name) <= _MOST_NAME else f"pin{pin.id}"
