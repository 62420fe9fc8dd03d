# SPDX-License-Identifier: Apache-2.0
"""How often each pin's callback must have been called by the end of a sequence, where that is certain (H8).

The contract lays down that the callback is asked for what AVStream does not handle itself, and not whether a
request that is refused for its length or mode reaches it.  So the calls of a pin are certain as long as every
request to it was right in lengths, mode and buffers, and nothing else happened to the pin meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.language.model import Pin


@dataclass
class Calls:
    """Of one pin: how many, and what the last of them got; `certain` is lost for good."""

    count: int = 0
    certain: bool = True
    alone: bool = True
    last: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class CallCount:
    """Of all pins since their last reset."""

    _calls: dict[int, Calls] = field(default_factory=dict)
    _pins: dict[int, Pin] = field(default_factory=dict)

    def asked(self, pin: Pin, times: int, last: Mapping[str, Any] | None, *, at_once: bool = False) -> None:
        """Requests that reach the callback; `last` is what the last holds, None where nobody can say."""
        calls = self._of(pin)
        calls.count += times
        calls.alone = calls.alone and not at_once
        calls.last = {} if last is None or at_once else last

    def doubt(self, pin: Pin) -> None:
        """From here on nobody can say how often it was called."""
        self._of(pin).certain = False

    def touch(self, pin: Pin) -> None:
        """Something was done to the pin that a reset ends."""
        self._of(pin)

    @property
    def touched(self) -> list[Pin]:
        """All pins of which there is something to be forgotten."""
        return list(self._pins.values())

    def expected(self, pin: Pin) -> dict[str, Any]:
        """What `seen` is to show: where nobody can say how often, at least that it was of no closed pin."""
        calls = self._of(pin)
        if not calls.certain:
            return {"after_close": 0}
        wanted: dict[str, Any] = {"count": calls.count, "finished": calls.count, "after_close": 0}
        if calls.count:
            wanted |= {"irql": 0, "aliased": False}
            if calls.alone:
                wanted |= {"overlapped": 0, **calls.last}
        return wanted

    def clear(self) -> None:
        """All pins were reset."""
        self._calls.clear()
        self._pins.clear()

    def _of(self, pin: Pin) -> Calls:
        self._pins.setdefault(pin.id, pin)
        return self._calls.setdefault(pin.id, Calls())
