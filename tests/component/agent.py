# SPDX-License-Identifier: Apache-2.0
"""Steps in the tests' words, over a real agent session."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from drivers.abi import load
from harness.agent.frames import Record
from harness.agent.pending import Pending
from harness.agent.session import AgentSession
from tests.component.channel import LocalChannel
from tests.component.wine import WineGuest

ABI = load()
C = ABI.constants

IOCTL_KS_HANDSHAKE = 0x002F001F
HANDSHAKE_BYTES = 32

STATUS_SUCCESS = 0x00000000
STATUS_PENDING = 0x00000103
STATUS_INVALID_PARAMETER = 0xC000000D
STATUS_INVALID_DEVICE_REQUEST = 0xC0000010
STATUS_BUFFER_TOO_SMALL = 0xC0000023
STATUS_NOT_SUPPORTED = 0xC00000BB
STATUS_INVALID_BUFFER_SIZE = 0xC0000206
STATUS_NO_MATCH = 0xC0000272

KERNEL = C["KSHS_SIDE_KERNEL"]
USER = C["KSHS_SIDE_USER"]

#: Each way of sending a request, by name: side, route.
KERNEL_ROUTES = {"call": C["KSHS_ROUTE_CALL"], "irp": C["KSHS_ROUTE_IRP"]}
USER_ROUTES = {
    "sync": C["KSHS_ROUTE_SYNC"],
    "event": C["KSHS_ROUTE_EVENT"],
    "port": C["KSHS_ROUTE_PORT"],
    "apc": C["KSHS_ROUTE_APC"],
}

PROTOCOL_A = ABI.guids["KSHS_PROTOCOL_A"]
PROTOCOL_B = ABI.guids["KSHS_PROTOCOL_B"]
PROTOCOL_UNKNOWN = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")

_STREAMING = uuid.UUID("1A8766A0-62CE-11CF-A5D6-28DB04C10000")
_MEDIUM = uuid.UUID("4747B320-62CE-11CF-A5D6-28DB04C10000")
_FORMAT_TYPE = uuid.UUID("6B2F7A14-52D3-4C0E-9E1B-0B9C1B7D5A01")
_FORMAT_SUBTYPE = uuid.UUID("6B2F7A15-52D3-4C0E-9E1B-0B9C1B7D5A01")
_SPECIFIER_NONE = uuid.UUID("0F6417D6-C318-11D0-A43F-00A0C9223196")
_PRIORITY_NORMAL = 0x40000000

_PROPERTY_GET = 1
_PROPERTY_SET = 2

_NO_SLOT = C["KSHS_NO_SLOT"]


def step(op: str, data: bytes = b"", **fields: Any) -> bytes:
    """A `kshs_step` and its data."""
    values = {"slot": _NO_SLOT, "slot2": _NO_SLOT, "slot3": _NO_SLOT, "token": C["KSHS_NO_TOKEN"]} | fields
    if isinstance(values.get("guid"), uuid.UUID):
        values["guid"] = ABI.cs.kshs_guid(values["guid"].bytes_le)
    size = len(ABI.cs.kshs_step)
    made = ABI.cs.kshs_step(size=size, op=C[f"KSHS_OP_{op}"], data_length=len(data), **values)
    return bytes(made.dumps()) + data


def connect(pin_id: int, subtype: uuid.UUID = _FORMAT_SUBTYPE) -> bytes:
    """KSPIN_CONNECT and KSDATAFORMAT that match the sample target's pins."""
    interface = _STREAMING.bytes_le + struct.pack("<II", 0, 0)
    medium = _MEDIUM.bytes_le + struct.pack("<II", 0, 0)
    head = interface + medium + struct.pack("<IIQII", pin_id, 0, 0, _PRIORITY_NORMAL, 1)
    formats = _FORMAT_TYPE.bytes_le + subtype.bytes_le + _SPECIFIER_NONE.bytes_le
    return head + struct.pack("<IIII", 64, 0, 0, 0) + formats


def handshake(protocol: uuid.UUID = PROTOCOL_A, argument1: int = 0x1000, argument2: int = 0x2000) -> bytes:
    """A KSHANDSHAKE of a 64-bit guest (H10)."""
    return protocol.bytes_le + struct.pack("<QQ", argument1, argument2)


