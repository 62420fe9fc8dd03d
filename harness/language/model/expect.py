# SPDX-License-Identifier: Apache-2.0
"""What a scenario expects of a step's answer, over and above or instead of the contract."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from harness.language.model.values import Length, State, StatusWant, Strict, Word


def _one_or_list(value: Any) -> str:
    return "<list>" if isinstance(value, list) else "<one>"


StatusWants = Annotated[
    Annotated[StatusWant, Tag("<one>")] | Annotated[list[StatusWant], Field(min_length=1), Tag("<list>")],
    Discriminator(_one_or_list),
]
"""One status, or a list of which any will do."""


def _untouched_or_length(value: Any) -> str:
    return "<untouched>" if value == "untouched" else "<length>"


InformationWant = Annotated[
    Annotated[Literal["untouched"], Tag("<untouched>")] | Annotated[Length, Tag("<length>")],
    Discriminator(_untouched_or_length),
]


class RequestExpect(Strict):
    """Fields of a status block that the scenario asks for.

    They stand beside what the contract predicts; where both speak of one field, the scenario wins.
    """

    answer: StatusWants | None = Field(
        None,
        description="the request's status: IoStatus.Status where it was written, else the returned status",
    )
    returned: StatusWants | None = Field(None, description="what the call itself returned")
    status: StatusWants | None = Field(None, description='IoStatus.Status alone, or "untouched"')
    information: InformationWant | None = Field(None, description="IoStatus.Information")
    pending: bool | None = Field(None, description="whether the call returned STATUS_PENDING")
    completions: int | None = Field(None, ge=0, description="completion routine runs, APCs or port entries")
    cancelled: bool | None = Field(
        None, description="whether a cancel step reached it before it was complete"
    )
    changed_bytes: Length | None = Field(
        None, description="bytes of the output buffer that differ from its fill"
    )
    input_intact: bool | None = Field(None, description="whether the input buffer is as it was")
    protocol: str | None = Field(None, description="ProtocolId of the output: a protocol's name or a GUID")
    argument1: Word | None = Field(None, description="Argument1 of the output")
    argument2: Word | None = Field(None, description="Argument2 of the output")


class OpenExpect(Strict):
    """What opening an object, or a property or state step, is to answer."""

    answer: StatusWants = Field("success", description="the status of the open or of the request")
    native: bool | None = Field(None, description="whether the pin was opened by its native name")


class DataExpect(Strict):
    """What a property request is to answer."""

    answer: StatusWants | None = "success"
    information: int | None = Field(None, ge=0, description="bytes that it gave")
    data: str | None = Field(
        None, pattern=r"^([0-9A-Fa-f]{2}\s*)*$", description="those bytes, in hexadecimal"
    )


class SeenExpect(Strict):
    """What the callback of one pin saw since its last reset (targets with `behaviour`)."""

    count: Annotated[int, Field(ge=0)] | Literal["asked"] | None = Field(
        None, description='calls begun; "asked": one for each request that the contract has it answer (H8)'
    )
    finished: int | None = Field(None, ge=0, description="calls ended")
    overlapped: int | None = Field(None, ge=0, description="calls begun while another was inside")
    after_close: int | None = Field(None, ge=0, description="calls for a pin that was closed")
    irql: int | None = Field(None, ge=0, le=31, description="of the last call; 0 is PASSIVE_LEVEL")
    device_state: State | Literal["asked"] | None = Field(
        None, description='KSSTATE of the pin at the last call; "asked": in which it was asked'
    )
    returned: StatusWants | None = Field(None, description="what the last call gave back")
    protocol: str | None = Field(None, description="ProtocolId that it got: a protocol's name or a GUID")
    argument1: Word | None = None
    argument2: Word | None = None
    opened: Annotated[int, Field(ge=0)] | Literal["asked"] | None = Field(
        None, description='pin instances created; "asked": as many as the scenario has opened'
    )
    closed: Annotated[int, Field(ge=0)] | Literal["asked"] | None = Field(
        None, description='pin instances closed; "asked": as many as the scenario has closed'
    )
    changes_begun: int | None = Field(None, ge=0, description="changes of a pin's state begun")
    changes_ended: int | None = Field(None, ge=0, description="changes of a pin's state ended")
    aliased: bool | None = Field(
        None,
        description="whether the last call got overlapping buffers, or any found its output in its input",
    )


class PinHandshakeExpect(Strict):
    """What KsPinHandshake is to give the source pin."""

    returned: StatusWants | None = None
    out_written: bool | None = Field(None, description="whether the output structure was written at all")
    protocol: str | None = None
    argument1: Word | None = None
    argument2: Word | None = None


class MadeExpect(Strict):
    """What has become of a block or an interface, the client's own or the driver's."""

    held: int | None = Field(
        None, ge=0, description="references that the driver holds, or the client of a driver's interface"
    )
    references: int | None = Field(None, ge=0, description="calls of InterfaceReference")
    dereferences: int | None = Field(None, ge=0, description="calls of InterfaceDereference")
    excess: int | None = Field(None, ge=0, description="of these, those when nothing was held")
    stale: int | None = Field(
        None, ge=0, description="other calls when nothing was held and no request was under way with it"
    )
    calls: int | None = Field(None, ge=0, description="calls of its further functions")
    strangers: int | None = Field(
        None, ge=0, description="calls of a function of the client's with a Context that is none"
    )
    sent: int | None = Field(None, ge=0, description="requests that carried it")
    accepted: int | None = Field(None, ge=0, description="those that were answered with success")
    intact: bool | None = Field(None, description="whether its bytes and those around it are as they were")
    present: bool | None = Field(None, description="of the driver's: whether an answer brought one")
    readable: bool | None = Field(None, description="of the driver's: whether there is memory")
    inside: bool | None = Field(
        None, description="of the driver's: whether its functions are in the image of a driver of the device"
    )
    size: int | None = Field(None, ge=0, description="Size of the interface")
    version: int | None = Field(None, ge=0, description="Version of the interface")


def _word_or_table(value: Any) -> str:
    return "<word>" if isinstance(value, str) else "<table>"


RequestExpectation = Annotated[
    Annotated[Literal["contract", "record"], Tag("<word>")] | Annotated[RequestExpect, Tag("<table>")],
    Discriminator(_word_or_table),
]
"""``contract`` (what docs/contract.md predicts), ``record`` (only the invariants are judged), or fields."""

PinHandshakeExpectation = Annotated[
    Annotated[Literal["contract", "record"], Tag("<word>")] | Annotated[PinHandshakeExpect, Tag("<table>")],
    Discriminator(_word_or_table),
]
OpenExpectation = Annotated[
    Annotated[Literal["success", "record"], Tag("<word>")] | Annotated[OpenExpect, Tag("<table>")],
    Discriminator(_word_or_table),
]
DataExpectation = Annotated[
    Annotated[Literal["success", "record"], Tag("<word>")] | Annotated[DataExpect, Tag("<table>")],
    Discriminator(_word_or_table),
]
InsideExpectation = Annotated[
    Annotated[Literal["inside", "record"], Tag("<word>")] | Annotated[SeenExpect, Tag("<table>")],
    Discriminator(_word_or_table),
]
"""``inside`` (so many are, in time), ``record`` (put what was seen on record), or fields beside ``inside``"""
MadeExpectation = Annotated[
    Annotated[Literal["target", "record"], Tag("<word>")] | Annotated[MadeExpect, Tag("<table>")],
    Discriminator(_word_or_table),
]
"""``target`` (what the target file says of it at this moment), ``record``, or fields beside ``target``"""
SeenExpectation = Annotated[
    Annotated[Literal["record"], Tag("<word>")] | Annotated[SeenExpect, Tag("<table>")],
    Discriminator(_word_or_table),
]
