# SPDX-License-Identifier: Apache-2.0
"""The kinds of steps a scenario is made of, one class each; `do` says which."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.language.model.expect import (
    DataExpectation,
    InsideExpectation,
    OpenExpectation,
    PinHandshakeExpectation,
    RequestExpectation,
    SeenExpectation,
)
from harness.language.model.made_steps import Dereference, Inspect, Make, Reference, Vanish
from harness.language.model.step_base import PinRef, StepBase
from harness.language.model.values import (
    ArgumentValue,
    Buffer,
    Dword,
    Guid,
    HexBytes,
    Length,
    Mode,
    Name,
    Route,
    Side,
    State,
    Status,
    Strict,
    Word,
)

#: IOCTL_KS_HANDSHAKE (rule H1).
IOCTL_KS_HANDSHAKE = 0x002F001F
#: What a property is asked by default (ks.h).
KSPROPERTY_TYPE_GET, KSPROPERTY_TYPE_SET = 1, 2


class OpenFilter(StepBase):
    """Open the target's filter."""

    do: Literal["open_filter"]
    name: Name = Field("filter", description="what later steps call it")
    index: int = Field(0, ge=0, le=255, description="which instance, where the category has several")
    side: Side | None = Field(None, description="who opens it; follows from its use by default")
    expect: OpenExpectation = "success"


class OpenDevice(StepBase):
    """Open a device by its NT path: an object that is neither filter nor pin."""

    do: Literal["open_device"]
    name: Name
    path: str = Field(min_length=2, max_length=500, description=r"NT path like \Device\KsHsClient")
    side: Side | None = None
    expect: OpenExpectation = "success"


class FormatChoice(Strict):
    """A KSDATAFORMAT other than the target's own for this pin."""

    major: Guid | None = None
    sub: Guid | None = None
    specifier: Guid | None = None
    sample_size: Dword | None = None


class OpenPin(StepBase):
    """Create a pin of an open filter."""

    do: Literal["open_pin"]
    name: Name
    pin: PinRef = Field(description="pin of the target: its name in the target file, or its id")
    filter: Name | None = Field(None, description="open filter; one that the harness opens by default")
    connect_to: Name | None = Field(None, description="open sink pin that this source pin is connected to")
    format: FormatChoice | None = Field(None, description="the target's own by default")
    way: Literal["any", "native"] = Field(
        "any",
        description="native: by its KSNAME_Pin name or not at all; any: the guest's fallback is fine too",
    )
    side: Side | None = None
    expect: OpenExpectation = "success"


class Close(StepBase):
    """Close an open object."""

    do: Literal["close"]
    on: Name
    keep: bool = Field(
        False,
        description="keep what can be kept of the closed handle under its name, for requests that come too"
        " late: on the kernel side the file object, on the user side the handle's number",
    )


class Share(StepBase):
    """Give the user side a synchronous handle to what the kernel side has open: the same file object."""

    do: Literal["share"]
    on: Name = Field(description="open object of the kernel side")
    name: Name = Field(description="what later steps call the user side's handle")
    expect: OpenExpectation = "success"


class Handshake(StepBase):
    """Send one handshake, or any other I/O control by the same means."""

    do: Literal["handshake"]
    on: Name = Field(description="open object that gets it")
    route: Route = Field(Route.CALL, description="call, irp (kernel); sync, event, port, apc (user)")
    mode: Mode | None = Field(None, description="requestor mode of the kernel routes; kernel by default")
    protocol: str = Field(
        "accepted",
        description="a protocol of the target by name, a GUID, or accepted (the pin's first about numbers,"
        " else its first), interface and pointer (its first with such an argument), answered_interface (its"
        " first that answers one),"
        " unknown (nobody's), null (all zero)",
    )
    argument1: ArgumentValue = Field(
        "default",
        description="a number, or default: what the protocol wants there, 0 where it wants a number",
    )
    argument2: ArgumentValue = "default"
    hand: list[Name] = Field(
        default_factory=list,
        max_length=2,
        description="what make steps made, each as the argument that it was made for",
    )
    take: Name | None = Field(
        None, description="what later steps call the interface or block of the driver's that comes back"
    )
    input: HexBytes | None = Field(None, max_length=65536, description="raw input instead of these three")
    in_length: Length = "size"
    out_length: Length = "size"
    in_buffer: Buffer = Buffer.NORMAL
    out_buffer: Buffer = Buffer.NORMAL
    control: Dword = Field(IOCTL_KS_HANDSHAKE, description="I/O control code")
    repeat: int = Field(1, ge=1, le=1_000_000, description="send it so often; the last answer counts")
    in_stride: int = Field(
        0, ge=0, le=65536, description="bytes that each request of repeat says more for in_length"
    )
    out_stride: int = Field(0, ge=0, le=65536, description="the same for out_length")
    vary: Literal["protocol"] | None = Field(
        None,
        description="protocol: each request of repeat has another bit of the protocol the other way, from the"
        " lowest bit of its first byte on",
    )
    threads: int = Field(
        1,
        ge=1,
        le=64,
        description="send so many at once, each from a thread of its own and with argument1 one higher than"
        " the one before; each answer is judged",
    )
    start: Name | None = Field(
        None, description="only start it and go on; a wait step fetches the answer of the request so named"
    )
    expect: RequestExpectation = "contract"

    @property
    def varies(self) -> bool:
        """Whether the requests of its repeat are not all the same."""
        return bool(self.in_stride or self.out_stride or self.vary)

    @property
    def requestor(self) -> Mode:
        """The requestor mode that the request will carry."""
        if self.route.side is Side.USER:
            return Mode.USER
        return self.mode or Mode.KERNEL


