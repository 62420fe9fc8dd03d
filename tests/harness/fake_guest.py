# SPDX-License-Identifier: Apache-2.0
"""A guest of threads and memory whose target answers as docs/contract.md says, or as a test bends it."""

from __future__ import annotations

import json
import struct
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from drivers.abi import load
from harness.errors import DeployError, HarnessError
from harness.guests import Evidence, Say
from harness.language.model import Target
from tests.harness.fake_agent import Answer, FakeAgent, MemoryChannel

ABI = load()
C = ABI.constants
OPS = {value: name.removeprefix("KSHS_OP_") for name, value in C.items() if name.startswith("KSHS_OP_")}
PROTOCOL = uuid.UUID("6b2f7a12-52d3-4c0e-9e1b-0b9c1b7d5a01")
SUCCESS, SIZE_ERROR, DEVICE_ERROR = 0, 0xC0000206, 0xC0000010

TARGET = Target.model_validate(
    {
        "schema": 1,
        "name": "sim",
        "title": "simulated target",
        "package": "builtin:avshs",
        "hardware_id": r"Root\Sim",
        "service": "sim",
        "category": "6b2f7a11-52d3-4c0e-9e1b-0b9c1b7d5a01",
        "behaviour": True,
        "format": {
            "major": "6b2f7a14-52d3-4c0e-9e1b-0b9c1b7d5a01",
            "sub": "6b2f7a15-52d3-4c0e-9e1b-0b9c1b7d5a01",
        },
        "protocols": {"a": str(PROTOCOL)},
        "pin": [
            {"id": 0, "name": "source", "flow": "out", "accepts": ["a"], "answer": {}},
            {"id": 1, "name": "sink", "flow": "in", "accepts": ["a"], "answer": {}},
        ],
    }
)

INFO = {
    "agent": {"abi": 1, "pointer_size": 8},
    "family": "wine",
    "wine": {"version": "8.0"},
    "kernel": {"major": 10, "minor": 0, "build": 19043, "ubr": 0, "name": "Windows 10", "arch": "x86_64"},
    "ks": {"present": True, "ours": True, "version": "1.0.0.0", "sha256": "ab" * 32},
    "drivers": [
        {"service": "sim", "state": "running", "path": "sim.sys", "version": "1.0.0.0", "sha256": "cd" * 32}
    ],
    "client": {"loaded": True, "abi": 1},
    "test_signing": None,
    "secure_boot": None,
    "hvci": None,
    "verifier": None,
    "missing_apis": [],
}

#: Bends one request: gets what the honest target would answer, gives an Answer; None keeps it.
Bend = Callable[["Simulation", Any, bytes], Answer | None]


