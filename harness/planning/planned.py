# SPDX-License-Identifier: Apache-2.0
"""What a plan is made of: steps ready to be sent, and the fields their answers are compared by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

from harness.contract.prediction import Callback, Prediction, Request
from harness.errors import UsageError
from harness.language.model import Rule, Scenario, Side, Step, Target

ExpectedValue = int | str | bool


class Lack(NamedTuple):
    """What a target has not and a scenario wants: a kind of thing, and by what name."""

    kind: Literal["pin", "protocol", "accepts", "behaviour", "instances"]
    name: str | int = ""


class NotApplicable(Exception):  # noqa: N818 - a reason to skip, not an error
    """The target lacks something that the scenario names: verdict skipped, with this reason.

    `lack` says what a target file could say to change that, None where it could not.
    """

    def __init__(self, reason: str, lack: Lack | None = None) -> None:
        super().__init__(reason)
        self.lack = lack


def no_behaviour(target: Target) -> NotApplicable:
    """To raise where a scenario tells the target's callbacks what to do."""
    return NotApplicable(
        f"target {target.name} has no behaviour property set (docs/avshs.md)", Lack("behaviour")
    )


class PinUnopened(UsageError):  # noqa: N818 - what a guest has shown of a target file
    """A pin does not open as the target file says, so that nothing can be planned with it."""


class Answer(StrEnum):
    """What a step's record is, and so how it is read."""

    REQUEST = "request"
    """The status block of a handshake or of another control by a handshake's routes."""
    STARTED = "started"
    """The request is on its way; its status block comes with the wait step."""
    STATUS = "status"
    """A status and perhaps data: opens, properties, device and state steps."""
    SEEN = "seen"
    """`kshs_seen`: what a callback saw."""
    COUNTERS = "counters"
    """`kshs_counters`: what is held just now."""
    PIN_HANDSHAKE = "pin_handshake"
    """`kshs_pin_handshake`: what KsPinHandshake gave."""
    MADE = "made"
    """`kshs_made`: what has become of a block or an interface."""
    LEFT = "left"
    """`kshs_left`: what the scenario leaves behind."""
    PLAIN = "plain"
    """Nothing to be judged but that it was done."""


@dataclass(frozen=True, slots=True)
class ExpectedField:
    """One field that is compared: any of these values will do; `rule` is what a mismatch breaks."""

    field: str
    values: tuple[ExpectedValue, ...]
    rule: Rule


@dataclass(frozen=True, slots=True)
class Sizes:
    """Pointer sizes in bytes of the two sides: of the guest's kernel, and of the agent."""

    kernel: int = 8
    user: int = 8

    def of(self, side: Side) -> int:
        """The pointer size of a side."""
        return self.kernel if side is Side.KERNEL else self.user


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step, ready to be sent.

    `payload` is `kshs_step` and its data; `timeout` the seconds it may take in the guest, and `each` those
    of one request where it repeats one; `step` the step of the scenario and `index` its place there, None
    for what the harness adds; `request` and `prediction` are there for handshakes (for one that was
    started: with its wait step); `doubtful` are the places in the user's target file by which the step
    goes, and which may be wrong when it fails.  A `premise` is what a scenario must find: where it does not
    hold, the guest was not made ready, and that says nothing of the driver.  `callback` is what the pin's
    callback would make of the request.  A `condition` is what nobody lays down and the scenario needs: where
    the driver refuses it, the rest cannot be shown on this target.  `notes` are for people.
    """

    what: str
    payload: bytes
    timeout: float
    answer: Answer
    step: Step | None = None
    index: int | None = None
    expected_fields: tuple[ExpectedField, ...] = ()
    request: Request | None = None
    prediction: Prediction | None = None
    pointer_size: int = 8
    doubtful: tuple[str, ...] = ()
    each: float = 0.0
    premise: bool = False
    callback: Callback | None = None
    condition: bool = False
    notes: tuple[str, ...] = ()

    @property
    def crowded(self) -> bool:
        """Whether all of its requests together have less time than each of them has by itself in turn."""
        return self.request is not None and self.request.repeat * self.each > self.timeout

    @property
    def kind(self) -> str:
        """The step's kind as the scenario file calls it, or ``setup`` for what the harness added."""
        return self.step.do if self.step is not None else "setup"


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is sent for a scenario, in order; then `cleanup`, whatever happened.

    `spoils` says why the lease must not be used for another scenario afterwards, None if it may.
    """

    scenario: Scenario
    steps: tuple[PlannedStep, ...]
    cleanup: tuple[PlannedStep, ...]
    spoils: str | None
