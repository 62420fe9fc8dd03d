# SPDX-License-Identifier: Apache-2.0
"""Scenarios, their steps and expectations, and targets, as typed and validated data."""

from __future__ import annotations

from harness.language.model.expect import (
    DataExpect,
    MadeExpect,
    OpenExpect,
    PinHandshakeExpect,
    RequestExpect,
    SeenExpect,
)
from harness.language.model.format import Format
from harness.language.model.made_steps import Dereference, Inspect, Make, Reference, Vanish
from harness.language.model.scenario import Scenario
from harness.language.model.step_base import StepBase
from harness.language.model.steps import (
    IOCTL_KS_HANDSHAKE,
    Behaviour,
    Cancel,
    Close,
    Counters,
    Device,
    Handshake,
    OpenDevice,
    OpenFilter,
    OpenPin,
    PinHandshake,
    PropertyGet,
    PropertySet,
    Reset,
    Seen,
    SetState,
    Share,
    Sleep,
    Step,
    Unblock,
    Wait,
    WaitInside,
)
from harness.language.model.target import Pin, Target
from harness.language.model.values import Buffer, Mode, Route, Rule, Side, State, Strict

__all__ = [
    "IOCTL_KS_HANDSHAKE",
    "Behaviour",
    "Buffer",
    "Cancel",
    "Close",
    "Counters",
    "DataExpect",
    "Dereference",
    "Device",
    "Format",
    "Handshake",
    "Inspect",
    "MadeExpect",
    "Make",
    "Mode",
    "OpenDevice",
    "OpenExpect",
    "OpenFilter",
    "OpenPin",
    "Pin",
    "PinHandshake",
    "PinHandshakeExpect",
    "PropertyGet",
    "PropertySet",
    "Reference",
    "RequestExpect",
    "Reset",
    "Route",
    "Rule",
    "Scenario",
    "Seen",
    "SeenExpect",
    "SetState",
    "Share",
    "Side",
    "Sleep",
    "State",
    "Step",
    "StepBase",
    "Strict",
    "Target",
    "Unblock",
    "Vanish",
    "Wait",
    "WaitInside",
]
