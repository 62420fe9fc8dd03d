# SPDX-License-Identifier: Apache-2.0
"""What was open in a trace: filters and pins, by whom, and what a scenario calls them."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.capsule.traced.events import Event, Trace
from harness.language.model import Side, Target
from harness.language.model.format import Format

#: KSPIN_CONNECT (ks.h) of a 64-bit kernel: interface and medium, PinId behind them; KSDATAFORMAT follows it.
_CONNECT = struct.Struct("<24s24sII8s8s")
#: KSDATAFORMAT: FormatSize, Flags, SampleSize, Reserved, then three GUIDs.
_FORMAT = struct.Struct("<IIII16s16s16s")

#: Events that are requests: they have an answer, and something may come before it does.
REQUESTS = ("handshake", "state", "property")


@dataclass
class Opened:
    """One open object: a filter, or a pin with its id.

    ``closed`` is the event by which its handle was closed, ``gone`` the one by which the driver saw its end.
    ``uses`` are the requests that were sent to it.
    """

    key: str
    event: Event
    pin: int | None = None
    connect: bytes = b""
    sink: str | None = None
    closed: Event | None = None
    gone: Event | None = None
    uses: list[Event] = field(default_factory=list)
    children: int = 0
    name: str = ""
    shared: str | None = None

    @property
    def failed(self) -> bool:
        """Whether it did not open."""
        return self.event.came_back and not self.event.succeeded

    def went(self, before: Event) -> bool:
        """Whether the drivers had seen its end before something began."""
        return self.gone is not None and self.gone.n < before.n


class Objects:
    """All of a trace's objects.

    Args:
        trace: whole.
    """

    def __init__(self, trace: Trace) -> None:
        self.wine = trace.head.wine
        self.all: dict[str, Opened] = {}
        self.strangers: list[Event] = []
        self._openers: dict[str, Side] = {}
        for event in trace.events:
            self._take(event)

    def side(self, event: Event) -> Side:
        """Who sent a request: user mode, or a driver, with either requestor mode."""
        if event.requestor == "kernel":
            return Side.KERNEL
        if event.previous is not None:
            return Side.USER if event.previous == "user" else Side.KERNEL
        # Wine has no previous mode; an IRP that a driver allocated has no flags, user mode's have some.
        return Side.USER if event.irp_flags or not self.wine else Side.KERNEL

    def opener(self, item: Opened) -> Side:
        """By whom it is to be opened: kernel mode where anything of kernel mode is asked of it."""
        found = self._openers.get(item.key)  # it is asked for each of thousands of requests
        if found is None:
            found = self._openers[item.key] = self._opener(item)
        return found

    def _opener(self, item: Opened) -> Side:
        sides = {self.side(event) for event in item.uses}
        if sides:
            return Side.KERNEL if Side.KERNEL in sides else Side.USER
        return self.side(item.event) if not self.wine or item.pin is not None else Side.KERNEL

    def named(self, target: Target) -> None:
        """Gives each its name: that of its pin in the target file, or ``filter``."""
        taken: dict[str, int] = {}
        for item in self.all.values():
            pin = target.find_pin(item.pin) if item.pin is not None else None
            base = "filter" if item.pin is None else pin.name if pin is not None else f"pin{item.pin}"
            taken[base] = taken.get(base, 0) + 1
            item.name = base if taken[base] == 1 and base != "filter" else f"{base}_{taken[base]}"

    def _take(self, event: Event) -> None:
        if event.object is None:
            return
        item = self.all.get(event.object)
        if event.event == "open" and event.made and item is not None:
            # Of another factory of its device (Wine): the open before was on the way to it.
            item.event = event
        elif event.event == "open" or (event.event == "pin" and item is None):
            item = self.all[event.object] = Opened(event.object, event)
            if event.below is not None and event.below in self.all:
                self.all[event.below].children += 1
        if item is None:
            self.strangers.append(event)
        elif event.event == "pin":
            self._become_pin(item, event)
        elif event.event in ("cleanup", "close"):
            item.closed = item.closed or event
            if event.event == "close":
                item.gone = event
        elif event.event in REQUESTS:
            item.uses.append(event)

    @staticmethod
    def _become_pin(item: Opened, event: Event) -> None:
        item.event, item.sink = event, event.sink
        item.connect = event.connect or b""
        if len(item.connect) >= _CONNECT.size:
            item.pin = _CONNECT.unpack_from(item.connect)[2]
        else:
            item.pin = 0xFFFFFFFE


def format_of(connect: bytes) -> tuple[uuid.UUID, uuid.UUID, uuid.UUID, int] | None:
    """Major format, subformat, specifier and sample size of a pin's name; None where it has no format."""
    if len(connect) < _CONNECT.size + _FORMAT.size:
        return None
    _, _, sample, _, *guids = _FORMAT.unpack_from(connect, _CONNECT.size)
    major, sub, specifier = (uuid.UUID(bytes_le=each) for each in guids)
    return major, sub, specifier, sample


def block_differs(connect: bytes, known: Format) -> bool:
    """Whether what follows the KSDATAFORMAT is other than the target file's, as far as the trace has it."""
    said = connect[_CONNECT.size + _FORMAT.size :]
    return said != known.block[: len(said)]


def last_number(events: Iterable[Event]) -> int:
    """The number of the last of them; 0 of none."""
    return max((event.n for event in events), default=0)
