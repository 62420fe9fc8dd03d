# SPDX-License-Identifier: Apache-2.0
"""What a scenario's steps must agree on among each other; beyond the shape of each of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches

from harness.language.model.made_steps import Dereference, Inspect, Make, Reference, Vanish
from harness.language.model.problem import Problem
from harness.language.model.scenario import OPEN_PATTERN, Scenario
from harness.language.model.steps import (
    Behaviour,
    Cancel,
    Close,
    Counters,
    Handshake,
    OpenDevice,
    OpenFilter,
    OpenPin,
    PinHandshake,
    PropertyGet,
    PropertySet,
    SetState,
    Share,
    Step,
    Wait,
)
from harness.language.model.values import Buffer, Mode, Route, Side, length

_OPEN = re.compile(OPEN_PATTERN)
#: The low two bits of a control code whose buffers reach the driver as the sender's own pointers.
_METHOD_NEITHER = 3


@dataclass(frozen=True, slots=True)
class Shorthand:
    """One entry of `open`: `name` for later steps, what it is, and the sink it is connected to."""

    name: str
    what: str
    connect_to: str | None

    @property
    def pin(self) -> str | int | None:
        """The pin's name or id, None for a filter."""
        if self.what == "filter":
            return None
        found = re.fullmatch(r"pin(\d+)", self.what)
        return int(found[1]) if found else self.what


def shorthand(text: str) -> Shorthand:
    """An entry of `open`: ``filter``, ``source``, ``pin0``, ``second = source``, ``source -> sink``."""
    found = _OPEN.match(text)
    if not found:
        raise ValueError(f"{text!r} is nothing that `open` understands")
    name, what, connect_to = found.groups()
    return Shorthand(name or what, what, connect_to)


@dataclass(slots=True)
class _Object:
    name: str
    path: tuple[str | int, ...]
    linked: set[str] = field(default_factory=set)
    side: Side | None = None
    routes: set[Route] = field(default_factory=set)
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Handle:
    """How an object is opened: the side, and on the user side the route its handle is made for."""

    side: Side
    route: Route


def check(scenario: Scenario) -> list[Problem]:
    """Everything that is wrong with a scenario whatever target it runs on; empty if nothing is."""
    problems = [*_references(scenario), *_made(scenario)]
    if not problems:
        problems += [*_sides(scenario)[1], *_requests(scenario)]
    return problems


def handles(scenario: Scenario) -> dict[str, Handle]:
    """For every named object the side that opens it, from how it is used.

    Objects that only prepare others, or are used by neither side, belong to the kernel side.
    """
    return _sides(scenario)[0]


def _uses(step: Step) -> str | None:
    if isinstance(
        step, Handshake | Close | Share | PropertyGet | PropertySet | PinHandshake | SetState | Counters
    ):
        return step.on
    return None


def _references(scenario: Scenario) -> Iterator[Problem]:
    """Names are opened before they are used, and once; requests are started before they are waited for."""
    opened: set[str] = set()
    closed: set[str] = set()
    kept: set[str] = set()
    started: dict[str, bool] = {}

    def open_name(name: str, path: tuple[str | int, ...]) -> Iterator[Problem]:
        if name in opened:
            yield Problem(path, f"{name!r} is open already", "give one of the two another name")
        opened.add(name)
        closed.discard(name)

    def used(name: str, path: tuple[str | int, ...]) -> Iterator[Problem]:
        if name in closed:
            yield Problem(path, f"{name!r} is closed by then", "open it again, or close it later")
        elif name not in opened:
            near = get_close_matches(name, opened, n=1)
            hint = (
                f"did you mean {near[0]!r}?" if near else f"add it to open = [...]; open are: {_list(opened)}"
            )
            yield Problem(path, f"nothing is open under the name {name!r}", hint)

    def has_handle(name: str, path: tuple[str | int, ...]) -> Iterator[Problem]:
        yield from used(name, path)
        if name in kept:
            yield Problem(
                path, f"{name!r} is closed by then", "what was kept of it is good for requests alone"
            )

    for position, text in enumerate(scenario.open):
        entry = shorthand(text)
        path: tuple[str | int, ...] = ("open", position)
        if entry.connect_to is not None and entry.connect_to not in opened:
            yield from open_name(entry.connect_to, path)
        yield from open_name(entry.name, path)
    for position, step in enumerate(scenario.steps):
        here: tuple[str | int, ...] = ("steps", position)
        if isinstance(step, OpenFilter | OpenDevice | OpenPin):
            if isinstance(step, OpenPin):
                if step.filter is not None:
                    yield from has_handle(step.filter, (*here, "filter"))
                if step.connect_to is not None:
                    yield from has_handle(step.connect_to, (*here, "connect_to"))
            yield from open_name(step.name, (*here, "name"))
            continue
        on = _uses(step)
        if on is not None:
            needs_handle = isinstance(step, Share) or (isinstance(step, Close) and step.keep)
            yield from (has_handle if needs_handle else used)(on, (*here, "on"))
        if isinstance(step, Share):
            yield from open_name(step.name, (*here, "name"))
        if isinstance(step, Close) and step.keep:
            kept.add(step.on)
        elif isinstance(step, Close):
            opened.discard(step.on)
            kept.discard(step.on)
            closed.add(step.on)
        if isinstance(step, Handshake | PinHandshake | SetState) and step.start is not None:
            if started.get(step.start):
                yield Problem(
                    (*here, "start"), f"a request named {step.start!r} is under way", "wait for it first"
                )
            started[step.start] = True
        if isinstance(step, Wait | Cancel):
            if step.request not in started:
                near = get_close_matches(step.request, started, n=1)
                yield Problem(
                    (*here, "request"),
                    f"no request named {step.request!r} was started",
                    f"did you mean {near[0]!r}?" if near else 'a step starts it with start = "..."',
                )
            elif not started[step.request]:
                yield Problem((*here, "request"), f"the request {step.request!r} was already waited for")
            elif isinstance(step, Wait):
                started[step.request] = False
    for name, running in started.items():
        if running:
            yield Problem(
                ("steps",),
                f"nobody waits for the request {name!r}",
                f'add {{do = "wait", request = "{name}"}}',
            )


