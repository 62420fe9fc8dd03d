# SPDX-License-Identifier: Apache-2.0
"""Events as steps of the scenario language; addresses become what the target file says of a protocol."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from typing import Any, get_args

from drivers import abi
from harness import ntstatus
from harness.agent.encode import KSHS_PROPERTY_SET, PROPERTY_GET, PROPERTY_SET
from harness.capsule.traced.events import Content, Event
from harness.capsule.traced.objects import Objects, Opened, block_differs, format_of
from harness.language.model import IOCTL_KS_HANDSHAKE, Route, Side, Target
from harness.language.model.steps import BehaviourKind
from harness.language.model.target import NULL_PROTOCOL, UNKNOWN_PROTOCOL

Step = dict[str, Any]
Note = Callable[[str], None]

#: sizeof(KSHANDSHAKE) of the 64-bit kernels that are traced.
SIZE = 32
_HANDSHAKE = struct.Struct("<16sQQ")
_BEHAVIOUR = struct.Struct("<IIIIQQ")
_NEEDS_STATUS = frozenset({"decline", "status", "bugcheck", "state_status"})


def length(number: int) -> int | str:
    """A length in terms of sizeof(KSHANDSHAKE) where it is near it: so it holds on other kernels, too."""
    if number == SIZE:
        return "size"
    if abs(number - SIZE) < 8:
        return f"size{number - SIZE:+d}"
    return number


def is_own_property(event: Event) -> bool:
    """Whether it is about the set of docs/avshs.md, by which a scenario tells a callback what to do."""
    return event.event == "property" and event.set == abi.load().guids[KSHS_PROPERTY_SET]


class Steps:
    """Makes steps of events.

    Args:
        target: whose pins and protocols are meant.
        objects: of the trace.
        route: by which requests from kernel mode are sent; an IRP does not tell how its sender made it.
        note: is told what could not be translated.
    """

    def __init__(self, target: Target, objects: Objects, route: Route, note: Note) -> None:
        self._target = target
        self._objects = objects
        self._route = route
        self._note = note

    # ---- opens -------------------------------------------------------------------------------

    def open(self, item: Opened) -> Step | None:
        """The step that opens it; None of an object that nothing is asked of."""
        step: Step
        if item.pin is None:
            own = [each for each in item.uses if not is_own_property(each)]
            if not own and not item.children:
                return None
            step = {"do": "open_filter", "name": item.name}
        else:
            if self._target.find_pin(item.pin) is None:
                self._note(f"the target has no pin {item.pin}: what was asked of {item.name} is left out")
                return None
            step = {"do": "open_pin", "name": item.name, "pin": self.pin(item.pin)}
            self._connect(item, step)
            self._format(item, step)
        if item.failed:
            step["expect"] = "record"
        return step

    def share(self, item: Opened) -> Step:
        """The step that gives user mode a handle to what kernel mode has open."""
        item.shared = f"{item.name}_user"[:40]
        return {"do": "share", "on": item.name, "name": item.shared}

    def _connect(self, item: Opened, step: Step) -> None:
        below = item.event.below
        if below is not None and below in self._objects.all and self._objects.all[below].name:
            step["filter"] = self._objects.all[below].name
        sink = self._objects.all.get(item.sink or "")
        if sink is not None and sink.pin is not None and not sink.failed:
            step["connect_to"] = sink.name
        elif item.event.connects:
            self._note(f"{item.name} was connected to a pin that the trace does not have")

    def _format(self, item: Opened, step: Step) -> None:
        pin = self._target.find_pin(item.pin if item.pin is not None else -1)
        said = format_of(item.connect)
        if pin is None or said is None or self._target.asks(pin):
            return
        known = self._target.format_of(pin)
        wanted = (known.major, known.sub, known.specifier, known.sample_size)
        keys = ("major", "sub", "specifier", "sample_size")
        other = {
            key: str(value) if isinstance(value, uuid.UUID) else value
            for key, value, is_known in zip(keys, said, wanted, strict=True)
            if value != is_known
        }
        if other:
            step["format"] = other
        elif block_differs(item.connect, known):
            self._note(
                f"{item.name} was opened with another format block than the target file's, which is used"
            )

    def pin(self, number: int) -> int | str:
        """A pin as scenarios call it."""
        pin = self._target.find_pin(number)
        return pin.name if pin is not None else number

    # ---- handshakes ----------------------------------------------------------------------------

    def handshake(self, event: Event, on: str) -> Step:
        """A handshake as it was sent."""
        step: Step = {"do": "handshake", "on": on}
        if self._objects.side(event) is Side.KERNEL:
            step["route"] = self._route.value
            if event.requestor == "user":
                step["mode"] = "user"
        else:
            step["route"] = (Route.EVENT if event.pending else Route.SYNC).value
        self._content(event, step)
        for key, number in (("in_length", event.in_length), ("out_length", event.out_length)):
            if number != SIZE:
                step[key] = length(number)
        if event.in_buffer != "normal" and event.in_buffer != "alias":
            step["in_buffer"] = event.in_buffer
        if event.out_buffer != "normal":
            step["out_buffer"] = event.out_buffer
        if event.control not in (None, IOCTL_KS_HANDSHAKE):
            step["control"] = event.control
        if event.bits == 32:
            self._note(
                "requests of 32-bit programs are sent by the agent's own kind of program; answers to a"
                " KSHANDSHAKE of 24 bytes are not judged"
            )
        if event.fast:
            self._note("requests by fast I/O are sent as IRPs")
        return step

    def _content(self, event: Event, step: Step) -> None:
        content = event.input
        if content is None:
            if event.input_unread and event.in_buffer == "normal":
                self._note(
                    "the input of some requests could not be read: the pin's first protocol is sent"
                    ", and their answers are not judged"
                )
            return
        if content.bytes_ is not None:
            self._part(content.bytes_, step)
            return
        self._protocol(content, step)
        if any(content.behind):
            self._behind(content, step)
        if event.cut and len(content.behind) + SIZE < event.in_length:
            self._note("of some long inputs the trace has the begin alone")

    def _part(self, data: bytes, step: Step) -> None:
        """A part of a KSHANDSHAKE, as a sender says that has a whole one and says less."""
        if len(data) < 16:
            step["input"] = data.hex()
            return
        protocol, one, two = _HANDSHAKE.unpack(data.ljust(SIZE, b"\0"))
        step["protocol"] = self.protocol(uuid.UUID(bytes_le=protocol))
        self._arguments((one, two), step)

    def _protocol(self, content: Content, step: Step) -> None:
        if content.protocol is None:
            return
        step["protocol"] = self.protocol(content.protocol)
        self._arguments((content.argument1, content.argument2), step)

    def protocol(self, guid: uuid.UUID) -> str:
        """A protocol as scenarios call it."""
        words = {NULL_PROTOCOL: "null", UNKNOWN_PROTOCOL: "unknown"}
        return words.get(guid) or self._target.protocol_name(guid) or str(guid)

    def _arguments(self, values: tuple[int | str, int | str], step: Step) -> None:
        for number, value in enumerate(values, 1):
            if isinstance(value, str):
                self._note(
                    f"argument {number} of some requests was an address: what the target file says of the"
                    " protocol is sent in its place, 0 where it says nothing"
                )
            elif value:
                step[f"argument{number}"] = value

    def _behind(self, content: Content, step: Step) -> None:
        if (
            content.protocol is None
            or isinstance(content.argument1, str)
            or isinstance(content.argument2, str)
        ):
            self._note("what lay behind some KSHANDSHAKE is left out, since addresses were in it")
            return
        for key in ("protocol", "argument1", "argument2"):
            step.pop(key, None)
        head = _HANDSHAKE.pack(content.protocol.bytes_le, content.argument1, content.argument2)
        step["input"] = (head + content.behind).hex()

    # ---- states and properties --------------------------------------------------------------------

    def state(self, event: Event, on: str) -> Step | None:
        """A change of a pin's state."""
        if not isinstance(event.to, str):
            self._note("a change to a state that is none is left out")
            return None
        step: Step = {"do": "state", "on": on, "to": event.to}
        # What one that did not come back would have been answered nobody knows either.
        if not event.succeeded:
            step["expect"] = "record"
        return step

    def property(self, event: Event, on: str) -> Step | None:
        """A property of a watched set."""
        if is_own_property(event) and self._target.behaviour:
            return self._own_property(event, on)
        step: Step = {"on": on, "set": str(event.set), "id": event.id}
        if event.instance:
            step["input"] = event.instance.hex()
        if event.type & PROPERTY_SET:
            step |= {"do": "property_set", "data": (event.value or b"").hex()}
        else:
            step |= {"do": "property_get", "length": min(event.out_length, 65536)}
        if event.type not in (PROPERTY_GET, PROPERTY_SET):  # a question for support, or to a node
            step["flags"] = event.type
        if not (event.came_back and ntstatus.is_success(event.status or 0)):  # a warning is no success
            step["expect"] = "record"
        return step

    def _own_property(self, event: Event, on: str) -> Step | None:
        """The property set of docs/avshs.md has steps of its own."""
        constants = abi.load().constants
        names = {value: name for name, value in constants.items() if name.startswith("KSHS_PROP_")}
        data = event.value or b""
        match names.get(event.id, "").removeprefix("KSHS_PROP_"):
            case "BEHAVIOUR" if len(data) >= _BEHAVIOUR.size:
                return self._behaviour(data)
            case "RESET" if len(data) >= 4:
                return {"do": "reset", "pin": self.pin(int.from_bytes(data[:4], "little"))}
            case "UNBLOCK" if len(data) >= 4:
                return {"do": "unblock", "pin": self.pin(int.from_bytes(data[:4], "little"))}
            case "SEEN" if len(event.instance) >= 4:
                pin = self.pin(int.from_bytes(event.instance[:4], "little"))
                return {"do": "wait_inside", "pin": pin, "expect": "record"}
            case "SEEN_LATER" if len(event.instance) >= 4:
                pin = self.pin(int.from_bytes(event.instance[:4], "little"))
                return {"do": "seen", "pin": pin, "later": True}
            case "PIN_HANDSHAKE" if len(event.instance) >= SIZE:
                return self._pin_handshake(event, on)
        return None

    def _behaviour(self, data: bytes) -> Step:
        pin, kind, status, delay, value, value2 = _BEHAVIOUR.unpack_from(data)
        kinds = get_args(BehaviourKind)
        name = kinds[kind] if kind < len(kinds) else "default"
        step: Step = {"do": "behaviour", "pin": self.pin(pin), "kind": name}
        if name in _NEEDS_STATUS:
            step["status"] = f"0x{status:08X}"
        if delay:
            step["delay_ms"] = min(delay, 600_000)
        for key, number in (("value", value), ("value2", value2)):
            if number:
                step[key] = number
        return step

    def _pin_handshake(self, event: Event, on: str) -> Step:
        protocol, one, two = _HANDSHAKE.unpack_from(event.instance)
        step: Step = {"do": "pin_handshake", "on": on}
        step["protocol"] = self.protocol(uuid.UUID(bytes_le=protocol))
        for key, number in (("argument1", one), ("argument2", two)):
            if number:
                step[key] = number
        return step
