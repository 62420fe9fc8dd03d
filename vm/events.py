# SPDX-License-Identifier: Apache-2.0
"""What the hypervisor says of one guest while it is leased."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """One message of the hypervisor; ``at`` is seconds since the epoch."""

    at: float
    kind: str
    detail: str


class GuestEvents:
    """Filled by the connection's event thread, read by whoever holds the lease; safe to share."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._events: list[Event] = []
        self._expected_end = False

    def record(self, kind: str, detail: str = "") -> None:
        """Takes one message; kinds: started, resumed, suspended, crashed, panicked, stopped, other."""
        _LOG.info("guest %s %s", kind, detail)
        with self._changed:
            self._events.append(Event(time.time(), kind, detail))
            self._changed.notify_all()

    def expect_end(self) -> None:
        """From here on an end of the guest is our own doing."""
        with self._changed:
            self._expected_end = True

    @property
    def all(self) -> tuple[Event, ...]:
        """Everything so far, oldest first."""
        with self._changed:
            return tuple(self._events)

    @property
    def crashed(self) -> bool:
        """Whether the guest's kernel panicked or bugchecked."""
        return any(event.kind in ("crashed", "panicked") for event in self.all)

    @property
    def stopped(self) -> bool:
        """Whether the virtual machine is gone, whatever ended it."""
        return any(event.kind == "stopped" for event in self.all)

    def wait(self, condition: Callable[[GuestEvents], bool], timeout: float) -> bool:
        """Until ``condition`` of this object holds; whether it did within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while not condition(self):
            with self._changed:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.25))
        return True

    def describe(self) -> str:
        """One line for people."""
        with self._changed:
            events, expected = list(self._events), self._expected_end
        for kind, text in (("panicked", "the guest crashed"), ("crashed", "the guest crashed")):
            found = next((event for event in events if event.kind == kind), None)
            if found is not None:
                return f"{text} ({found.detail})" if found.detail else text
        ended = next((event for event in events if event.kind == "stopped"), None)
        if expected:
            return "the guest was released"
        if ended is None:
            return "the guest is running"
        return f"the virtual machine ended without being asked to ({ended.detail})"
