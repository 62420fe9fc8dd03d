# SPDX-License-Identifier: Apache-2.0
"""Results folders as `kshs run` leaves them, with what a test says of scenarios, guest and package."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.store.models import NUMBERS

DECLINED = 0xC0000010
BEGAN = datetime(2026, 1, 1, 2, tzinfo=UTC)
SOUND: Mapping[str, int | None] = {
    **dict.fromkeys(NUMBERS),
    "detail": 0,
    "answer": 0,
    "returned": 0,
    "status": 0,
    "information": 32,
    "completions": 1,
    "argument1": 6,
    "argument2": 0xFFFFFFFFFFFFFFFD,
    "repeats": 1,
    "flags": 2167,
}


@dataclass(frozen=True)
class Case:
    """One scenario: its verdict, and of each request what differs from `SOUND`."""

    id: str
    verdict: str = "passed"
    requests: Sequence[Mapping[str, int | None]] = ({},)
    reason: str | None = None
    content: str | None = "c1"
    file: str = "scenarios/basic.toml"
    attempts: Sequence[str] = ()
    rule: str = "H6"

    def records(self, order: int) -> list[dict[str, Any]]:
        """The scenario and its steps."""
        bad = self.verdict not in ("passed", "skipped")
        reason = self.reason or (f"{self.rule}: answer is wrong" if bad else None)
        head: dict[str, Any] = {
            "kind": "scenario",
            "order": order,
            "id": self.id,
            "title": f"the title of {self.id}",
            "file": self.file,
            "rules": [self.rule],
            "verdict": self.verdict,
            "reason": reason or ("not here" if self.verdict == "skipped" else None),
            "content": self.content,
            "step_count": len(self.requests),
            "evidence": ["bugcheck 0x3b"] if self.verdict == "crashed" else [],
            "seconds": 0.5,
            "lease": "lease-1",
            "worker": "main",
        }
        if self.attempts:
            head["attempts"] = [{"verdict": verdict, "reason": verdict} for verdict in self.attempts]
        return [head, *(self._step(order, number, one, reason) for number, one in enumerate(self.requests))]

    def _step(
        self, order: int, index: int, request: Mapping[str, int | None], reason: str | None
    ) -> dict[str, Any]:
        last = index == len(self.requests) - 1
        verdict = self.verdict if last and self.verdict != "error" else "passed"
        return {
            "kind": "step",
            "order": order,
            "scenario": self.id,
            "index": index,
            "do": "handshake",
            "name": "handshake source by irp from kernel mode",
            "route": "irp",
            "mode": "kernel",
            "verdict": verdict,
            "reason": reason if verdict != "passed" else None,
            "request": {"protocol": "6b2f7a12-52d3-4c0e-9e1b-0b9c1b7d5a01", "in_length": 32},
            "comparisons": [],
            "status_block": {
                "op": "request",
                "outcome": "done",
                "handshake": {"protocol": "6b2f7a12-52d3-4c0e-9e1b-0b9c1b7d5a01"},
                "numbers": {**SOUND, **request},
                "seen": {"count": 1, "thread": order * 17 + index, "in_pointer": order * 4096},
            },
        }


@dataclass(frozen=True)
class Results:
    """One run; `night` counts days from the first."""

    night: int = 0
    cases: Sequence[Case] = ()
    id: str = ""
    kernel: str | None = "Wine 8.0 as NT 6.1.7601"
    build: str | None = "7601"
    ks: str | None = "a" * 64
    ours: bool | None = True
    package: str = "1" * 64
    image: str = "f" * 64
    drivers: str = "d" * 64
    verifier: str | None = "off"
    recipe: str = "wine"
    target: str = "relay"
    problem: str | None = None
    command: str = "kshs run"
    tests: Mapping[str, str] = field(default_factory=dict)
    memory_mib: int | None = None
    began: datetime | None = None

    @property
    def name(self) -> str:
        """Its id."""
        return self.id or f"night{self.night:02d}"

    def but(self, **changes: Any) -> Results:
        """The same with changes."""
        return replace(self, **changes)

    def at(self, began: datetime) -> Results:
        """The same at another time."""
        return self.but(began=began)

    def records(self) -> list[dict[str, Any]]:
        """All lines."""
        began = self.began or BEGAN + timedelta(days=self.night)
        host = {
            "recipe": self.recipe,
            "image": self.image,
            "accelerator": "tcg (no KVM here)",
            "build": self.drivers,
        }
        head = {
            "kind": "run",
            "schema": 1,
            "id": self.name,
            "started": f"{began:%Y-%m-%dT%H:%M:%SZ}",
            "seconds": 12.5,
            "version": "0.1.0",
            "command": self.command,
            "selection": None,
            "guest": self.recipe,
            "problem": self.problem,
            "memory_mib": self.memory_mib,
            "target": {"name": self.target, "service": "relay", "digest": self.package},
            "host": host,
        }
        said = {
            "kernel": self.kernel,
            "kernel_build": self.build,
            "family": "wine",
            "verifier": self.verifier,
        }
        ks = {"present": True, "ours": self.ours, "version": "1.0", "sha256": self.ks}
        drivers = [{"service": "relay", "version": "2.0"}]
        info = {"family": "wine", "ks": ks, "drivers": drivers}
        environment = {"kind": "environment", "guest": said, "info": info, "host": host}
        cases = [record for order, case in enumerate(self.cases) for record in case.records(order)]
        tests = [{"kind": "test", "id": name, "verdict": verdict} for name, verdict in self.tests.items()]
        return [head, environment, *cases, *tests]

    def write(self, folder: Path) -> Path:
        """Into a folder of its own below this one."""
        made = folder / self.name
        made.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(record) + "\n" for record in self.records())
        (made / "results.jsonl").write_text(text, encoding="utf-8")
        return made
