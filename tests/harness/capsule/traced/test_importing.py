# SPDX-License-Identifier: Apache-2.0
"""A trace in a capsule, imported: judged, made playable, and what is refused of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from drivers import build
from harness import cli
from harness.capsule import archive
from harness.capsule.archive import CapsuleError
from harness.capsule.manifest import Role
from harness.capsule.opened import Capsule
from harness.capsule.scenario_text import read
from harness.capsule.seen import of_records
from harness.capsule.traced.importing import leaks_scenario_of, scenario_of
from harness.capsule.traced.opening import trace_of
from harness.errors import UsageError
from harness.guests.package import LoadedTarget
from harness.language import target as targets
from harness.verdict import Verdict
from tests.harness.capsule.made import package
from tests.harness.capsule.traced.traces import DECLINED, SIZE_ERROR, UNKNOWN, Recorder


def loaded() -> LoadedTarget:
    found, file = targets.find("avshs")
    return LoadedTarget(found, file)


def capsule(path: Path, data: bytes, **changes: Any) -> Path:
    """As ``kshsctl trace save`` writes it: the manifest last, everything stored."""
    said = {
        "schema": 1,
        "kind": "kshs capsule",
        "origin": {"kshs": "kshsctl 1.0.0.0", "started": "2026-11-30T10:00:00Z"},
        "kernel": {"family": "windows", "build": "10.0.19045"},
        "target": {"name": "avshs", "hardware_id": "Root\\KshsAvshs", "service": "avshs"},
        "reason": "it fails after lunch",
        "files": [
            {
                "name": "trace.jsonl",
                "role": "trace",
                "size": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        ],
        **changes,
    }
    archive.write(path, {"trace.jsonl": data, "manifest.json": json.dumps(said).encode()})
    return path


def wrong() -> Recorder:
    """A driver that answers an unknown protocol with another status than rule H9 wants."""
    recorder = Recorder()
    recorder.pin()
    recorder.handshake(one=5)
    recorder.handshake(protocol=UNKNOWN, status="0xc00000bb")
    recorder.handshake(in_length=31, status=SIZE_ERROR)
    return recorder


def test_the_contract_says_which_answer_may_not_be() -> None:
    found = scenario_of(wrong().trace(), loaded(), "relay at ACME")
    assert found.scenario.id == "field.relay-at-acme" and found.scenario.rule == "H9"
    assert found.result.verdict is Verdict.FAILED
    assert found.result.reason is not None and "H9: answer is STATUS_NOT_SUPPORTED" in found.result.reason
    (guilty,) = [step for step in found.result.steps if step.verdict is Verdict.FAILED]
    assert guilty.index == 2
    assert guilty.status_block is not None and guilty.status_block["numbers"] == {
        "answer": 0xC00000BB,
        "returned": 0xC00000BB,
        "status": 0xC00000BB,
        "information": 0,
        "pending": 0,
        "pending_returned": 0,
    }, "of what the trace does not have there is no number that could differ"


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"information": "0x10"}, "H6: information"),
        ({"output": {"protocol": UNKNOWN, "argument1": "0x1", "argument2": "0x0"}}, "H6: protocol"),
        ({"status": "0xc0000001", "returned": "0x0"}, "answer"),
        ({"requestor": "user", "previous": "kernel"}, "H5: answer"),
        ({"in_length": 40}, "H4: answer"),
        ({"pending": True, "returned": "0x103"}, "IoMarkIrpPending"),
    ],
)
def test_what_a_filter_sees_is_judged(keys: dict[str, Any], reason: str) -> None:
    recorder = Recorder()
    recorder.pin()
    recorder.handshake(**keys)
    found = scenario_of(recorder.trace(), loaded(), "x")
    assert found.failed and reason in (found.result.reason or "")


def test_what_a_filter_does_not_see_is_not_judged() -> None:
    """Neither an output that could not be read, nor one whose arguments were addresses."""
    recorder = Recorder()
    recorder.pin()
    recorder.handshake(output=None, output_unread=True)
    output = {**recorder.events[1]["input"], "argument1": "pointer:1", "argument2": "0xffffffffffffffff"}
    recorder.handshake(output=output)
    for event in recorder.events:
        if event.get("output", 1) is None:
            del event["output"]
    found = scenario_of(recorder.trace(), loaded(), "x")
    assert not found.failed, found.result.reason


@pytest.mark.parametrize(
    "keys",
    [
        {"status": None, "information": None, "output": None},
        {"bits": 32, "in_length": 24, "out_length": 24, "requestor": "user", "previous": "user"},
        {"input": None, "input_unread": True, "status": DECLINED, "output": None},
    ],
    ids=["without a status", "of a 32-bit program", "whose input nobody read"],
)
def test_what_nobody_can_know_is_not_judged(keys: dict[str, Any]) -> None:
    recorder = Recorder()
    recorder.pin()
    recorder.handshake(**keys)
    assert not scenario_of(recorder.trace(), loaded(), "a trace").failed


@pytest.mark.parametrize(
    "keys",
    [
        {"bits": 32, "in_length": 31, "requestor": "user", "previous": "user"},
        {"input": None, "input_unread": True, "in_length": 31, "output": None},
    ],
)
def test_a_wrong_length_that_succeeds_is_wrong_whatever_was_in_it(keys: dict[str, Any]) -> None:
    recorder = Recorder()
    recorder.pin()
    recorder.handshake(**keys)
    assert scenario_of(recorder.trace(), loaded(), "a trace").failed


@pytest.mark.parametrize("make", [scenario_of, leaks_scenario_of])
def test_a_trace_of_a_32_bit_kernel_is_refused(make: Any) -> None:
    recorder = Recorder()
    recorder.head = {"pointer_size": 4}
    recorder.pin()
    recorder.handshake(in_length=24, out_length=24)
    with pytest.raises(UsageError, match="32-bit kernel"):
        make(recorder.trace(), loaded(), "a trace")


def test_a_sound_trace_shows_no_failure_and_is_a_scenario_all_the_same() -> None:
    recorder = Recorder()
    recorder.pin()
    recorder.handshake(one=1)
    recorder.handshake(protocol=UNKNOWN, status=DECLINED)
    found = scenario_of(recorder.trace(), loaded(), "x")
    assert not found.failed and len(found.scenario.steps) == 3


def test_what_a_sound_trace_cannot_show_is_looked_at_when_it_is_played() -> None:
    """A filter reads the input before the drivers below do, so whether they left it alone is to be seen."""
    recorder = Recorder()
    recorder.pin()
    recorder.handshake(one=1)
    recorder.handshake(one=1, in_buffer="null")
    found = scenario_of(recorder.trace(), loaded(), "x")
    looked = [getattr(step, "expect", None) for step in found.scenario.steps]
    assert [getattr(expect, "input_intact", None) for expect in looked] == [None, True, None]
    recorder.handshake(protocol=UNKNOWN, status="0xc00000bb")
    found = scenario_of(recorder.trace(), loaded(), "x")
    assert all(
        getattr(step, "expect", "contract") in ("contract", "success") for step in found.scenario.steps
    )


def kshs(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(map(str, words)))
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a capsule, and a package that needs no compiler."""
    found = package(tmp_path)
    monkeypatch.setattr(build, "build", lambda *_, **__: None)
    monkeypatch.setattr(LoadedTarget, "package", lambda self, built: found)
    monkeypatch.chdir(tmp_path)
    return capsule(tmp_path / "acme.capsule", wrong().data())


