# SPDX-License-Identifier: Apache-2.0
"""Runs `kshs` as a user does: as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RUN_TIMEOUT = 900.0


def command_line(*arguments: str | Path) -> list[str]:
    """Of one call."""
    return [sys.executable, "-m", "harness", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    """Of one call: this checkout's packages, nothing of the pytest that we run in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


@dataclass(frozen=True)
class Ran:
    """One finished call and what it left in its out directory."""

    exit_code: int
    output: str
    out: Path

    @property
    def records(self) -> list[dict[str, Any]]:
        with (self.out / "results.jsonl").open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["kind"] == kind]

    def verdicts(self) -> Counter[str]:
        return Counter(str(record["verdict"]) for record in self.of_kind("scenario"))

    def suite(self) -> ET.Element:
        suite = ET.parse(self.out / "junit.xml").getroot().find("testsuite")
        assert suite is not None
        return suite

    def junit(self) -> dict[str, int]:
        suite = self.suite()
        return {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}


def run(out: Path, *arguments: str | Path, seconds: float = RUN_TIMEOUT, **more: str) -> Ran:
    """`kshs run --out OUT ...` to its end; `more` are variables of its environment."""
    out.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command_line("run", "--out", out, *arguments),
        cwd=out.parent,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    return Ran(done.returncode, done.stdout + done.stderr, out)
