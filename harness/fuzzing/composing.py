# SPDX-License-Identifier: Apache-2.0
"""Sequences made into one scenario that any target of its kind may be given.

Total: whatever is drawn, what comes out is a scenario that contradicts nothing, hands no number to a callback
that would follow it, asks a guest for nothing that it is known not to have, and waits for nothing that only
itself could end.  Several sequences share what they open; after each of them the pins that it touched are
reset, as between scenarios, and what their callbacks must have seen is asked for first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.fuzzing.draft import Draft, Step
from harness.fuzzing.fitting import NEEDED_BY_PENDING, NO_END, Fitting
from harness.fuzzing.pool import Place
from harness.fuzzing.together import Together
from harness.language.model import Scenario, Target

#: Steps of a scenario that sequences may fill; what ends them needs the rest of the 200 that it may have.
MOST_STEPS = 130
#: Steps from which on no further sequence is begun in a scenario.
_FULL = 110
#: Milliseconds that the callbacks of one sequence may be told to wait, together.
_PATIENCE_MS = 3_000
#: Kinds of steps that speak of an object.
_ON_OBJECTS = (
    "handshake",
    "pin_handshake",
    "state",
    "open",
    "inside",
    "leak",
    "many",
    "refused",
    "behaviour",
    "property_get",
)
#: In the place of an object: whichever it is.
ANY = "*"


@dataclass(frozen=True)
class Composed:
    """A scenario; for each of its steps the number of the sequence that it serves; how many are in it."""

    scenario: Scenario
    owners: tuple[int, ...]
    sequences: int


@dataclass(frozen=True)
class Composer:
    """Makes scenarios for one target on one kind of guest.

    Args:
        target: the driver under test, with its formats.
        places: what may be opened, by name.
        fitting: makes single requests fit the target and the guest.
        timeout_ms: that a request may take.
        banned: kinds of steps, with what they are sent to, that this target does not show.
    """

    target: Target
    places: Mapping[str, Place]
    fitting: Fitting
    timeout_ms: int = 10_000
    banned: set[tuple[str, str]] = field(default_factory=set)

    def ban(self, name: str) -> None:
        """Nothing more is sent to the object of this name, nor is it opened."""
        self.banned.update((do, name) for do in _ON_OBJECTS)

    def compose(self, drafts: Sequence[Draft], name: str, title: str) -> Composed | None:
        """One scenario of the first of these sequences, as many as it has room for; None of nothing."""
        composing = _Composing(self)
        sequences = 0
        for number, draft in enumerate(drafts):
            if number and len(composing.steps) >= _FULL:
                break
            composing.sequence(number, draft)
            sequences += 1
        if not any(step["do"] in ("handshake", "pin_handshake", "state") for step in composing.steps):
            return None
        table: dict[str, Any] = {
            "id": name,
            "title": title,
            "rule": "H8",
            "tags": ["fuzz"],
            "arguments": "marks",
            "timeout_ms": self.timeout_ms,
            "steps": composing.steps,
        }
        if any(_pends(step) for step in composing.steps):
            table["needs"] = [NEEDED_BY_PENDING]
        return Composed(Scenario.model_validate(table), tuple(composing.owners), sequences)


def _pends(step: Mapping[str, Any]) -> bool:
    return step.get("kind") == "state_status" and step.get("status") in NO_END


@dataclass
class _Composing(Together):
    """One scenario."""

    def sequence(self, number: int, draft: Draft) -> None:
        """All of its steps, as far as they fit, and what ends it."""
        self.number, self.patience = number, _PATIENCE_MS
        for step in draft:
            if len(self.steps) < MOST_STEPS:
                self.take(step)
        self._end()

    def _end(self) -> None:
        self.wait_for_all()
        for name, item in list(self.open.items()):
            if item.kept or item.place.shared is not None:
                self.close(name)
        if not self.composer.target.behaviour:
            return
        for pin in self.calls.touched:
            self.add("seen", pin=pin.name, expect=self.calls.expected(pin))
        for pin in self.calls.touched:
            self.add("reset", pin=pin.name)
        self.calls.clear()
        self.behaviour.clear()

    def take(self, step: Step) -> None:
        do, on = str(step["do"]), str(step.get("on"))
        if not self.composer.banned.isdisjoint({(do, on), (do, ANY)}):
            return
        match step["do"]:
            case "handshake":
                self._handshake(step)
            case "pin_handshake":
                self._pin_handshake(step)
            case "state":
                self._state(step)
            case "behaviour":
                self._behave(step)
            case "open":
                self.ensure(str(step.get("on")))
            case "close":
                self._close_drawn(step)
            case "wait" | "cancel":
                self._wait_or_cancel(step)
            case "property_get":
                self._property(step)
            case "inside":
                self._inside(step)
            case "leak":
                self._leak(step)
            case "many":
                self._many(step)
            case "refused":
                self._refused(step)
