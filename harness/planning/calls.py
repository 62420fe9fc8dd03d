# SPDX-License-Identifier: Apache-2.0
"""What pins must have seen: calls, where the contract says it of every request, and their instances."""

from __future__ import annotations

from harness.contract.prediction import Prediction, PredictionKind
from harness.language.model import Rule, SeenExpect
from harness.language.model.target import Pin
from harness.language.model.values import State

#: Rules by which a callback decides: what they say of is asked of it, once (H8).
_DECIDED = frozenset({Rule.H6, Rule.H7, Rule.H9})


class Calls:
    """Counts calls by what is planned since each pin's last reset, and the state of the last one.

    Instances, too: one is created when it is opened, and closed with its last handle.
    """

    def __init__(self) -> None:
        self._opened: dict[int, int | None] = {}
        self._closed: dict[int, int | None] = {}
        self._counts: dict[int, int | None] = {}
        self._states: dict[int, State | None] = {}

    def reset(self, pin: Pin) -> None:
        """Its callback has seen nothing."""
        self._counts[pin.id] = 0
        self._states[pin.id] = None
        self._opened[pin.id] = self._closed[pin.id] = 0

    def opened(self, pin: Pin, *, sure: bool) -> None:
        """One more instance; not `sure`: it need not have come to be."""
        count = self._opened.get(pin.id, 0)
        self._opened[pin.id] = count + 1 if sure and count is not None else None

    def closed(self, pin: Pin, *, sure: bool) -> None:
        """One less; not `sure`: something may still hold it."""
        count = self._closed.get(pin.id, 0)
        self._closed[pin.id] = count + 1 if sure and count is not None else None

    def device_changed(self) -> None:
        """Instances may have gone with the device, of every pin."""
        for pin in {*self._opened, *self._closed}:
            self._opened[pin] = self._closed[pin] = None

    def unsure(self, pin: Pin | None) -> None:
        """From now on nobody knows, until the next reset."""
        if pin is not None:
            self._counts[pin.id] = None
            self._states[pin.id] = None

    def asked(self, pin: Pin | None, prediction: Prediction | None, times: int, state: State | None) -> None:
        """So many requests of which the contract says this; `pin` is the one whose callback is to answer."""
        if pin is None:
            return
        if prediction is None or prediction.kind is not PredictionKind.EXPECTED:
            self.unsure(pin)
        elif _DECIDED & set(prediction.rules) and (count := self.of(pin)) is not None:
            self._counts[pin.id] = count + times
            self._states[pin.id] = state

    def expect(self, expect: SeenExpect, pin: Pin) -> SeenExpect:
        """With numbers in the place of ``asked``; nothing where nobody knows."""
        known: dict[str, object] = {}
        if expect.count == "asked":
            known["count"] = self.of(pin)
        if expect.device_state == "asked":
            known["device_state"] = self._states.get(pin.id)
        if expect.opened == "asked":
            known["opened"] = self._opened.get(pin.id, 0)
        if expect.closed == "asked":
            known["closed"] = self._closed.get(pin.id, 0)
        return expect.model_copy(update=known)

    def of(self, pin: Pin) -> int | None:
        """So many calls; None where nobody knows."""
        return self._counts.get(pin.id, 0)
