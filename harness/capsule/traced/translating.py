# SPDX-License-Identifier: Apache-2.0
"""A trace as a scenario: in the order in which things happened, at the same time what was at the same time.

What lies idle between requests is left out, since nothing waits for it; while a request was under way, pauses
are kept.  Whatever has no counterpart in the language is said, once each.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.capsule.traced.events import Event, Trace
from harness.capsule.traced.objects import Objects, Opened
from harness.capsule.traced.steps import Step, Steps, is_own_property
from harness.capsule.traced.timeline import MOST_PAUSE_MS, PAUSE_NS, Moment, moments, without_nested
from harness.errors import UsageError
from harness.language.model import Route, Side, Target
from harness.language.model import Step as AnyStep

#: A request that blocks in a callback told to do so is waited for before anything else is done.
_BLOCKING = ("slow", "block", "slow_state")
#: Steps without one of which there is no scenario.
_ASKING = ("handshake", "pin_handshake", "state", "seen")
#: Of the kernels that kshs plays on.
_POINTER_SIZE = 8
_STEP: TypeAdapter[Any] = TypeAdapter(AnyStep)


@dataclass(frozen=True)
class Translated:
    """A scenario's steps, as tables, the event that answers each (None of one that has none), and remarks."""

    steps: tuple[Step, ...]
    events: tuple[Event | None, ...]
    remarks: tuple[str, ...]