class Agent:
    """What tests ask of one agent; every method is one step."""

    def __init__(self, session: AgentSession, channel: LocalChannel) -> None:
        self.session = session
        self.channel = channel

    def run(self, op: str, data: bytes = b"", *, timeout: float = 15.0, **fields: Any) -> Record:
        return self.session.run(step(op, data, **fields), what=op, timeout=timeout)

    def done(self, op: str, data: bytes = b"", **fields: Any) -> Record:
        """A step that has to be carried out and to succeed."""
        record = self.run(op, data, **fields)
        assert record.outcome == C["KSHS_OUTCOME_DONE"], describe(record)
        assert record.returned == STATUS_SUCCESS, describe(record)
        return record

    # ---- objects

    def open_filter(self, slot: int = 0, side: int = KERNEL, index: int = 0, route: int = 0) -> Record:
        category = ABI.guids["KSCATEGORY_KSHS"]
        return self.done("OPEN_FILTER", side=side, slot=slot, guid=category, value=index, route=route)

    def try_pin(
        self,
        slot: int,
        pin_id: int,
        *,
        side: int = KERNEL,
        filter_slot: int = 0,
        onto: int = _NO_SLOT,
        data: bytes = b"",
        route: int = 0,
    ) -> Record:
        return self.run(
            "OPEN_PIN",
            data or connect(pin_id),
            side=side,
            slot=slot,
            slot2=filter_slot,
            slot3=onto,
            flags=C["KSHS_STEP_FALLBACK"],
            route=route,
        )

    def open_pin(self, slot: int, pin_id: int, **fields: Any) -> Record:
        """As `try_pin`, and it has to succeed.  In user mode `route` says what the handle is for."""
        record = self.try_pin(slot, pin_id, **fields)
        assert record.outcome == C["KSHS_OUTCOME_DONE"], describe(record)
        assert record.returned == STATUS_SUCCESS, describe(record)
        return record

    def close(self, slot: int, side: int = KERNEL) -> Record:
        return self.done("CLOSE", side=side, slot=slot)

    # ---- requests

    def request_step(
        self,
        slot: int,
        data: bytes | None = None,
        *,
        side: int = KERNEL,
        route: int | None = None,
        mode: str = "KERNEL",
        in_length: int = HANDSHAKE_BYTES,
        out_length: int = HANDSHAKE_BYTES,
        **fields: Any,
    ) -> bytes:
        return step(
            "REQUEST",
            handshake() if data is None else data,
            side=side,
            slot=slot,
            route=C["KSHS_ROUTE_CALL"] if route is None else route,
            mode=C[f"KSHS_MODE_{mode}"],
            in_length=in_length,
            out_length=out_length,
            **{"timeout_ms": 10000, "control": IOCTL_KS_HANDSHAKE} | fields,
        )

    def request(
        self, slot: int, data: bytes | None = None, *, timeout: float = 20.0, **fields: Any
    ) -> Record:
        """One handshake with the lengths that the contract wants, unless told otherwise."""
        return self.session.run(self.request_step(slot, data, **fields), what="REQUEST", timeout=timeout)

    def submit(self, slot: int, data: bytes | None = None, **fields: Any) -> Pending:
        return self.session.submit(self.request_step(slot, data, **fields), what="REQUEST", timeout=20.0)

    # ---- the target's property set

    def try_property(
        self,
        name: str,
        *,
        slot: int = 0,
        side: int = KERNEL,
        after: bytes = b"",
        data: bytes = b"",
        get: int = 0,
        number: int | None = None,
        timeout_ms: int = 10000,
    ) -> Record:
        """A property as it is asked for: SET with data, or GET of that many bytes."""
        return self.run(
            "PROPERTY",
            after + data,
            side=side,
            slot=slot,
            guid=ABI.guids["KSPROPSETID_Kshs"],
            value=C[f"KSHS_PROP_{name}"] if number is None else number,
            value2=_PROPERTY_GET if get else _PROPERTY_SET,
            in_length=len(after),
            out_length=get or len(data),
            timeout_ms=timeout_ms,
            timeout=timeout_ms / 1000 + 5,
        )

    def _property(self, name: str, **fields: Any) -> Record:
        record = self.try_property(name, **fields)
        assert (record.outcome, record.returned) == (C["KSHS_OUTCOME_DONE"], STATUS_SUCCESS), describe(record)
        return record

    def behave(self, pin_id: int, kind: str, slot: int = 0, **fields: int) -> None:
        wanted = ABI.cs.kshs_behaviour(pin_id=pin_id, kind=C[f"KSHS_BEHAVE_{kind}"], **fields)
        self._property("BEHAVIOUR", slot=slot, data=bytes(wanted.dumps()))

    def seen(self, pin_id: int, slot: int = 0, side: int = KERNEL) -> Any:
        size = len(ABI.cs.kshs_seen)
        record = self._property("SEEN", slot=slot, side=side, after=struct.pack("<I", pin_id), get=size)
        assert (record.information, len(record.data)) == (size, size), describe(record)
        return ABI.cs.kshs_seen(record.data)

    def reset(self, slot: int = 0) -> None:
        for pin_id in range(C["KSHS_AVSHS_PINS"]):
            self._property("RESET", slot=slot, data=struct.pack("<I", pin_id))

    def unblock(self, pin_id: int, slot: int = 0) -> None:
        self._property("UNBLOCK", slot=slot, data=struct.pack("<I", pin_id))

    def pin_handshake(self, slot: int, request: bytes | None = None) -> Any:
        size = len(ABI.cs.kshs_pin_handshake)
        record = self._property(
            "PIN_HANDSHAKE", slot=slot, after=handshake() if request is None else request, get=size
        )
        return ABI.cs.kshs_pin_handshake(record.data)


def describe(record: Record) -> str:
    """A record with its numbers in hex, for assertions."""
    names = {value: name[13:] for name, value in C.items() if name.startswith("KSHS_OUTCOME_")}
    return (
        f"outcome {names.get(record.outcome, record.outcome)} detail {record.detail:#010x} "
        f"returned {record.returned:#010x} status {record.status:#010x} "
        f"information {record.information:#x} flags {record.flags:#x} "
        f"changed {record.changed_bytes} completions {record.completions} data {record.data[:64].hex()}"
    )


@contextmanager
def agent_of(guest: WineGuest, margin: float = 15.0) -> Iterator[Agent]:
    """A new agent in a guest whose services are up."""
    channel = guest.channel()
    try:
        with AgentSession(channel, ABI, margin=margin) as session:
            yield Agent(session, channel)
    finally:
        channel.close()