def _made(scenario: Scenario) -> Iterator[Problem]:
    """What is handed over, looked at or called was made, or taken, before; and has one name."""
    known: set[str] = set()
    for position, step in enumerate(scenario.steps):
        here: tuple[str | int, ...] = ("steps", position)
        used: list[tuple[str, tuple[str | int, ...]]] = []
        if isinstance(step, PinHandshake) and step.vary and (step.threads > 1 or step.start is not None):
            text = "vary goes with calls one after the other"
            yield Problem((*here, "vary"), text, "leave threads and start out")
        if isinstance(step, Handshake):
            used = [(name, (*here, "hand", index)) for index, name in enumerate(step.hand)]
        elif isinstance(step, Inspect | Reference | Dereference | Vanish):
            used = [(step.what, (*here, "what"))]
        for name, path in used:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = (
                    f"did you mean {near[0]!r}?" if near else 'a make step, or take = "...", gives the name'
                )
                yield Problem(path, f"nothing was made or taken under the name {name!r}", hint)
        new = step.name if isinstance(step, Make) else step.take if isinstance(step, Handshake) else None
        if new is not None:
            if new in known:
                path = (*here, "name" if isinstance(step, Make) else "take")
                yield Problem(path, f"{new!r} is made or taken already", "give one of the two another name")
            known.add(new)
        if isinstance(step, Handshake) and step.take is not None and step.threads > 1:
            yield Problem(
                (*here, "take"), "each of several threads brings an answer of its own", "use one thread"
            )


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _objects(scenario: Scenario) -> dict[str, _Object]:
    objects: dict[str, _Object] = {}

    def add(name: str, path: tuple[str | int, ...], side: Side | None, *links: str | None) -> None:
        item = objects.setdefault(name, _Object(name, path))
        item.side = item.side or side
        for link in links:
            if link is not None:
                other = objects.setdefault(link, _Object(link, path))
                item.linked.add(link)
                other.linked.add(name)

    for position, text in enumerate(scenario.open):
        entry = shorthand(text)
        add(entry.name, ("open", position), None, entry.connect_to)
    for position, step in enumerate(scenario.steps):
        path: tuple[str | int, ...] = ("steps", position)
        if isinstance(step, OpenFilter | OpenDevice):
            add(step.name, path, step.side)
        elif isinstance(step, OpenPin):
            add(step.name, path, step.side, step.filter, step.connect_to)
        elif isinstance(step, Share):
            add(step.on, path, Side.KERNEL)
            add(step.name, path, Side.USER)
            objects[step.name].shared = True
        elif isinstance(step, Counters) and step.on is not None:
            add(step.on, path, Side.KERNEL)
        elif isinstance(step, Handshake) and step.on in objects:
            objects[step.on].routes.add(step.route)
    return objects