@dataclass
class _Translator:
    trace: Trace
    target: Target
    route: Route
    shared: bool = False
    steps: list[Step] = field(default_factory=list)
    events: list[Event | None] = field(default_factory=list)
    remarks: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.objects = Objects(self.trace)
        self.objects.named(self.target)
        self.make = Steps(self.target, self.objects, self.route, self.note)
        self.open: set[str] = set()
        self.played: set[str] = set()
        self.gone: set[str] = set()
        self.under_way: dict[int, str] = {}
        self.told: dict[int | str, str] = {}
        self.inside: set[tuple[str, int | str]] = set()
        self.fresh: set[int | str] = set()
        aliased = any(event.out_buffer == "alias" for event in self.trace.events)
        self.looked: Step = {"count": "asked", "device_state": "asked", "after_close": 0, "irql": 0}
        self.looked |= {} if aliased else {"aliased": False}
        self.last_ns = 0

    def note(self, text: str) -> None:
        self.remarks.setdefault(text)

    # ---- the whole -----------------------------------------------------------------------------

    def translate(self) -> Translated:
        self._remark_on_the_head()
        asked = [event for item in self.objects.all.values() for event in item.uses]
        kept, nested = without_nested(self.trace.events, asked)
        if nested:
            self.note(f"{nested} requests that the driver sent itself, when it was asked, are left to it")
        visible = [event for event in kept if self._is_visible(event)]
        own_asked = [event for event in asked if not _is_look(event)]
        for moment in moments(visible, own_asked):
            self._pause(moment)
            self._one(moment)
        return without_the_end(Translated(tuple(self.steps), tuple(self.events), tuple(self.remarks)))

    def _remark_on_the_head(self) -> None:
        head = self.trace.head
        if head.overwritten:
            self.note(
                f"{head.overwritten} events before the first one were overwritten (records= of trace start)"
            )
        if head.lost:
            self.note(f"{head.lost} events were not recorded")
        if head.events != len(self.trace.events):
            self.note(f"the trace says that it has {head.events} events, and has {len(self.trace.events)}")
        devices = {item.event.device for item in self.objects.all.values()}
        if len(devices) > 1:
            self.note(
                f"its objects are of {len(devices)} devices, or of one that was started anew: all are opened"
                " on the target's one"
            )
        strangers = {event.object for event in self.objects.strangers}
        if strangers:
            self.note(
                f"{len(self.objects.strangers)} events of {len(strangers)} objects that were open before"
                " the recording began are left out"
            )

    def _is_visible(self, event: Event) -> bool:
        """Whether something is to be done about it."""
        if event.event in ("cleanup", "close", "unknown"):
            item = self.objects.all.get(event.object or "")
            return item is not None and item.closed is event
        if event.event == "open":
            item = self.objects.all.get(event.object or "")
            return item is not None and item.event is event
        return event.event == "device" or event.object in self.objects.all

    # ---- moments -------------------------------------------------------------------------------------

    def _add(self, step: Step | None, event: Event | None = None) -> bool:
        if step is None:
            return False
        try:
            _STEP.validate_python(step)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            self.note(f"a {step.get('do')} is left out, since the language has no such one: {first['msg']}")
            return False
        self.steps.append(step)
        self.events.append(event)
        return True

    def _pause(self, moment: Moment) -> None:
        idle = moment.at_ns - self.last_ns
        self.last_ns = max(self.last_ns, moment.at_ns)
        if self.under_way and PAUSE_NS <= idle < 1 << 62 and self.steps and self.steps[-1]["do"] != "sleep":
            self._add({"do": "sleep", "ms": min(MOST_PAUSE_MS, idle // 1_000_000)})

    def _one(self, moment: Moment) -> None:
        event = moment.event
        if moment.waits or moment.cancels:
            name = self.under_way.get(event.n)
            if name is None:
                return
            self._add({"do": "cancel" if moment.cancels else "wait", "request": name}, event)
            if moment.waits:
                del self.under_way[event.n]
            return
        if event.event == "device":
            self._device(event)
            return
        item = self.objects.all[event.object or ""]
        if event.event in ("open", "pin"):
            self._open(item, event)
        elif event.event in ("cleanup", "close"):
            self._close(item)
        else:
            self._request(item, event, moment.starts)

    def _open(self, item: Opened, event: Event) -> None:
        if item.event is event and self._add(self.make.open(item), event):
            self.played.add(item.key)
            self.open.update([] if item.failed else [item.key])

    def _close(self, item: Opened) -> None:
        if item.key not in self.open or item.closed is None:
            return
        late = any(use.n > item.closed.n for use in item.uses)
        self._add({"do": "close", "on": item.name, **({"keep": True} if late else {})})
        if not late:
            self.open.discard(item.key)

    def _device(self, event: Event) -> None:
        match event.change:
            case "remove" | "surprise-removal" if "remove" not in self.gone:
                self.gone.add("remove")
                self._add({"do": "device", "action": "remove"})
            case "stop":
                self._add({"do": "device", "action": "restart"})
            case _:
                pass

    def _request(self, item: Opened, event: Event, starts: bool) -> None:
        if is_own_property(event) and self.target.behaviour:
            self._own(item, event, starts)
            return
        if item.key not in self.open:
            return
        on = self._on(item, event)
        if event.event == "handshake":
            asked = self.make.handshake(event, on)
            if on != item.name:
                asked["route"] = Route.SYNC.value  # a handle that is shared is a synchronous one
            step: Step | None = asked
        elif event.event == "state":
            step = self.make.state(event, on)
        else:
            step, starts = self.make.property(event, on), False
        self._send(step, event, starts)

    def _send(self, step: Step | None, event: Event, starts: bool) -> None:
        if step is None:
            return
        if starts:
            step["start"] = f"r{event.n}"
        if self._add(step, None if starts else event) and starts:
            self.under_way[event.n] = f"r{event.n}"

    def _own(self, item: Opened, event: Event, starts: bool) -> None:
        """A step of the sample's own; looks at a callback become waiting, where something is under way."""
        step = self.make.property(event, item.name)
        if step is None:
            return
        if step["do"] == "pin_handshake":
            if item.key in self.open:
                self._send(step, event, starts)
            return
        pin = step["pin"]
        if step["do"] == "seen" or (step["do"] == "wait_inside" and not self.under_way):
            self._look({**step, "do": "seen"}, event)
            return
        if step["do"] == "wait_inside":
            place = ("/".join(self.under_way.values()), pin)
            if self.told.get(pin) not in _BLOCKING or place in self.inside:
                return
            self.inside.add(place)
            if self.told[pin] == "slow_state":
                step["what"] = "state"
        elif step["do"] == "behaviour":
            self.told[pin] = step["kind"]
        elif step["do"] == "reset":
            told, known = self.told.pop(pin, None), pin in self.fresh
            self.fresh.add(pin)
            if told is None and not (known and self._was_asked()) and not self._was_opened(pin):
                return
        self._add(step)

    def _look(self, step: Step, event: Event) -> None:
        """What the callback had seen by then; of a pin that was never reset it may be of long ago."""
        pin = step["pin"]
        if pin in self.fresh and not self.under_way:
            self._add({**step, "expect": {**self.looked, **self._instances(pin, event)}}, event)

    def _instances(self, pin: int | str, look: Event) -> Step:
        """How many were opened and closed by then, as far as the trace shows what the driver had seen."""
        head, before = self.trace.head, look.n
        strangers = any(event.event in ("cleanup", "close") for event in self.objects.strangers)
        if head.overwritten or head.lost or strangers:
            return {}
        pins = [item for item in self.objects.all.values() if item.pin is not None and item.event.n < before]
        mine = [item for item in pins if item.pin is not None and self.make.pin(item.pin) == pin]
        if any(item.key not in self.played for item in mine):
            return {}
        ended = [item for item in mine if item.closed is not None and item.closed.n < before]
        closing = not all(item.went(look) for item in ended)
        return {"opened": "asked", **({} if closing else {"closed": "asked"})}

    def _was_opened(self, pin: int | str) -> bool:
        return any(step["do"] == "open_pin" and step["pin"] == pin for step in self.steps)

    def _was_asked(self) -> bool:
        return any(step["do"] in ("handshake", "pin_handshake") for step in self.steps)

    def _on(self, item: Opened, event: Event) -> str:
        theirs = self.objects.opener(item) is Side.USER and not self.shared
        if theirs or self.objects.side(event) is Side.KERNEL:
            return item.name
        if item.shared is None:
            self._add(self.make.share(item))
        return item.shared or item.name


def without_the_end(translated: Translated) -> Translated:
    """The same without what the harness does at a scenario's end itself."""
    count = len(translated.steps)
    while count and translated.steps[count - 1]["do"] in ("close", "reset", "sleep"):
        count -= 1
    return replace(translated, steps=translated.steps[:count], events=translated.events[:count])


def _is_look(event: Event) -> bool:
    """Whether it only asks what a callback of the sample has seen, or tells it what to do."""
    return is_own_property(event) and event.id != 5  # KSHS_PROP_PIN_HANDSHAKE


def translate(trace: Trace, target: Target, route: Route = Route.IRP, *, shared: bool = False) -> Translated:
    """A trace as steps.

    Args:
        trace: of any machine.
        target: whose pins and protocols are meant.
        route: by which requests of drivers are sent.
        shared: what user mode had opened is opened by the client, and shared with user mode.

    Raises:
        UsageError: there is nothing in it that could be played.
    """
    if trace.head.pointer_size != _POINTER_SIZE:
        raise UsageError(
            "the trace is of a 32-bit kernel, whose structures have other sizes: none of it can be played",
            hint="record it on a 64-bit one; kshs capsule show lists what is in it",
        )
    return with_something(_Translator(trace, target, route, shared).translate())


def is_refused(step: Step) -> bool:
    """Whether it opens what did not open: such a one leaves something behind, or it does not."""
    return step["do"] == "open_pin" and step.get("expect") == "record"


def with_something(translated: Translated) -> Translated:
    """The same.

    Raises:
        UsageError: there is nothing in it that could be played.
    """
    if not any(step["do"] in _ASKING or is_refused(step) for step in translated.steps):
        why = "; ".join(translated.remarks) or "no handshake was recorded"
        raise UsageError(f"nothing in the trace can be played: {why}")
    return translated
