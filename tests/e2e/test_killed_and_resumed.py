# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of a run at random moments, each followed by --resume: as if nobody had disturbed it.

``KSHS_TEST_KILLS`` says how many moments are tried, ``KSHS_TEST_SEED`` which ones.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import ROOT, command_line, environment
from tests.e2e.test_killed import ours

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("KSHS_TEST_KILLS", "3"))
SEED = int(os.environ.get("KSHS_TEST_SEED", "1"))
PATIENCE = 600.0
SELECTION = ("--rule", "H5")


@dataclass
class Machine:
    """Where runs of this test work: the guests are told apart from others by their runtime directory."""

    path: Path
    runtime: Path
    said: list[str] = field(default_factory=list)

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command_line("run", *words),
            cwd=self.path,
            env=environment(KSHS_RUNTIME_DIR=str(self.runtime), PYTHONUNBUFFERED="1"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def begin(self, out: str, *words: str) -> subprocess.Popen[str]:
        catalogue = ROOT / "harness" / "catalogue" / "mode.toml"
        return self.start("--out", out, *SELECTION, *words, catalogue)

    def resume(self, out: str) -> subprocess.Popen[str]:
        return self.start("--resume", out)

    def left(self) -> list[str]:
        """Processes, domains' sockets and disks of guests that are no more."""
        found = list(ours(str(self.runtime), str(self.path)).values())
        return found + [str(p) for p in self.runtime.rglob("*") if p.suffix in {".qcow2", ".sock"}]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    runtime = Path(tempfile.mkdtemp(prefix="kshs-k"))  # short: socket paths are limited
    yield Machine(tmp_path, runtime)
    for pid in ours(str(runtime), str(tmp_path)):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(runtime, ignore_errors=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, output


def killed(process: subprocess.Popen[str], out: Path, moment: float, of_scenarios: bool) -> bool:
    """Kills it after so many seconds, from its begin or from its first scenario's; False: it had ended."""
    until = time.monotonic() + PATIENCE
    while of_scenarios and process.poll() is None and not _has_begun(out) and time.monotonic() < until:
        time.sleep(0.02)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        return True
    process.communicate(timeout=PATIENCE)
    return False


def _has_begun(out: Path) -> bool:
    return any('"scenario"' in path.read_text() for path in out.glob(".parts-*/journal-*.jsonl"))


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def outcome(out: Path) -> list[tuple[Any, ...]]:
    """All that must not depend on who disturbed the run: verdicts, steps, and every compared field."""
    found: list[tuple[Any, ...]] = []
    for r in records(out):
        if r["kind"] == "scenario":
            found.append((r["order"], r["id"], r["verdict"], r["reason"], r["routes"], r["judged"]))
        elif r["kind"] == "step":
            compared = [(c["field"], c["expected"], c["ok"]) for c in r["comparisons"]]
            found.append((r["order"], r["index"], r["name"], r["verdict"], str(compared)))
    return found


def suite(out: Path) -> list[tuple[str | None, list[str]]]:
    cases = ET.parse(out / "junit.xml").iter("testcase")
    return [(case.get("name"), [e.tag for e in case if e.tag in ("failure", "error")]) for case in cases]


def test_killed_at_any_moment_and_resumed(machine: Machine) -> None:
    code, output = ended(machine.begin("first"))  # makes what the guests are made of
    assert code == 0, output
    begun = time.monotonic()
    code, output = ended(machine.begin("whole"))
    assert code == 0, output
    whole = time.monotonic() - begun
    run = records(machine.path / "whole")[0]
    expected, cases = outcome(machine.path / "whole"), suite(machine.path / "whole")
    dice = random.Random(SEED)
    tried_again = 0
    for number in range(KILLS):
        out = machine.path / f"k{number}"
        workers = ("-n", "2") if number % 3 == 2 else ()
        of_scenarios = number % 2 == 0
        moment = dice.uniform(0, run["seconds"] / 3 if of_scenarios else whole)
        machine.said.append(f"{number}: {moment:.2f} s of {whole:.1f}, {of_scenarios=} {workers=}")
        process = machine.begin(out.name, *workers)
        while killed(process, out, moment, of_scenarios):
            if not list(out.glob(".parts-*/run.json")):
                code, output = ended(machine.begin(out.name, *workers))
                break
            if dice.random() < 0.15:
                machine.said.append("and once more")
                process, moment = machine.resume(out.name), dice.uniform(0, whole)
                continue
            code, output = ended(machine.resume(out.name))
            break
        else:
            code, output = ended(machine.resume(out.name))  # of a run that has ended
        assert code == 0, f"{machine.said}\n{output}"
        assert outcome(out) == expected, machine.said
        assert sorted(suite(out)) == sorted(cases), machine.said
        for record in records(out):
            if record["kind"] == "scenario" and "attempts" in record:
                *before, last = record["attempts"]
                assert before and all(a["verdict"] == "error" and a["lost"] for a in before), record
                assert (last["verdict"], last.get("lost")) == (record["verdict"], None), record
                tried_again += 1
        assert list(out.glob(".*")) == [], machine.said
        assert machine.left() == [], machine.said
        print(f"{machine.said[-1]}: the same; {tried_again} scenarios were in flight so far", flush=True)
