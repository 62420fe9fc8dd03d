# SPDX-License-Identifier: Apache-2.0
"""What happens to leases beside them: restarts, short cuts, other nights, Ctrl-C.  Simulated guests, one host
beside that which calls the nights.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.hosts import Net, SimulatedHost, until
from tests.e2e.test_hosts import CONFTEST, SCENARIO, SILENCE, at_work, has_begun, leases, settings

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and users of their own need root"),
]

ITEMS = 6
CELL = "wine.avshs.all.1"
#: Seconds: a busy machine must not pass for a silent host.
PATIENT = 60


class Fleet:
    """A scheduler, one worker, and a project of few scenarios, of which each takes a second."""

    def __init__(self, net: Net, folder: Path) -> None:
        self.net, self.folder, self.project = net, folder, folder / "project"
        self.scheduler = self.schedule()
        net.hosts["a"].work(net.url)
        self.joined(1)

    def schedule(self) -> subprocess.Popen[Any]:
        log = self.folder / "scheduler.log"
        return self.net.start("boss", "scheduler", "--listen", self.net.url, log=log)

    def joined(self, times: int) -> None:
        until(lambda: self.net.hosts["a"].log.read_text().count("joined") >= times)

    def call(self, *words: str | Path, name: str = "many") -> subprocess.Popen[Any]:
        """A command of a night, or of a run, whose results go to the folder of that name."""
        words = (*words, "--scheduler", self.net.url, "--out", self.folder / name)
        return self.net.start("boss", *words, log=self.folder / f"{name}.log", cwd=self.project)

    def in_flight(self, name: str = "many") -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            lease = at_work(self.folder / name, "a")
            return lease if lease is not None and has_begun(self.net, "a", lease["id"]) else None

        lease: dict[str, Any] = until(found)
        return lease

    def ended(self, process: subprocess.Popen[Any], name: str = "many", code: int = 0) -> str:
        process.wait(1200)
        said = (self.folder / f"{name}.log").read_text()
        assert process.returncode == code, said
        return said

    def verdicts(self, name: str = "many", cell: str = CELL) -> list[str]:
        lines = (self.folder / name / cell / "results.jsonl").read_text().splitlines()
        return [r["verdict"] for r in map(json.loads, lines) if r["kind"] == "scenario"]

    def over(self, name: str = "many") -> list[str]:
        """How leases ended."""
        return [r["said"] for r in leases(self.folder / name) if r["event"] in ("ended", "given up")]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    from harness.fleet.certificates import make

    make(tmp_path / "keys", ["boss", "a"])
    project = tmp_path / "project"
    (project / "scenarios").mkdir(parents=True)
    (project / "conftest.py").write_text(CONFTEST)
    text = "schema = 1\n" + "".join(SCENARIO.format(n=n) for n in range(ITEMS))
    (project / "scenarios" / "many.toml").write_text(text)
    lab = '[nights.lab]\nsuites.all = { paths = ["scenarios"] }\n'

    def patient(host: SimulatedHost, more: str = "") -> str:
        text = settings(host, tmp_path / "keys", more)
        return text.replace(f"silence_s = {SILENCE}", f"silence_s = {PATIENT}")

    with Net(tmp_path, "a", patient) as net:
        (project / "kshs.toml").write_text(patient(net.hosts["boss"], lab))
        yield Fleet(net, tmp_path)


def test_a_worker_that_is_killed_and_at_once_started_anew(fleet: Fleet) -> None:
    night = fleet.call("nightly", "lab")
    lease = fleet.in_flight()
    fleet.net.hosts["a"].kill()
    fleet.net.hosts["a"].work(fleet.net.url)
    fleet.ended(night)
    assert fleet.verdicts() == ["passed"] * ITEMS
    said = {row["id"]: row["said"] for row in leases(fleet.folder / "many") if row["event"] == "given up"}
    assert said[lease["id"]].endswith("was started anew") or "fell silent" in said[lease["id"]]
    assert fleet.net.left() == []


def test_neither_a_short_cut_nor_a_scheduler_that_is_killed_costs_an_attempt(fleet: Fleet) -> None:
    night = fleet.call("nightly", "lab")
    fleet.in_flight()
    fleet.net.cut("a")
    with pytest.raises(subprocess.TimeoutExpired):
        night.wait(5)
    fleet.net.mend("a")
    fleet.scheduler.send_signal(signal.SIGKILL)
    fleet.scheduler.wait(30)
    fleet.schedule()
    fleet.ended(night)
    assert fleet.verdicts() == ["passed"] * ITEMS
    assert set(fleet.over()) == {"exit code 0"}, "no lease was given up"
    assert fleet.net.left() == []


def test_two_nights_share_a_host_and_neither_takes_the_other_for_silence(fleet: Fleet) -> None:
    one = fleet.call("nightly", "lab")
    fleet.in_flight()
    other = fleet.call("nightly", "lab", name="other")
    fleet.ended(one)
    fleet.ended(other, "other")
    assert fleet.verdicts() == fleet.verdicts("other") == ["passed"] * ITEMS
    assert not any("silent" in said for said in fleet.over() + fleet.over("other"))
    assert fleet.net.left() == []


def test_ctrl_c_ends_what_is_at_work_on_the_host_and_keeps_what_has_come(fleet: Fleet) -> None:
    run = fleet.call("run", "-n", "1", "scenarios")
    lease = fleet.in_flight()
    run.send_signal(signal.SIGINT)
    said = fleet.ended(run, code=3)
    assert said.rstrip().endswith("kshs: interrupted"), said
    assert fleet.over() == ["the night was ended"]
    assert set(fleet.verdicts(cell=".")) == {"error"}, "one was in flight, the others were not begun"
    until(lambda: not (fleet.net.hosts["a"].folder / "c/kshs/host/spool" / lease["id"]).exists())
    assert fleet.net.left() == []
