# SPDX-License-Identifier: Apache-2.0
"""A driver for fake guests that describes itself: its interfaces, and its pins by KSPROPSETID_Pin."""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.agent.pin_facts import (
    CATEGORY,
    CINSTANCES,
    COMMUNICATION,
    COMMUNICATIONS,
    CTYPES,
    DATAFLOW,
    DATAINTERSECTION,
    DATARANGES,
    FLOWS,
    INTERFACES,
    MEDIUMS,
    NAME,
)
from harness.language.model.format import STANDARD_INTERFACE, STANDARD_MEDIUM, Format, Identifier
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import OPS, C, Simulation

NO_MATCH, NOT_FOUND, NO_DEVICE = 0xC0000272, 0xC0000225, 0xC000000E
CAPTURE = uuid.UUID("65e8773d-8f56-11d0-a3b9-00a0c9223196")
AUDIO = uuid.UUID("6994ad04-93ef-11d0-a3cc-00a0c9223196")
PLAIN = Format.model_validate(
    {"major": "00000000-0000-0000-0000-000000000011", "sub": "00000000-0000-0000-0000-000000000022"}
)


@dataclass
class FakePin:
    """What a pin says of itself; `takes` are the formats that it opens with, None: the ranges' own."""

    flow: int = 2
    communication: int = 3
    possible: int = 4
    ranges: Sequence[Format] = (PLAIN,)
    makes: Format | None = None
    takes: Sequence[Format] | None = None
    category: uuid.UUID | None = None
    name: str | None = None
    interfaces: Sequence[Identifier] = (STANDARD_INTERFACE,)
    mediums: Sequence[Identifier] = (STANDARD_MEDIUM,)

    def opens(self, connect: bytes) -> int:
        """The status of an open with KSPIN_CONNECT and a format."""
        ours = self.takes if self.takes is not None else [self.makes or item for item in self.ranges]
        good = connect[72:] in [item.pack() for item in ours]
        named = connect[:24] in [item.pack() for item in self.interfaces]
        return 0 if good and named else NO_MATCH


@dataclass
class FakeDriver:
    """Bends a fake guest: its filter is found in `categories`, each with the index of the filter there."""

    pins: list[FakePin] = field(default_factory=lambda: [FakePin()])
    categories: dict[uuid.UUID, int] = field(default_factory=lambda: {CAPTURE: 0})
    said: Any = None
    lost: Callable[[int], bool] = lambda number: False

    def interfaces(self) -> Any:
        """The answer about device interfaces."""
        if self.said is not None:
            return self.said
        return [
            {
                "category": f"{{{category}}}",
                "index": index,
                "path": rf"\\?\ROOT#MEDIA#0000#{{{category}}}\GLOBAL",
                "active": True,
            }
            for category, index in self.categories.items()
        ]

    def __call__(self, simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        op = OPS[int(step.op)]
        if op == "INFO" and int(step.value) == C["KSHS_INFO_INTERFACES"]:
            return Answer(record={}, data=json.dumps({"interfaces": self.interfaces()}).encode())
        if op == "OPEN_FILTER":
            guid = uuid.UUID(bytes_le=bytes(step.guid.dumps()))
            known = self.categories.get(guid) == int(step.value)
            return Answer(record={"returned": 0 if known else NO_DEVICE})
        if op == "OPEN_PIN":
            number = struct.unpack_from("<I", data, 48)[0]
            return Answer(record={"returned": self.pins[number].opens(data)})
        if op != "PROPERTY":
            return None
        if self.lost(int(step.value)):
            return Answer(die=1)
        value = self.value(int(step.value), data)
        if value is None:
            return Answer(record={"returned": NOT_FOUND, "status": NOT_FOUND})
        return Answer(record={"information": len(value)}, data=value)

    def value(self, number: int, data: bytes) -> bytes | None:
        """A property's value."""
        if number == CTYPES:
            return struct.pack("<I", len(self.pins))
        pin = self.pins[struct.unpack_from("<I", data)[0]]
        simple = {
            DATAFLOW: struct.pack("<I", pin.flow),
            COMMUNICATION: struct.pack("<I", pin.communication),
            CINSTANCES: struct.pack("<II", pin.possible, 0),
            DATARANGES: _items([item.pack() for item in pin.ranges]),
            INTERFACES: _items([item.pack() for item in pin.interfaces]),
            MEDIUMS: _items([item.pack() for item in pin.mediums]),
            CATEGORY: pin.category.bytes_le if pin.category is not None else None,
            NAME: (pin.name + "\0").encode("utf-16-le") if pin.name is not None else None,
            DATAINTERSECTION: pin.makes.pack() if pin.makes is not None else None,
        }
        return simple.get(number)


def _items(packed: list[bytes]) -> bytes:
    body = b"".join(item + bytes(-len(item) % 8) for item in packed)
    return struct.pack("<II", 8 + len(body), len(packed)) + body


assert FLOWS == {1: "in", 2: "out"}
assert COMMUNICATIONS[1] == "sink"
