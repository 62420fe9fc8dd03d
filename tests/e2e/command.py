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


def kshs(*arguments: str | Path, **environment: str) -> list[str]:
    """The command line of one call."""
    return [sys.executable, "-m", "harness", *map(str, arguments)]


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

    def verdicts(self) -> Counter[str]:
        return Counter(str(record["verdict"]) for record in self.scenarios())

    def scenarios(self) -> list[dict[str, Any]]:
        return [record for record in self.records if record["type"] == "scenario"]

    def junit(self) -> dict[str, int]:
        suite = ET.parse(self.out / "junit.xml").getroot().find("testsuite")
        assert suite is not None
        return {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}


def run(out: Path, *arguments: str | Path, **environment: str) -> Ran:
    """`kshs run --out OUT ...` to its end."""
    done = subprocess.run(
        kshs("run", "--out", out, *arguments),
        cwd=out.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT,
    )
    return Ran(done.returncode, done.stdout + done.stderr, out)
