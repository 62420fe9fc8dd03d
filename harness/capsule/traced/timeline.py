# SPDX-License-Identifier: Apache-2.0
"""What happened at the same time in a trace, and what a driver did itself while it was asked.

A request begins when it came by and ends when it went back.  What begins in between was sent meanwhile, and
then the request has to be one that is started and waited for; unless the very thread that was inside it sent
it: then the driver did, and it will again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.capsule.traced.events import Event

FOREVER = 1 << 64
#: Nanoseconds that nothing happened for while a request was under way: then it is kept that time passed.
PAUSE_NS = 100_000_000
#: Milliseconds of a pause that are kept at most.
MOST_PAUSE_MS = 1000


@dataclass(frozen=True, slots=True)
class Moment:
    """What to do at one time: an event itself, or waiting for the end of a request that it started."""

    at_ns: int
    event: Event
    waits: bool = False
    cancels: bool = False
    starts: bool = False


def end_of(event: Event) -> int:
    """When it had gone back; far away where it never did."""
    end = event.end_ns
    if end is None:
        return event.at_ns if event.unwatched else FOREVER
    return end


def without_nested(events: Sequence[Event], asked: Iterable[Event]) -> tuple[list[Event], int]:
    """The events without those that a driver sent while it was asked by the same thread; and how many.

    Args:
        events: in their order.
        asked: the requests among them.
    """
    inside: dict[int, list[Event]] = {}
    requests = {event.n for event in asked}
    kept: list[Event] = []
    for event in events:
        around = [each for each in inside.get(event.tid, ()) if end_of(each) > event.at_ns]
        inside[event.tid] = around
        if around and event.event != "device":
            continue
        kept.append(event)
        # One that was lost has no end, and yet its thread came out of the driver.
        if event.n in requests and not event.pending and (event.came_back or event.returned is None):
            around.append(event)
    return kept, len(events) - len(kept)


def moments(events: Sequence[Event], asked: Iterable[Event]) -> list[Moment]:
    """What to do, in order: a request that nothing came in between of is one moment, others are more."""
    requests = {event.n for event in asked}
    crowded = _crowded(events, requests)
    found: list[tuple[int, int, Moment]] = []
    for place, event in enumerate(events):
        starts = event.n in requests and (event.n in crowded or event.cancelled)
        found.append((event.at_ns, place, Moment(event.at_ns, event, starts=starts)))
        if starts:
            end = end_of(event)
            if event.cancelled:
                found.append((end, -2, Moment(end, event, cancels=True)))
            found.append((end, -1, Moment(end, event, waits=True)))
    found.sort(key=lambda each: each[:2])
    return [moment for _, _, moment in found]


def _crowded(events: Sequence[Event], requests: set[int]) -> set[int]:
    """The numbers of the requests during which something else began: the next event is the first that may."""
    return {
        event.n
        for event, following in itertools.pairwise(events)
        if event.n in requests and end_of(event) > following.at_ns
    }