def test_from_a_trace_to_a_capsule_that_can_be_played(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said, err = kshs(capsys, "capsule", "show", prepared)
    assert (code, err) == (0, "")
    for text in ("it fails after lunch", "verdict   not known", "trace.jsonl", "kshsctl 1.0.0.0"):
        assert text in said
    code, said, err = kshs(capsys, "capsule", "import", prepared, "--out", "in")
    assert (code, err) == (0, "")
    assert "4 steps of acme.capsule" in said and "H9: answer is STATUS_NOT_SUPPORTED" in said
    assert "kshs repro in/acme.played.capsule" in said
    with Capsule(Path("in/acme.played.capsule")) as opened:
        opened.check()
        assert {file.role for file in opened.manifest.files} == {
            Role.SCENARIO,
            Role.TARGET,
            Role.PACKAGE,
            Role.RESULT,
            Role.TRACE,
        }
        (scenario,) = read(opened.text(Role.SCENARIO) or "")
        then = of_records(map(json.loads, (opened.text(Role.RESULT) or "").splitlines()), "capsule")
        assert trace_of(opened)[1] == wrong().data()
    assert opened.manifest.verdict is Verdict.FAILED
    assert scenario.id == "field.acme" and then.cause is not None
    assert then.cause.key == (
        "failed",
        "handshake",
        "H9",
        "answer",
        "STATUS_INVALID_DEVICE_REQUEST",
        "STATUS_NOT_SUPPORTED",
    )
    assert len(then.own_steps) == len(scenario.steps)


def test_a_trace_is_asked_for_leaks_where_that_is_wanted(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its wrong answer is no part of that, and is said to be left out."""
    code, said, err = kshs(capsys, "capsule", "import", prepared, "--out", "in", "--leaks")
    assert (code, err) == (0, "")
    assert "a trace shows no leak" in said and "put on record only" in said
    assert "import it with --leaks" not in said
    with Capsule(Path("in/acme.played.capsule")) as opened:
        opened.check()
        (scenario,) = read(opened.text(Role.SCENARIO) or "")
        then = of_records(map(json.loads, (opened.text(Role.RESULT) or "").splitlines()), "capsule")
    assert opened.manifest.verdict is None and (opened.manifest.reason or "").startswith("a trace shows")
    assert any("each sent 2,000 times" in lack for lack in opened.manifest.lacks)
    assert scenario.id == "field.acme.leaks" and then.cause is None
    assert [step.do for step in scenario.steps].count("counters") == 6
    code, _, err = kshs(capsys, "capsule", "import", "in/acme.played.capsule", "--out", "out", "--leaks")
    assert code == 2 and "--leaks makes one of a trace" in err


def test_where_no_answer_is_wrong_it_says_that_leaks_can_be_asked_for(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = Recorder()
    recorder.pin()
    recorder.handshake()
    sound = capsule(prepared.with_name("sound.capsule"), recorder.data())
    assert "import it with --leaks" in kshs(capsys, "capsule", "import", sound, "--out", "in")[1]
    assert "import it with --leaks" not in kshs(capsys, "capsule", "import", prepared, "--out", "out")[1]


def test_a_refused_open_alone_is_played() -> None:
    """What it leaves behind is looked at behind every scenario."""
    recorder = Recorder()
    recorder.pin(status="0xc0000225", returned="0xc0000225")
    (step,) = scenario_of(recorder.trace(), loaded(), "x").scenario.steps
    assert step.do == "open_pin" and step.expect == "record"


def test_user_mode_s_wrong_length_that_succeeds_is_a_failure() -> None:
    """It breaks H4 and H5 at once: which of them refuses it is open, and that one does is not."""
    user = {"requestor": "user", "previous": "user", "irp_flags": "0x5", "in_length": 56}
    recorder = Recorder()
    recorder.pin(requestor="user", previous="user", irp_flags="0x5")
    recorder.handshake(status=SIZE_ERROR, **user)
    recorder.handshake(status=DECLINED, **user)
    assert not scenario_of(recorder.trace(), loaded(), "x").failed
    recorder.handshake(**user)
    found = scenario_of(recorder.trace(), loaded(), "x")
    assert "H5: answer is STATUS_SUCCESS (0x00000000), expected any error" in (found.result.reason or "")


def test_nothing_is_replaced_and_what_is_no_route_is_said(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kshs(capsys, "capsule", "import", prepared, "--out", "in", "--route", "apc")[0] == 2
    assert kshs(capsys, "capsule", "import", prepared, "--out", "in", "--route", "call")[0] == 0
    code, _, err = kshs(capsys, "capsule", "import", prepared, "--out", "in")
    assert code == 2 and "nothing is replaced" in err
    assert 'route = "call"' in Path("in/scenario.toml").read_text()


@pytest.mark.parametrize(
    ("data", "changes", "why"),
    [
        (b"{}\n", {}, "line 1 of the trace is none"),
        (Recorder().data(), {}, "nothing in the trace can be played"),
        (b"x", {"files": []}, "trace.jsonl is in the zip only"),
    ],
)
def test_what_cannot_be_played_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, changes: dict[str, Any], why: str
) -> None:
    made = capsule(tmp_path / "odd.capsule", data, **changes)
    code, out, err = kshs(capsys, "capsule", "import", made, "--out", tmp_path / "in")
    assert code == 2 and why in err and "Traceback" not in err + out
    assert err.count("\n") <= 2
    assert "odd.capsule: " in err and err.rstrip().endswith(")"), "where it is, and what to do"


def test_a_package_that_cannot_be_deployed_is_said(tmp_path: Path, prepared: Path) -> None:
    from harness.capsule.traced.opening import make_playable

    data, extra = wrong().data(), b"not a driver"
    made = capsule(tmp_path / "with.capsule", data)
    with Capsule(made) as opened:
        said = opened.manifest.model_dump(mode="json", by_alias=True)
    said["files"].append(
        {
            "name": "package/relay.inf",
            "role": "package",
            "size": len(extra),
            "sha256": hashlib.sha256(extra).hexdigest(),
        }
    )
    archive.write(
        made, {"trace.jsonl": data, "package/relay.inf": extra, "manifest.json": json.dumps(said).encode()}
    )
    found = loaded()
    with Capsule(made) as opened:
        played = make_playable(opened, found, lambda: found.package(None), tmp_path / "p.capsule")  # type: ignore[arg-type]
    assert any("its package cannot be deployed" in remark for remark in played.imported.remarks)


def test_a_capsule_without_a_trace_has_none(tmp_path: Path) -> None:
    made = capsule(tmp_path / "none.capsule", b"x", files=[])
    with pytest.raises(CapsuleError):
        Capsule(made)