class Wait(StepBase):
    """Wait for what was started; its own expectation is judged here."""

    do: Literal["wait"]
    request: Name


class Cancel(StepBase):
    """Cancel what was started."""

    do: Literal["cancel"]
    request: Name


class PropertyGet(StepBase):
    """Read a KS property."""

    do: Literal["property_get"]
    on: Name
    set: Guid
    id: Dword
    input: HexBytes = Field(b"", description="bytes behind KSPROPERTY")
    length: int = Field(256, ge=0, le=65536, description="of the output buffer")
    flags: Dword = Field(
        KSPROPERTY_TYPE_GET,
        description="Flags of KSPROPERTY: 1 is GET, 0x200 BASICSUPPORT, 0x100 SETSUPPORT, 0x10000000 a node",
    )
    expect: DataExpectation = "success"


class PropertySet(StepBase):
    """Write a KS property."""

    do: Literal["property_set"]
    on: Name
    set: Guid
    id: Dword
    input: HexBytes = Field(b"", description="bytes behind KSPROPERTY")
    data: HexBytes = Field(b"", description="the value")
    flags: Dword = Field(KSPROPERTY_TYPE_SET, description="Flags of KSPROPERTY: 2 is SET, 0x10000000 a node")
    expect: DataExpectation = "success"


BehaviourKind = Literal[
    "default",
    "echo",
    "transform",
    "decline",
    "no_callback",
    "slow",
    "fault",
    "hang",
    "corrupt_pool",
    "pending",
    "block",
    "bugcheck",
    "status",
    "slow_state",
    "loop",
    "state_status",
]
"""What a callback can be told to do, in the order of the KSHS_BEHAVE_* numbers."""


class Behaviour(StepBase):
    """Set what the handshake callback of a pin does from now on (targets with `behaviour`)."""

    do: Literal["behaviour"]
    pin: PinRef
    kind: BehaviourKind
    status: Status | None = Field(None, description="decline, status: what it returns; bugcheck: the code")
    delay_ms: int = Field(
        0,
        ge=0,
        le=600_000,
        description="slow, block, and echo, transform, decline, status, which answer at once without;"
        " slow_state: what a change of the pin's state takes",
    )
    value: Word = Field(0, description="transform: added to Argument1")
    value2: Word = Field(0, description="transform: combined with Argument2 by exclusive or")


class Reset(StepBase):
    """Give a pin its default behaviour back and forget what its callback saw."""

    do: Literal["reset"]
    pin: PinRef


class Unblock(StepBase):
    """Let a callback that blocks return."""

    do: Literal["unblock"]
    pin: PinRef


class Seen(StepBase):
    """Read what the callback of a pin saw since its last reset."""

    do: Literal["seen"]
    pin: PinRef
    later: bool = Field(
        False, description="have the driver pend the question, and answer it from another thread"
    )
    expect: SeenExpectation = "record"


class WaitInside(StepBase):
    """Wait until calls of a pin's callback, or changes of its state, are inside the driver."""

    do: Literal["wait_inside"]
    pin: PinRef
    what: Literal["callback", "state"] = Field(
        "callback", description="callback: calls of the handshake callback; state: changes of the pin's state"
    )
    count: int = Field(1, ge=1, le=64, description="so many at once, or more")
    within_ms: int = Field(
        4000, ge=1, le=60_000, description="for how long it looks; then what was seen last is the answer"
    )
    expect: InsideExpectation = "inside"


class Counters(StepBase):
    """Count what drivers hold: pool, handles, references.  The third of a series is judged."""

    do: Literal["counters"]
    on: Name | None = Field(
        None, description="open object of the kernel side whose file object and devices are looked at"
    )
    events: int = Field(
        0,
        ge=0,
        le=10_000_000,
        description="how often that which may leak was done since the counters step before; 0: begin here",
    )


class PinHandshake(StepBase):
    """Tell a source pin to call KsPinHandshake (rule H7)."""

    do: Literal["pin_handshake"]
    on: Name
    protocol: str = "accepted"
    argument1: Word = 0
    argument2: Word = 0
    threads: int = Field(
        1, ge=1, le=64, description="so many calls at once, with argument1 one higher than the one before"
    )
    start: Name | None = Field(
        None, description="only start it and go on; a wait step fetches the answer of the call so named"
    )
    vary: Literal["protocol"] | None = Field(
        None,
        description="protocol: a call for each of its 128 bits, with that bit the other way, from the lowest"
        " of its first byte on",
    )
    expect: PinHandshakeExpectation = "contract"


class Device(StepBase):
    """Restart, remove, disable or enable the target's device."""

    do: Literal["device"]
    action: Literal["restart", "remove", "disable", "enable"]
    expect: OpenExpectation = "success"


class SetState(StepBase):
    """Put a pin into a state (KSPROPERTY_CONNECTION_STATE)."""

    do: Literal["state"]
    on: Name
    to: State
    start: Name | None = Field(
        None, description="only start the change and go on; a wait step fetches its answer"
    )
    expect: OpenExpectation = "success"


class Sleep(StepBase):
    """Let time pass in the guest."""

    do: Literal["sleep"]
    ms: int = Field(ge=1, le=600_000)


Step = Annotated[
    OpenFilter
    | OpenDevice
    | OpenPin
    | Close
    | Share
    | Handshake
    | Make
    | Inspect
    | Reference
    | Dereference
    | Vanish
    | Wait
    | Cancel
    | PropertyGet
    | PropertySet
    | Behaviour
    | Reset
    | Unblock
    | Seen
    | WaitInside
    | Counters
    | PinHandshake
    | Device
    | SetState
    | Sleep,
    Field(discriminator="do"),
]
"""Any step; `do` tells the kind."""
