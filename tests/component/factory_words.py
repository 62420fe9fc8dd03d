# SPDX-License-Identifier: Apache-2.0
"""Words for the driver with several filter factories (factories/): its numbers, and what is asked of it."""

from __future__ import annotations

import struct
import uuid

from harness.agent import device_interfaces
from harness.agent.encode import Encoder
from harness.agent.frames import Record
from tests.component.agent import ABI, KERNEL, STATUS_SUCCESS, USER, Agent, C, describe

HARDWARE_ID = r"Root\KshsFactories"

STATUS_ACCESS_DENIED = 0xC0000022
STATUS_OBJECT_NAME_NOT_FOUND = 0xC0000034
STATUS_DEVICE_BUSY = 0x80000011
STATUS_NO_SUCH_DEVICE = 0xC000000E

# Factories and property numbers of factories.c.
FIRST, SECOND, CLOSED, LATE = range(4)
WHO, COUNTS, TELL, MAKE, UNMAKE, ENABLE, HANDSHAKE = range(1, 8)
LATER = 0x10000000


def own(number: int) -> uuid.UUID:
    """A GUID of the driver's."""
    return uuid.UUID(f"3F0E7C20-8C55-4E0B-9E51-6B1D2A9C{0x100 + number:04X}")


SHARED, OF_FIRST, OF_SECOND, OF_CLOSED = (own(n) for n in (1, 2, 3, 4))
PROPERTIES = own(0x20)
REFERENCES = {SECOND: f"{{{own(0x12)}}}", CLOSED: f"{{{own(0x13)}}}", LATE: "late"}

SIDES = {"kernel": KERNEL, "user": USER}


def open_filter(
    agent: Agent, category: uuid.UUID, index: int = 0, slot: int = 0, side: int = KERNEL
) -> Record:
    return agent.run("OPEN_FILTER", side=side, slot=slot, guid=category, value=index)


def made(record: Record) -> bool:
    """Whether an open that has to have succeeded took the control."""
    assert record.outcome == C["KSHS_OUTCOME_DONE"], describe(record)
    assert record.returned == STATUS_SUCCESS, describe(record)
    return bool(record.flags & C["KSHS_REC_MADE"])


def ended(record: Record) -> int:
    """How a control ended, wherever the route shows it."""
    assert record.outcome == C["KSHS_OUTCOME_DONE"], describe(record)
    return record.status if record.flags & C["KSHS_REC_STATUS_WRITTEN"] else record.returned


def get(agent: Agent, number: int, room: int = 4, *given: int, slot: int = 9, side: int = KERNEL) -> bytes:
    after = struct.pack(f"<{len(given)}I", *given)
    record = agent.run(
        "PROPERTY",
        after,
        side=side,
        slot=slot,
        guid=PROPERTIES,
        value=number,
        value2=1,
        in_length=len(after),
        out_length=room,
        timeout_ms=10000,
    )
    assert ended(record) == STATUS_SUCCESS, describe(record)
    return bytes(record.data)


def ulong(agent: Agent, number: int, *given: int, slot: int = 9, side: int = KERNEL) -> int:
    (value,) = struct.unpack("<I", get(agent, number, 4, *given, slot=slot, side=side))
    assert isinstance(value, int)
    return value


def counts(agent: Agent) -> dict[int, tuple[int, int]]:
    """Filters created and closed, of each factory."""
    numbers = struct.unpack("<8I", get(agent, COUNTS, 32))
    return {factory: (numbers[factory], numbers[4 + factory]) for factory in range(4)}


def since(agent: Agent, before: dict[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """What has changed."""
    return {
        factory: (new[0] - before[factory][0], new[1] - before[factory][1])
        for factory, new in counts(agent).items()
        if new != before[factory]
    }


def instances(agent: Agent) -> list[tuple[uuid.UUID, int, str]]:
    found = device_interfaces.ask(agent.session, Encoder(ABI), HARDWARE_ID)
    return [(one.category, one.index, one.reference.casefold()) for one in found if one.active]


def path(category: uuid.UUID, reference: str = "") -> bytes:
    plain = f"\\??\\ROOT#MEDIA#0000#{{{category}}}"
    return (plain + (f"\\{reference}" if reference else "")).encode("utf-16-le")


def make_filter(agent: Agent, reference: str | bytes, slot: int = 0, side: int = KERNEL) -> Record:
    data = reference if isinstance(reference, bytes) else reference.encode("utf-16-le")
    route = C["KSHS_ROUTE_IRP"] if side == KERNEL else C["KSHS_ROUTE_EVENT"]
    control = C["IOCTL_KSHS_MAKE_FILTER"]
    return agent.request(
        slot, data, side=side, control=control, route=route, in_length=len(data), out_length=0
    )