def _sides(scenario: Scenario) -> tuple[dict[str, Handle], list[Problem]]:
    objects = _objects(scenario)
    problems: list[Problem] = []
    result: dict[str, Handle] = {}
    for item in objects.values():
        group = _group(objects, item.name)
        sides = {objects[name].side for name in group} | {
            route.side for name in group for route in objects[name].routes
        }
        sides.discard(None)
        if len(sides) > 1:
            problems.append(
                Problem(
                    item.path,
                    f"{item.name!r} would have to be opened by the kernel side and by the user side"
                    + (f" (it goes with {_list(group - {item.name})})" if len(group) > 1 else ""),
                    f'open it twice: open = ["{item.name}", "other = {item.name}"]',
                )
            )
        side = next(iter(sides), None) or Side.KERNEL
        routes = {route for route in item.routes if route.side is Side.USER}
        if Route.SYNC in routes and len(routes) > 1:
            others = _list({route.value for route in routes - {Route.SYNC}})
            problems.append(
                Problem(
                    item.path,
                    f"route sync needs a synchronous handle of {item.name!r}, {others} an asynchronous one",
                    f'open it twice: open = ["{item.name}", "other = {item.name}"]',
                )
            )
        if {Route.PORT, Route.APC} <= routes:
            problems.append(
                Problem(
                    item.path,
                    f"{item.name!r} cannot serve routes port and apc: a handle on a port has no APCs",
                    f'open it twice: open = ["{item.name}", "other = {item.name}"]',
                )
            )
        if item.shared and routes - {Route.SYNC}:
            problems.append(
                Problem(
                    item.path,
                    f"{item.name!r} is a synchronous handle, as the client's own are",
                    "use route sync, or open the pin by the user side",
                )
            )
        if side is Side.KERNEL:
            route = Route.CALL
        else:
            route = next((route for route in Route if route in routes), Route.SYNC)
        result[item.name] = Handle(side, route)
    return result, problems


def _group(objects: dict[str, _Object], start: str) -> set[str]:
    group: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name not in group:
            group.add(name)
            todo += objects[name].linked
    return group


#: The greatest request buffer (KSHS_BUFFER_SIZE), and sizeof(KSHANDSHAKE) where it is greatest.
_BUFFER_SIZE = 65_536
_SIZE = 32
#: Bits of a protocol's GUID.
_PROTOCOL_BITS = 128


def _varied(step: Handshake, here: tuple[str | int, ...]) -> Iterator[Problem]:
    """What a handshake may not be whose repeats differ in a length or in a bit."""
    if not step.varies:
        return
    key = next(name for name in ("in_stride", "out_stride", "vary") if getattr(step, name))
    path = (*here, key)
    if step.repeat == 1:
        yield Problem(path, f"{key} makes no difference to a single request", "add repeat = ...")
    if step.threads > 1 or step.start is not None:
        yield Problem(path, f"{key} goes with requests one after the other", "leave threads and start out")
    if (step.in_buffer, step.out_buffer) != (Buffer.NORMAL, Buffer.NORMAL):
        yield Problem(path, f"{key} needs ordinary buffers", "leave in_buffer and out_buffer out")
    if step.control & 3 != _METHOD_NEITHER:
        yield Problem(path, f"{key} needs a control of METHOD_NEITHER", "leave control out")
    for name, first, stride in (
        ("in_stride", step.in_length, step.in_stride),
        ("out_stride", step.out_length, step.out_stride),
    ):
        last = length(first, _SIZE) + stride * (step.repeat - 1)
        if stride and last > _BUFFER_SIZE:
            yield Problem(
                (*here, name), f"the last length is {last}, more than a buffer has", f"at most {_BUFFER_SIZE}"
            )
    if step.vary is not None:
        if step.repeat > _PROTOCOL_BITS:
            yield Problem((*here, "repeat"), f"a protocol has {_PROTOCOL_BITS} bits", "repeat it no oftener")
        if step.in_stride or step.out_stride:
            yield Problem(path, "vary and a stride are two different rows of requests", "make two steps")
        if step.input is not None:
            yield Problem(path, "vary is about protocol, not about raw input", "leave one of them out")


def _requests(scenario: Scenario) -> Iterator[Problem]:
    """Values that are well-formed alone and contradict each other."""
    counted = False
    for position, step in enumerate(scenario.steps):
        here: tuple[str | int, ...] = ("steps", position)
        if isinstance(step, Handshake):
            if step.mode is Mode.KERNEL and step.route.side is Side.USER:
                yield Problem(
                    (*here, "mode"),
                    f"route {step.route.value} always sends in user mode",
                    "leave mode out, or take route call or irp",
                )
            if step.in_buffer is Buffer.ALIAS:
                yield Problem(
                    (*here, "in_buffer"), "only the output buffer can be an alias", "use out_buffer"
                )
            yield from _varied(step, here)
            if step.threads > 1 and step.input is not None:
                yield Problem(
                    (*here, "threads"),
                    "with raw input all threads would send the same",
                    "use protocol, argument1 and argument2 in place of input",
                )
        if isinstance(step, Counters):
            if step.events and not counted:
                yield Problem(
                    (*here, "events"),
                    "nothing was counted before, so that nothing can have grown",
                    "begin with a counters step without events",
                )
            counted = True
        if isinstance(step, Behaviour) and step.kind in {"status", "bugcheck"} and step.status is None:
            yield Problem((*here, "kind"), f"{step.kind} needs a status", 'add status = "STATUS_..."')
