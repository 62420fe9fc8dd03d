# SPDX-License-Identifier: Apache-2.0
"""What needs no guest of the self-test: its cases, its table, its command."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from drivers import abi
from harness.agent.frames import FrameParser, Log
from harness.commands import selftest as command
from harness.config import Config
from harness.errors import UsageError
from harness.guests.package import find_target
from harness.planning.plan import plan
from harness.selftest import agents, report
from harness.selftest.case import Finding
from harness.selftest.cases import cases
from harness.verdict import Verdict

ABI = abi.load()
CASES = cases(ABI)

#: What docs/guests.md, "Self-test", promises.
PROMISED = {
    "crash", "bugcheck", "hang", "endless-loop", "pool-corruption", "lost-ssh", "killed-qemu", "stopped-qemu",
    "full-disk", "agent-garbage", "agent-floods", "agent-half-a-frame", "agent-lying-frame",
    "agent-lying-record", "clock-jump", "lost-libvirt", "out-of-memory",
}  # fmt: skip


def finding(**more: object) -> Finding:
    base = {
        "name": "crash",
        "what": "it crashes",
        "expected": ("crashed",),
        "verdict": "crashed",
        "reason": "why",
        "struck": "handshake",
        "incident": "incidents/x/y",
        "pieces": ("a.log",),
        "continued": "on a fresh guest",
        "problems": (),
        "seconds": 1.0,
    }
    return Finding(**{**base, **more})  # type: ignore[arg-type]


def test_every_promised_misfortune_is_a_case() -> None:
    assert {case.name for case in CASES} == PROMISED
    assert {case.name for case in CASES if case.short} == {"crash", "hang", "killed-qemu", "agent-garbage"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_can_be_sent_and_says_what_must_come_of_it(case: object) -> None:
    assert isinstance(case, type(CASES[0]))
    plan(case.scenario, find_target("avshs", Config()).target)
    if Verdict.PASSED not in case.verdicts:
        assert case.says, "any reason would do"
    # dropbear takes command lines of 9,000 bytes.
    assert case.agent is None or len(case.agent) < 9000


def test_the_frames_of_a_liar_are_what_they_are_said_to_be() -> None:
    """The flood is well-formed, so that nothing but its amount is wrong."""
    script = shlex.split(agents.flood(ABI))[-1]
    octal = script.partition("printf '")[2].partition("'")[0]
    frame = bytes(int(part, 8) for part in octal.split("\\")[1:])
    found = list(FrameParser(ABI).feed(frame))
    assert [type(one) for one in found] == [Log]


def test_the_page_escapes_what_a_guest_says(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\ud800"
    about = {"version": "1", "guest": "wine", "started": "now", "seconds": 1, "short": False, "host": {}}
    report.write([finding(reason=evil, problems=(evil,), name=evil)], tmp_path, about)
    page = (tmp_path / report.HTML).read_text("utf-8")
    assert "<script>" not in page and "&lt;script&gt;" in page
    told = json.loads((tmp_path / report.JSON).read_bytes())
    assert told["ok"] is False and told["cases"][0]["problems"] == [evil]


def test_a_case_that_is_not_there_is_told() -> None:
    with pytest.raises(UsageError, match=r"there is no case 'crush'.*cases: crash, "):
        command._chosen(CASES, short=False, only=["crush"])
    assert [case.name for case in command._chosen(CASES, short=True, only=["crash", "bugcheck"])] == ["crash"]
