# SPDX-License-Identifier: Apache-2.0
"""A night over three hosts, one killed and the net of another cut, against the same night on one host.

The hosts are network namespaces of this machine, each with a user and a cache of its own.  With simulated
guests it is part of `make test`, with real ones of `make test-all`.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.store.values import OF_THE_WHOLE
from tests.e2e.hosts import Net, SimulatedHost, until
from tests.harness.plugin.test_plugin import ROOT
from vm import image
from vm.config import VmConfig

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and users of their own need root"),
]

SILENCE = 8

CONFTEST = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from tests.harness.fake_guest import *
from harness.running import attribution

attribution._RECORDER_TIME = 0.1

def slow(simulation, step, data):
    if OPS[int(step.op)] == "REQUEST":
        time.sleep(1.0)  # that something is in flight when a host is killed
        if int(step.in_length) == 7:  # the defect of this driver
            return simulation.request(step, data, status=SUCCESS)

provider = FakeProvider(bend=slow)

def pytest_kshs_provider(config):
    return provider
"""

SCENARIO = """
[[scenario]]
id = "short.{n:02d}"
title = "{n} bytes are too few"
rule = "H4"
open = ["source"]
timeout_ms = 3000
steps = [{{ do = "handshake", on = "source", in_length = {n}, route = "irp" }}]
"""


def settings(host: SimulatedHost, keys: Path, more: str = "") -> str:
    return f"""
[hosts]
keys = "{keys}"
this = "{host.name}"
silence_s = {SILENCE}
shard_s = 2
cores = 1
memory_mib = 1400
[store]
url = "nights.db"
[vm]
cache_dir = "{host.folder}/c/kshs"
runtime_dir = "{host.folder}/r"
accelerator = "tcg"
{more}
"""


def real_settings(host: SimulatedHost, keys: Path, more: str = "") -> str:
    """With patience: an image is a gigabyte, and the machine has the work of four.

    Shards are as small as they can be, so that each host has one, which takes seconds all the same.  The
    first host has the images of who runs the tests: no namespace reaches a mirror.
    """
    text = settings(host, keys, more).replace(f"silence_s = {SILENCE}", "silence_s = 60")
    if not host.user:
        text = text.replace(f"{host.folder}/c/kshs", str(VmConfig().cache_dir))
    more = 'accelerator = "tcg"\nboot_timeout = 900\nconnect_timeout = 300'
    text = text.replace('accelerator = "tcg"', more)
    return text.replace("shard_s = 2", "shard_s = 0.1")


def outcome(out: Path) -> list[tuple[Any, ...]]:
    """All that must not depend on where and how often it was run."""
    found: list[tuple[Any, ...]] = []
    for line in (out / "results.jsonl").read_text().splitlines():
        r = json.loads(line)
        if r["kind"] == "scenario":
            found.append(
                (r["order"], r["file"], r["id"], r["verdict"], r["reason"], r["routes"], r["judged"])
            )
        elif r["kind"] == "step":
            compared = [
                (c["field"], c["expected"], None if of_the_whole(c) else c["got"], c["ok"])
                for c in r["comparisons"]
            ]
            found.append((r["order"], r["index"], r["name"], r["verdict"], str(compared)))
    return found


def of_the_whole(comparison: dict[str, Any]) -> bool:
    """Whether it is on record of what others hold, too: pool and handles, which no two guests have alike."""
    return comparison["characteristic"] and comparison["field"].removesuffix(" grown") in OF_THE_WHOLE


def leases(night: Path) -> list[dict[str, Any]]:
    path = night / "leases.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [row for row in rows if isinstance(row, dict)]


def at_work(night: Path, host: str) -> dict[str, Any] | None:
    """A lease that the host has and that is not over."""
    rows = leases(night)
    over = {row["id"] for row in rows if row["event"] != "granted"}
    return next((r for r in rows if r["host"] == host and r["id"] not in over), None)


def has_begun(net: Net, host: str, lease: str) -> bool:
    spool = net.hosts[host].folder / "c" / "kshs" / "host" / "spool" / lease
    return any('"begun"' in part.read_text() for part in spool.glob("out/.parts-*/results-*.jsonl"))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    from harness.fleet.certificates import make

    make(tmp_path / "keys", ["boss", "a", "b", "c"])
    return tmp_path / "keys"


def disturbed_night(net: Net, folder: Path, night: Path, code: int = 1) -> str:
    """Runs one, kills a, cuts b off, lets both come back; what was said."""
    net.start("boss", "scheduler", "--listen", net.url, log=folder / "scheduler.log")
    for name in "abc":
        net.hosts[name].work(net.url)
    for name in "abc":
        until(lambda name=name: "joined" in net.hosts[name].log.read_text())
    words = ("nightly", "lab", "--scheduler", net.url, "--out", night)
    process = net.start("boss", *words, log=folder / "night.log", cwd=folder / "project")

    disturb = {"a": net.hosts["a"].kill, "b": lambda: net.cut("b")}
    lost = set()

    def in_flight() -> tuple[str, str] | None:
        found = ((name, it["id"]) for name in disturb if (it := at_work(night, name)))
        return next(((name, lease) for name, lease in found if has_begun(net, name, lease)), None)

    while disturb:  # each at a moment of its own: none waits for the other to be at work, too
        name, lease = until(in_flight)
        disturb.pop(name)()
        lost.add(lease)
    until(lambda: lost <= {r["id"] for r in leases(night) if r["event"] == "given up"})
    net.mend("b")
    net.hosts["a"].work(net.url)
    process.wait(1800)
    said = (folder / "night.log").read_text()
    assert process.returncode == code, said
    return said