@dataclass
class Simulation:
    """What the target, ks.sys and the client would do with each step."""

    bend: Bend | None = None
    crashes: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def __call__(self, step: Any, data: bytes) -> Answer:
        op = OPS.get(int(step.op), "?")
        self.counts[op] = self.counts.get(op, 0) + 1
        if self.bend is not None:
            bent = self.bend(self, step, data)
            if bent is not None:
                return bent
        return self.honest(step, data)

    def honest(self, step: Any, data: bytes) -> Answer:
        op = OPS.get(int(step.op), "?")
        if op == "REQUEST":
            return self.row(step, data)
        if op == "INFO":
            return Answer(record={}, data=json.dumps(INFO).encode())
        if op == "CRASHES":
            told, self.crashes = self.crashes, []
            return Answer(record={}, data=json.dumps(told).encode())
        if op == "THREADS":
            return Answer(record={}, data=b'{"processes":[]}')
        if op == "SLEEP":
            time.sleep(int(step.timeout_ms) / 1000)
        if op == "PROPERTY" and int(step.value2) == 1:
            size = int(step.out_length)
            return Answer(record={"information": size, "flags": C["KSHS_REC_INFO_WRITTEN"]}, data=bytes(size))
        return Answer(record={})

    def row(self, step: Any, data: bytes) -> Answer:
        """Repeats that differ in a length or a bit, up to the first whose status is another one's."""
        flips = bool(int(step.flags) & C["KSHS_STEP_FLIP"])
        strides = (0, 0) if flips else (int(step.value), int(step.value2))
        if not flips and not any(strides):
            return self.request(step, data)
        one = ABI.cs.kshs_step(bytes(step.dumps()))
        for number in range(int(step.repeat)):
            one.in_length = int(step.in_length) + strides[0] * number
            one.out_length = int(step.out_length) + strides[1] * number
            sent = bytearray(data)
            if flips:
                bit = int(step.value) + number
                sent[bit // 8] ^= 1 << bit % 8
            answer = self.request(one, bytes(sent))
            record = dict(answer.record or {})
            if number == 0:
                first = record["returned"]
            elif record["returned"] != first:
                break
        return Answer(record={**record, "repeats": number + 1}, data=answer.data)

    def request(self, step: Any, data: bytes, *, status: int | None = None) -> Answer:
        """H2 to H9 for a pin; `status` overrides what comes out."""
        kernel_route = int(step.route) in (C["KSHS_ROUTE_CALL"], C["KSHS_ROUTE_IRP"])
        user = not kernel_route or int(step.mode) == C["KSHS_MODE_USER"]
        sent = data.ljust(32, b"\0")[:32]
        if status is None:
            if int(step.in_length) != 32 or int(step.out_length) != 32:
                status = SIZE_ERROR
            elif user or uuid.UUID(bytes_le=sent[:16]) != PROTOCOL:
                status = DEVICE_ERROR
            else:
                status = SUCCESS
        good = status == SUCCESS
        size = int(step.out_length)
        flags = C["KSHS_REC_IN_INTACT"]
        if size:
            flags |= C["KSHS_REC_OUT_VISIBLE"] | C["KSHS_REC_GUARD_LOW"] | C["KSHS_REC_GUARD_HIGH"]
        if int(step.route) != C["KSHS_ROUTE_CALL"]:
            flags |= C["KSHS_REC_IOSB_VISIBLE"]
        if good or int(step.route) == C["KSHS_ROUTE_IRP"]:
            flags |= C["KSHS_REC_STATUS_WRITTEN"] | C["KSHS_REC_INFO_WRITTEN"]
        return Answer(
            record={
                "flags": flags,
                "returned": status,
                "status": status if flags & C["KSHS_REC_STATUS_WRITTEN"] else C["KSHS_POISON_STATUS"],
                "information": 32 if good else 0,
                "completions": 1 if int(step.route) == C["KSHS_ROUTE_IRP"] else 0,
                "changed_bytes": 32 if good else 0,
                "changed_first": 0 if good else 0xFFFFFFFF,
                "changed_last": 31 if good else 0xFFFFFFFF,
                "duration_ns": 1000,
                "thread": 4,
            },
            data=(sent if good else b"\xcc" * min(size, 256))[:size],
        )


class FakeGuest:
    def __init__(self, provider: FakeProvider, number: int) -> None:
        self.id = f"fake-{number}"
        self.provider = provider
        self.simulation = Simulation(provider.bend)
        self.agent: FakeAgent | None = None
        self.closed = False

    def open_agent(self) -> MemoryChannel:
        self.agent = FakeAgent(ABI, self.simulation)
        return self.agent.channel

    def evidence(self) -> Evidence:
        return self.provider.evidence

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeProvider:
    """Gives fake guests and remembers them."""

    bend: Bend | None = None
    evidence: Evidence = field(default_factory=Evidence)
    fail: str | None = None
    fail_from: int = 0
    artefacts: dict[str, str] = field(default_factory=dict)
    refuses: str | None = None
    guests: list[FakeGuest] = field(default_factory=list)
    tries: int = 0
    closed: bool = False
    lock: Any = field(default_factory=threading.Lock)

    def target(self) -> Target:
        return TARGET

    def target_digest(self) -> str:
        return "ef" * 32

    def prepare(self, say: Say) -> None:
        say("preparing nothing")

    def acquire(self) -> FakeGuest:
        self.tries += 1
        if self.fail is not None and len(self.guests) >= self.fail_from:
            if self.artefacts:
                raise DeployError(self.fail, step="install-device", artefacts=self.artefacts)
            raise HarnessError(self.fail, hint="kshs doctor")
        guest = FakeGuest(self, len(self.guests))
        self.guests.append(guest)
        return guest

    def check_guest(self, info: Mapping[str, Any]) -> None:
        if self.refuses is not None:
            raise DeployError(f"{self.refuses} of {info['kernel']['name']}", step="verifier")

    def host(self) -> Mapping[str, Any]:
        return {"machine": "fake", "qemu": "0.0"}

    def close(self) -> None:
        self.closed = True


def handshake_bytes(protocol: uuid.UUID, first: int = 0, second: int = 0) -> bytes:
    return protocol.bytes_le + struct.pack("<QQ", first, second)
