# SPDX-License-Identifier: Apache-2.0
"""Steps as bytes: `kshs_step` with its data, and the structures that travel inside.

Knows the ABI header and the layout of the KS structures of ks.h, nothing of scenarios.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drivers.abi import Abi
from harness.agent.structures import codec
from harness.contract.handshake_data import HandshakeData
from harness.language.model.format import STANDARD_INTERFACE, STANDARD_MEDIUM, Format, Identifier

#: KSPROPSETID_Kshs (kshs_abi.h): the property set of targets with `behaviour`.
KSHS_PROPERTY_SET = "KSPROPSETID_Kshs"
#: KSPROPSETID_Connection of ks.h, and KSPROPERTY_CONNECTION_STATE in it.
CONNECTION_PROPERTY_SET = uuid.UUID("1d58c920-ac9b-11cf-a5d6-28db04c10000")
CONNECTION_STATE = 0
#: KSPROPERTY_TYPE_GET and KSPROPERTY_TYPE_SET of ks.h.
PROPERTY_GET = 1
PROPERTY_SET = 2

#: sizeof(KSHANDSHAKE) where it is least.
_LEAST_HANDSHAKE = 24
#: KSPRIORITY_NORMAL of ks.h.
_PRIORITY_NORMAL = 0x40000000


def pin_connect(
    pin_id: int,
    data_format: Format,
    pointer_size: int,
    interface: Identifier = STANDARD_INTERFACE,
    medium: Identifier = STANDARD_MEDIUM,
) -> bytes:
    """KSPIN_CONNECT and the data format behind it; normal priority, PinToHandle left to whoever opens."""
    handle = struct.pack("<II" if pointer_size == 4 else "<I4xQ", pin_id, 0)
    priority = struct.pack("<II", _PRIORITY_NORMAL, 1)
    return interface.pack() + medium.pack() + handle + priority + data_format.pack()


@dataclass(frozen=True, slots=True)
class Counters:
    """What is held just now: `values` of what could be counted, `tags` the blocks of each pool tag.

    Without tags (None) pool and handles are those of the process that hosts drivers, and nobody else's.
    """

    values: dict[str, int]
    tags: dict[int, int] | None


class Encoder:
    """Makes `kshs_step` and reads what comes back inside records.

    Args:
        abi: the ABI header as Python reads it.
    """

    def __init__(self, abi: Abi) -> None:
        self.abi = abi
        self._no_slot = abi.constants["KSHS_NO_SLOT"]
        self._no_token = abi.constants["KSHS_NO_TOKEN"]
        self._max_data = abi.constants["KSHS_MAX_DATA"]
        self._step = codec(abi.cs.kshs_step)

    def constant(self, name: str) -> int:
        """A constant of the header; its KSHS_ prefix may be left out."""
        return self.abi.constants[name if name.startswith("KSHS_") else f"KSHS_{name}"]

    def guid(self, name: str) -> uuid.UUID:
        """A GUID that the header's comments name."""
        return self.abi.guids[name]

    def step(self, op: str, *, data: bytes = b"", guid: uuid.UUID | None = None, **members: int) -> bytes:
        """One `kshs_step` with its data.

        Args:
            op: name of a KSHS_OP_ constant without the prefix.
            data: what follows the structure.
            guid: the structure's GUID member.
            members: further members by their names in the header; absent slots and tokens are KSHS_NO_*.

        Raises:
            ValueError: more data than the ABI allows.
        """
        if len(data) > self._max_data:
            raise ValueError(f"{len(data)} bytes of data are more than the {self._max_data} a step may carry")
        values: dict[str, Any] = {
            "slot": self._no_slot,
            "slot2": self._no_slot,
            "slot3": self._no_slot,
            "token": self._no_token,
            **members,
            "size": self._step.size,
            "op": self.abi.constants[f"KSHS_OP_{op}"],
            "data_length": len(data),
        }
        if guid is not None:
            values["guid"] = guid.bytes_le
        return self._step.pack(**values) + data

    def behaviour(
        self, *, pin_id: int, kind: str, status: int, delay_ms: int, value: int, value2: int
    ) -> bytes:
        """`kshs_behaviour`; `kind` as in a scenario."""
        cs: Any = self.abi.cs
        return bytes(
            cs.kshs_behaviour(
                pin_id=pin_id,
                kind=self.abi.constants[f"KSHS_BEHAVE_{kind.upper()}"],
                status=status,
                delay_ms=delay_ms,
                value=value,
                value2=value2,
            )
        )

    def make(
        self,
        version: int = 0,
        returns: Sequence[int] = (),
        *,
        length: int = 0,
        given: bool = False,
        elsewhere: bool = False,
    ) -> bytes:
        """`kshs_make`: an interface of the client's, or what is expected of a driver's.

        Args:
            version: of the interface.
            returns: what each of its further functions returns; their number counts.
            length: bytes that a pointer leads to.
            given: whether the receiver owns a reference with each handshake that is accepted.
            elsewhere: whether a driver's functions may lie outside the drivers of its device.
        """
        flags = given * self.constant("MAKE_GIVEN") + elsewhere * self.constant("MAKE_ELSEWHERE")
        limit = self.constant("MAX_FUNCTIONS")
        if len(returns) > limit:
            raise ValueError(f"{len(returns)} functions are more than the {limit} of an interface")
        values = (*returns, *[0] * (limit - len(returns)))
        return struct.pack(f"<4I{limit}Q", flags, version, len(returns), length, *values)

    def read_made(self, data: bytes) -> dict[str, int | str | bool | None] | None:
        """`kshs_made` as plain values, None where the bytes are too few for one.

        What the guest cannot say, and what could not be read, is None.
        """
        cs: Any = self.abi.cs
        size = len(cs.kshs_made)
        if len(data) < size:
            return None
        made = cs.kshs_made(data)
        flags = int(made.flags)
        facts: dict[str, int | str | bool | None] = {
            field.name: int(getattr(made, field.name)) for field in cs.kshs_made.__fields__
        }
        for name in ("present", "readable", "inside", "intact", "gone"):
            facts[name] = bool(flags & self.constant(f"LOOK_{name.upper()}"))
        facts["data"] = data[size:].hex()
        if not facts["readable"]:
            facts |= dict.fromkeys(("size", "version", "context", "inside", "data"))
        if flags & self.constant("LOOK_UNSURE"):
            facts["readable"] = None
        if not flags & self.constant("LOOK_IMAGE"):
            facts["inside"] = None
        return facts

    def wide_handshake(self, data: HandshakeData) -> bytes:
        """`kshs_handshake`: KSHANDSHAKE with its pointers widened to 64 bits."""
        return data.pack(8)

    def read_seen(self, data: bytes) -> dict[str, int | str] | None:
        """`kshs_seen` as plain values, None where the bytes are too few for one."""
        cs: Any = self.abi.cs
        if len(data) < len(cs.kshs_seen):
            return None
        seen = cs.kshs_seen(data)
        answer: dict[str, int | str] = {
            field.name: int(getattr(seen, field.name))
            for field in cs.kshs_seen.__fields__
            if field.name not in ("request", "shared", "reserved")
        }
        overlap = abs(int(seen.in_pointer) - int(seen.out_pointer)) < _LEAST_HANDSHAKE
        answer["aliased"] = int((seen.count > 0 and overlap) or seen.shared > 0)
        answer.update(self._handshake(seen.request))
        return answer

    def read_counters(self, data: bytes) -> Counters | None:
        """`kshs_counters` and what follows it, None where the bytes are too few."""
        cs: Any = self.abi.cs
        size, each = len(cs.kshs_counters), len(cs.kshs_pool_use)
        if len(data) < size:
            return None
        head = cs.kshs_counters(data)
        if len(data) < size + head.uses * each:
            return None
        places = range(size, size + head.uses * each, each)
        uses = [cs.kshs_pool_use(data[place : place + each]) for place in places]
        values: dict[str, int] = {}
        if head.counted & self.constant("COUNTED_POOL"):
            values["pool_blocks"] = sum(int(use.blocks) for use in uses)
            values["pool_bytes"] = sum(int(use.bytes) for use in uses)
        if head.counted & self.constant("COUNTED_HANDLES"):
            values["handles"] = int(head.handles)
        if head.counted & self.constant("COUNTED_FILE"):
            values["file_references"] = int(head.file_references)
        if head.counted & self.constant("COUNTED_DEVICE"):
            values["device_references"] = int(head.device_references)
            values["base_references"] = int(head.base_references)
        if head.counted & self.constant("COUNTED_CLASS"):
            values |= {
                f"class_{item.name}": int(getattr(head.held, item.name)) for item in cs.kshs_held.__fields__
            }
        tagged = bool(head.counted & self.constant("COUNTED_TAGS"))
        return Counters(values, {int(use.tag): int(use.blocks) for use in uses} if tagged else None)

    def read_left(self, data: bytes) -> dict[str, Any] | None:
        """`kshs_left` as plain values, `before` and `after` of what could be counted; None: it is none."""
        cs: Any = self.abi.cs
        if len(data) < len(cs.kshs_left):
            return None
        left = cs.kshs_left(data)
        values: dict[str, Any] = {
            name: int(getattr(left, name)) for name in ("looked", "unseen", "kept", "first", "references")
        }
        return values | {"before": self._held_now(left.before), "after": self._held_now(left.after)}

    def _held_now(self, now: Any) -> dict[str, int]:
        """`kshs_held_now`: what of it was counted."""
        parts = {
            "POOL": ("pool_blocks", "pool_bytes"),
            "HANDLES": ("handles",),
            "DEVICE": ("device_references", "base_references"),
        }
        values = {
            name: int(getattr(now, name))
            for part, names in parts.items()
            if now.counted & self.constant(f"COUNTED_{part}")
            for name in names
        }
        if now.counted & self.constant("COUNTED_CLASS"):
            fields = self.abi.cs.kshs_held.__fields__
            values |= {f"class_{item.name}": int(getattr(now.held, item.name)) for item in fields}
        return values

    def read_pin_handshake(self, data: bytes) -> dict[str, int | str] | None:
        """`kshs_pin_handshake` as plain values, None where the bytes are too few for one."""
        cs: Any = self.abi.cs
        if len(data) < len(cs.kshs_pin_handshake):
            return None
        report = cs.kshs_pin_handshake(data)
        return {
            "returned": int(report.returned),
            "out_written": int(report.out_written),
            "duration_ns": int(report.duration_ns),
            **self._handshake(report.answer),
        }

    @staticmethod
    def _handshake(structure: Any) -> dict[str, int | str]:
        return {
            "protocol": str(uuid.UUID(bytes_le=bytes(structure.protocol))),
            "argument1": int(structure.argument1),
            "argument2": int(structure.argument2),
        }
