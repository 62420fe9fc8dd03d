# SPDX-License-Identifier: Apache-2.0
"""Steps about what a handshake's arguments point at: blocks and interfaces, the client's and the driver's."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.language.model.expect import MadeExpectation
from harness.language.model.step_base import PinRef, StepBase
from harness.language.model.values import Name


class Make(StepBase):
    """Make what a protocol wants as an argument, to be handed over by name."""

    do: Literal["make"]
    name: Name = Field(description="what later steps call it")
    protocol: str = Field("interface", description="as in a handshake")
    argument: Literal[1, 2] | None = Field(
        None, description="which; the first pointer or interface by default"
    )
    pin: PinRef = Field("source", description="whose protocol is meant")
    memory: Literal["nonpaged", "paged", "readonly"] | None = Field(
        None, description="where it lies; as the target file says by default"
    )


class Inspect(StepBase):
    """Look at what was made or taken, and at what was done with it."""

    do: Literal["inspect"]
    what: Name
    within_ms: int | None = Field(
        None,
        ge=0,
        le=60_000,
        description="how long to wait for the last reference to be back; as the target file says by default",
    )
    expect: MadeExpectation = "target"


class Reference(StepBase):
    """Call InterfaceReference of an interface that a driver gave."""

    do: Literal["reference"]
    what: Name


class Dereference(StepBase):
    """Call InterfaceDereference of an interface that a driver gave."""

    do: Literal["dereference"]
    what: Name


class Vanish(StepBase):
    """Take the memory of a block away, so that whoever touches it faults."""

    do: Literal["vanish"]
    what: Name