def check_accounts(night: Path, cell: str) -> None:
    """Each lease is over in one way, and each scenario has all that was tried of it."""
    rows = leases(night)
    granted = {row["id"]: row for row in rows if row["event"] == "granted"}
    over = {row["id"]: row["event"] for row in rows if row["event"] in ("ended", "given up")}
    assert set(over) == set(granted)
    assert len([r for r in rows if r["event"] in ("ended", "given up")]) == len(granted)
    ended: dict[str, int] = {}
    for lease, event in over.items():
        for key in granted[lease]["keys"] if event == "ended" else ():
            ended[key] = ended.get(key, 0) + 1
    assert set(ended.values()) == {1}, "what has ended once is not run again"
    lost = 0
    for line in (night / cell / "results.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["kind"] != "scenario":
            continue
        *before, last = record.get("attempts") or [{"verdict": record["verdict"]}]
        assert last["verdict"] == record["verdict"] and "lost" not in last
        for attempt in before:
            assert attempt["lost"] is True and "given up" in attempt["reason"], attempt
            lost += 1
    assert lost >= 2, "both hosts had something in flight"


def check_store(project: Path, night: Path, cell: str) -> None:
    """Both attempts are in the store; the one that was given up does not stand, and says so."""
    import sqlite3

    run = json.loads((night / cell / "results.jsonl").read_text().splitlines()[0])["id"]
    with sqlite3.connect(project / "nights.db") as store:
        rows = store.execute(
            "select a.stands, a.reason, a.worker from attempt a join run r on r.id = a.run_id"
            " where r.name = ?",
            (run,),
        ).fetchall()
    marked = [(reason, worker) for stands, reason, worker in rows if not stands]
    assert len(marked) >= 2
    assert all("given up" in reason for reason, _ in marked)
    assert {worker for _, worker in marked} <= {"a", "b"}


def test_one_killed_and_one_cut_off_with_simulated_guests(tmp_path: Path, keys: Path) -> None:
    project = tmp_path / "project"
    (project / "scenarios").mkdir(parents=True)
    (project / "conftest.py").write_text(CONFTEST)
    text = "schema = 1\n" + "".join(SCENARIO.format(n=n) for n in range(18))
    (project / "scenarios" / "many.toml").write_text(text)
    lab = '[nights.lab]\nsuites.all = { paths = ["scenarios"] }\n'
    with Net(tmp_path, "abc", lambda host: settings(host, keys)) as net:
        boss = net.hosts["boss"]
        (project / "kshs.toml").write_text(settings(boss, keys, lab))
        code, said = boss.run("nightly", "lab", "--out", tmp_path / "one", cwd=project)
        assert code == 1, said
        said = disturbed_night(net, tmp_path, tmp_path / "many")
        cell = "wine.avshs.all.1"
        assert outcome(tmp_path / "many" / cell) == outcome(tmp_path / "one" / cell), said
        assert "1 new finding" in said or "still failing" in said or "0 new" in said, said
        check_accounts(tmp_path / "many", cell)
        check_store(project, tmp_path / "many", cell)
        code, said = boss.run("hosts", "--scheduler", net.url, cwd=project)
        assert code == 0 and said.count("takes leases") == 3, said
        for name in "abc":
            code, said = boss.run("worker", "drain", "--scheduler", net.url, "--host", name, cwd=project)
            assert code == 0, said
        for name in "abc":
            assert net.hosts[name].workers[-1].wait(60) == 0, net.hosts[name].log.read_text()
            assert net.hosts[name].processes() == []
        assert net.left() == []
        assert sorted(p.name for p in (tmp_path / "many").iterdir()) == [
            "leases.jsonl", "night.json", "summary.md", cell,
        ]  # fmt: skip
        junit = (tmp_path / "many" / cell / "junit.xml").read_text()
        assert junit.count("<testcase ") == 18 and junit.count("<failure ") == 1
        assert 'tests="18" failures="1" errors="0"' in junit
    there = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert not any(host.namespace in there for host in net.hosts.values())


@pytest.mark.long
def test_one_killed_and_one_cut_off_with_real_guests(tmp_path: Path, keys: Path) -> None:
    """A handful of scenarios; the image goes from the first host to the others."""
    image.ensure(VmConfig())
    project = tmp_path / "project"
    project.mkdir()
    lab = f"""
[nights.lab.suites.mode]
paths = ["{ROOT}/harness/catalogue/mode.toml"]
rule = ["H5"]
"""
    with Net(tmp_path, "abc", lambda host: real_settings(host, keys)) as net:
        boss = net.hosts["boss"]
        (project / "kshs.toml").write_text(real_settings(boss, keys, lab))
        code, said = boss.run("nightly", "lab", "--out", tmp_path / "one", cwd=project)
        assert code == 0, said
        said = disturbed_night(net, tmp_path, tmp_path / "many", code=0)
        cell = "wine.avshs.mode.1"
        assert outcome(tmp_path / "many" / cell) == outcome(tmp_path / "one" / cell), said
        check_accounts(tmp_path / "many", cell)
        check_store(project, tmp_path / "many", cell)
        for name in "abc":
            boss.run("worker", "drain", "--scheduler", net.url, "--host", name, cwd=project)
        for name in "abc":
            assert net.hosts[name].workers[-1].wait(120) == 0, net.hosts[name].log.read_text()
        assert net.left() == []
        assert {name: net.hosts[name].processes() for name in "abc"} == {"a": [], "b": [], "c": []}
