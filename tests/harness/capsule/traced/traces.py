# SPDX-License-Identifier: Apache-2.0
"""Traces made by hand, as ``kshsctl trace save`` writes them."""

from __future__ import annotations

import json
import struct
import uuid
from typing import Any

from harness.capsule.traced.events import Trace, parse
from harness.language import target as targets
from harness.language.model import Target

ACCEPTED = "6b2f7a12-52d3-4c0e-9e1b-0b9c1b7d5a01"
UNKNOWN = "6b2f7aff-52d3-4c0e-9e1b-0b9c1b7d5a01"
SUCCESS, SIZE_ERROR, DECLINED = "0x0", "0xc0000206", "0xc0000010"
MAJOR = uuid.UUID("6B2F7A14-52D3-4C0E-9E1B-0B9C1B7D5A01")
SUB = uuid.UUID("6B2F7A15-52D3-4C0E-9E1B-0B9C1B7D5A01")
NONE = uuid.UUID("0f6417d6-c318-11d0-a43f-00a0c9223196")


def avshs() -> Target:
    """The sample target's file."""
    found, _ = targets.find("avshs")
    return found


def connect(pin: int, *, major: uuid.UUID = MAJOR) -> str:
    """What a pin's name says behind its prefix: KSPIN_CONNECT and KSDATAFORMAT, in hexadecimal."""
    head = bytes(48) + struct.pack("<II", pin, 0) + bytes(16)
    form = struct.pack("<IIII", 64, 0, 0, 0) + major.bytes_le + SUB.bytes_le + NONE.bytes_le
    return (head + form).hex()


class Recorder:
    """Events one after the other, a microsecond apart; each takes half of one unless told otherwise."""

    def __init__(self, *, wine: bool = False) -> None:
        self.wine = wine
        self.events: list[dict[str, Any]] = []
        self.head: dict[str, Any] = {}

    def add(self, event: str, **keys: Any) -> int:
        """One event; its number."""
        number = len(self.events) + 1
        self.events.append(
            {
                "n": number,
                "event": event,
                "at_ns": number * 1000,
                "device": 1,
                "requestor": "kernel",
                "pid": 4,
                "tid": 8,
                "returned": SUCCESS,
                "pending": False,
                "came_back": True,
                "status": SUCCESS,
                "information": "0x0",
                "took_ns": 500,
                "marked_pending": False,
                **keys,
            }
        )
        return number

    def pin(self, key: str = "o1", pin: int = 0, **keys: Any) -> int:
        """A pin that opens."""
        return self.add("pin", object=key, connect=connect(pin), connects=False, whole=214, **keys)

    def handshake(self, key: str = "o1", protocol: str = ACCEPTED, one: int = 0, **keys: Any) -> int:
        """A handshake that is answered as the sample answers it, unless told otherwise."""
        given = {
            "in_length": 32,
            "out_length": 32,
            "in_buffer": "normal",
            "out_buffer": "normal",
            "control": "0x2f001f",
            "input": {"protocol": protocol, "argument1": hex(one), "argument2": "0x0"},
        }
        if keys.get("status", SUCCESS) == SUCCESS:
            given["information"] = "0x20"
            given["output"] = {
                "protocol": protocol,
                "argument1": hex(one + 1),
                "argument2": "0xffffffffffffffff",
            }
        else:
            given["returned"] = keys["status"]
        return self.add("handshake", object=key, **{**given, **keys})

    def data(self) -> bytes:
        """The file."""
        head = {
            "kind": "kshs trace",
            "schema": 1,
            "wine": self.wine,
            "pointer_size": 8,
            "events": len(self.events),
            "overwritten": 0,
            "lost": 0,
            "devices": 1,
            "under_way": 0,
            **self.head,
        }
        return b"".join(json.dumps(line).encode() + b"\n" for line in (head, *self.events))

    def trace(self) -> Trace:
        """As it is read."""
        return parse(self.data(), "trace")
