# SPDX-License-Identifier: Apache-2.0
"""A crash's result carries its evidence and its signature; what is no driver's crash carries neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.evidence.signature import Crash, signature_of
from harness.guests import DriverFiles, Evidence
from harness.results.cause import cause_of
from harness.results.record import scenario_records
from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import C, FakeProvider
from tests.harness.running.conftest import MakeRunner
from tests.harness.running.scenarios import scenario
from tests.harness.running.test_whose_crash import DRIVERS, telling

LOST = Answer(record={"outcome": C["KSHS_OUTCOME_LOST"], "detail": 0xC000014B})
WRITE: dict[str, Any] = {
    **DRIVERS,
    "access": "write",
    "stack": [{"address": "0x5", "module": "y.sys", "offset": "0x2345"}, {"address": "0x6"}, "torn"],
}


def test_a_record_becomes_evidence_and_key(make_runner: MakeRunner) -> None:
    result = make_runner(FakeProvider(bend=telling(LOST, WRITE))).run(scenario(), file="t.toml")
    assert result.verdict is Verdict.CRASHED
    assert result.signature is not None
    assert result.signature["text"] == "exception 0xc0000005|write|x.sys+0x0~|in handshake"
    crash = Crash.of(result.crash)
    assert crash is not None
    assert [(frame.module, frame.offset) for frame in crash.frames] == [("x.sys", 0x10), ("y.sys", 0x2345)]
    # It goes through the records, and groups them.
    head, *steps = json.loads(json.dumps(list(scenario_records(result, order=0, worker="gw0"))))
    assert signature_of(head["signature"], head["crash"]) == signature_of(None, head["crash"])
    cause = cause_of(head, steps)
    assert cause is not None
    assert cause.words == "crash: exception 0xc0000005, write, x.sys+0x0~, in handshake"
    elsewhere = cause_of({**head, "reason": "another step: at x.sys+0x20"}, steps)
    assert elsewhere is not None and elsewhere.key == cause.key


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("err:ntoskrnl:KeBugCheckEx 000000C4 62 2 3 4", "stop 0xc4|0x62|the driver is unloaded with pool"),
        ("0024:err:ntoskrnl:KeBugCheckEx 000000D1 10 2 1 FFFFF80100001234", "stop 0xd1|write|in handshake"),
        ("err:ntoskrnl:KeBugCheckEx 000000DE", "stop 0xde|in handshake"),
    ],
)
def test_a_bugchecks_line_becomes_a_key(make_runner: MakeRunner, line: str, text: str) -> None:
    provider = FakeProvider(bend=telling(LOST), evidence=Evidence(driver=(line,)))
    result = make_runner(provider).run(scenario(), file="t.toml")
    assert result.signature is not None and result.signature["text"].startswith(text)


def test_a_bugchecks_record_has_its_code(make_runner: MakeRunner) -> None:
    record = {"kind": "bugcheck", "process": "winedevice.exe", "code": "0xe2"}
    result = make_runner(FakeProvider(bend=telling(LOST, record))).run(scenario(), file="t.toml")
    assert result.signature is not None and result.signature["text"] == "stop 0xe2|in handshake"


def test_a_bugchecks_record_gets_the_parameters_that_wine_has_said(make_runner: MakeRunner) -> None:
    """Else two stops of Driver Verifier's would have one key."""
    record = {"kind": "bugcheck", "process": "winedevice.exe", "code": "0xc4"}
    keys = []
    for violation in ("62", "81006"):
        told = Evidence(
            driver=(
                "bugcheck 0xc4 in winedevice.exe",
                "0144:err:ntoskrnl:KeBugCheckEx d1 1 2 3 4",
                f"0144:err:ntoskrnl:KeBugCheckEx c4 {violation} 2 3 4",
            )
        )
        provider = FakeProvider(bend=telling(LOST, record), evidence=told)
        result = make_runner(provider).run(scenario(), file="t.toml")
        assert result.signature is not None
        keys.append(result.signature["text"])
    assert keys[0].startswith("stop 0xc4|0x62|the driver is unloaded with pool")
    assert keys[1].startswith("stop 0xc4|0x81006|rule ")


@pytest.mark.parametrize(
    "provider",
    [
        FakeProvider(),
        FakeProvider(bend=telling(LOST)),
        FakeProvider(bend=telling(LOST, {**DRIVERS, "code": "0x80000100"})),
        FakeProvider(bend=telling(LOST, {**DRIVERS, "code": 1.5, "fault": [], "stack": {"a": 1}})),
    ],
    ids=["passed", "nothing on record", "Wine's lack", "a record without a code"],
)
def test_what_has_no_key(make_runner: MakeRunner, provider: FakeProvider) -> None:
    result = make_runner(provider).run(scenario(), file="t.toml")
    assert (result.crash, result.signature) == (None, None)


def test_files_that_nobody_can_read_cost_no_key(
    make_runner: MakeRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "x.sys"
    image.write_bytes(b"MZ" + bytes(100))
    (tmp_path / "x.pdb").write_bytes(b"Microsoft C/C++ MSF 7.00\r\n\x1aDS" + bytes(100))
    provider = FakeProvider(bend=telling(LOST, WRITE))
    files = DriverFiles({"x.sys": image, "gone.sys": tmp_path / "gone.sys"}, (tmp_path,))
    monkeypatch.setattr(provider, "driver_files", lambda: files, raising=False)
    result = make_runner(provider).run(scenario(), file="t.toml")
    assert result.signature is not None
    assert result.signature["text"] == "exception 0xc0000005|write|x.sys+0x0~|in handshake"


def test_a_jump_to_nowhere_is_told_by_its_caller(make_runner: MakeRunner) -> None:
    nowhere = {**WRITE, "fault": {"address": "0x0", "module": None, "offset": None}}
    result = make_runner(FakeProvider(bend=telling(LOST, nowhere))).run(scenario(), file="t.toml")
    assert result.signature is not None
    assert result.signature["text"] == "exception 0xc0000005|write|no module|y.sys+0x2300~|in handshake"
