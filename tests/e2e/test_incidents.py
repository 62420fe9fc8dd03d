# SPDX-License-Identifier: Apache-2.0
"""Crashes and hangs in a long run: each on its own request, with its evidence, and all else as ever."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from harness.bench.incidents import COUNT, CRASHES, HANGS, route, scenarios
from harness.config import Config
from harness.evidence.incidents import FACTS
from harness.guests.package import find_target
from harness.guests.provider import VmGuest, VmProvider
from tests.e2e.command import RUN_TIMEOUT, command_line, environment, run
from tests.settings import vm_settings

pytestmark = pytest.mark.e2e


@pytest.mark.long
def test_a_run_goes_on_through_crashes_and_hangs(tmp_path: Path) -> None:
    file = tmp_path / "many.scenario.toml"
    file.write_text(scenarios())
    ran = run(tmp_path / "out", file)
    assert ran.exit_code == 1, ran.output
    expected = {
        f"many.s{n:03}": "crashed" if n in CRASHES else "hung" if n in HANGS else "passed"
        for n in range(COUNT)
    }
    records = {record["id"]: record for record in ran.of_kind("scenario")}
    assert {name: record["verdict"] for name, record in records.items()} == expected
    assert len(CRASHES) == 10 and len(HANGS) == 5
    for number in CRASHES | HANGS:
        record = records[f"many.s{number:03}"]
        facts = json.loads((ran.out / record["incident"] / FACTS).read_bytes())
        assert facts["scenario"]["id"] == record["id"]
        assert facts["verdict"] == record["verdict"]
        assert facts["in_flight"]["what"] == f"handshake source by {route(number)} from kernel mode"
        assert facts["in_flight"]["request"]["argument1"] == f"0x{number:X}"
        assert {"session.log", "kernel.log", "records.jsonl", "serial.log"} <= set(facts["files"]), facts
        words = "about to wait for ever" if number in HANGS else "about to write through NULL"
        assert any(words in line for line in record["said"]), record
        if number in HANGS:
            assert any("avshs.sys!" in line and "NeverReturn" in line for line in record["evidence"]), record
    assert all(record["incident"] is None for n, record in records.items() if expected[n] == "passed")
    page = (ran.out / "report.html").read_text()
    assert records["many.s015"]["incident"] in page


def test_the_short_self_test_passes(tmp_path: Path) -> None:
    selftest(tmp_path, "--short")


@pytest.mark.long
def test_the_whole_self_test_passes(tmp_path: Path) -> None:
    selftest(tmp_path)


def selftest(tmp_path: Path, *arguments: str) -> None:
    done = subprocess.run(
        command_line("selftest", "--out", tmp_path / "out", *arguments),
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "out" / "selftest.json").read_bytes())
    assert told["ok"] and told["cases"], told
    for case in told["cases"]:
        assert case["ok"] and not case["problems"], case
        assert case["name"] in (tmp_path / "out" / "selftest.html").read_text()


def test_the_hypervisor_writes_a_guests_memory(tmp_path: Path) -> None:
    """As it does of a Windows guest that crashed; QEMU has no Windows crash dump of this one."""
    provider = VmProvider(vm_settings(), find_target("avshs", Config()))
    try:
        provider.prepare(lambda text: None)
        guest = provider.acquire()
        assert isinstance(guest, VmGuest)
        try:
            assert guest.lease.dump_memory(tmp_path / "memory.dmp") == "kdump, zlib"
        finally:
            guest.close()
        with (tmp_path / "memory.dmp").open("rb") as dump:
            assert dump.read(12) in (b"makedumpfile", b"KDUMP   \x06\0\0\0")
    finally:
        provider.close()
