# SPDX-License-Identifier: Apache-2.0
"""A step that goes by the user's target file and fails names the place there, and blames neither side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivers.abi import load as load_abi
from harness.agent.frames import Record
from harness.language import target
from harness.language.model import Scenario, Target
from harness.planning.plan import plan
from harness.planning.planned import PlannedStep
from harness.running.step_result import judge_step
from harness.verdict import Verdict

C = load_abi().constants
NO_MATCH, NO_SUCH_DEVICE, DECLINED = 0xC0000272, 0xC000000E, 0xC0000010
TEXT = """\
schema = 1
name = "bridge"
package = "package"
hardware_id = 'Root\\Bridge'
service = "Bridge"
category = "6994AD05-93EF-11D0-A3CC-00A0C9223196"

[protocols]
sync = "C5E1B4F2-8D07-4C7B-9A53-2F6E01D9A7B4"

[format]
major = "73646976-0000-0010-8000-00AA00389B71"
sub = "32595559-0000-0010-8000-00AA00389B71"

[[pin]]
id = 0
name = "source"
flow = "out"
accepts = ["sync"]

[[pin]]
id = 1
name = "sink"
flow = "in"
accepts = ["sync"]
format.major = "73646976-0000-0010-8000-00AA00389B71"
format.sub = "59565955-0000-0010-8000-00AA00389B71"
"""
HANDSHAKE = {"do": "handshake", "on": "source"}


@pytest.fixture
def bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    monkeypatch.chdir(tmp_path)
    Path("bridge.toml").write_text(TEXT, "utf-8")
    return target.load(Path("bridge.toml"))


def steps(of: Target, *steps: dict[str, Any], opened: str = "source") -> tuple[PlannedStep, ...]:
    table = {"id": "x", "title": "a title", "rule": "H6", "open": [opened], "steps": list(steps)}
    return plan(Scenario.model_validate(table), of).steps


def named(planned: tuple[PlannedStep, ...], words: str) -> PlannedStep:
    return next(step for step in planned if step.what.startswith(words))


def answered(step: PlannedStep, status: int, outcome: str = "DONE") -> tuple[Verdict, str]:
    """Judged as if the guest had answered so."""
    values = dict.fromkeys(Record.__dataclass_fields__, 0)
    refused = outcome == "REFUSED"
    values |= {
        "outcome": C[f"KSHS_OUTCOME_{outcome}"],
        "detail": status if refused else 0,
        "returned": status,
    }
    result, _ = judge_step(0, step, Record(**{**values, "data": b""}))  # type: ignore[arg-type]
    return result.verdict, result.reason or ""


def test_a_pin_that_cannot_be_opened(bridge: Target) -> None:
    verdict, reason = answered(named(steps(bridge, HANDSHAKE), "open pin source"), NO_MATCH)
    assert verdict is Verdict.FAILED
    assert reason == (
        "setup: answer is STATUS_NO_MATCH (0xC0000272), expected any success; if the driver is right, "
        "the target file may be wrong: bridge.toml:16: pin[0].id, bridge.toml:11: format"
    )


def test_a_format_of_the_pins_own(bridge: Target) -> None:
    planned = steps(bridge, {**HANDSHAKE, "on": "sink"}, opened="sink")
    _, reason = answered(named(planned, "open pin sink"), NO_MATCH)
    assert reason.endswith(": bridge.toml:22: pin[1].id, bridge.toml:26: pin[1].format")


def test_a_category_in_which_nothing_is(bridge: Target) -> None:
    verdict, reason = answered(named(steps(bridge, HANDSHAKE), "open filter"), NO_SUCH_DEVICE, "REFUSED")
    assert verdict is Verdict.ERROR
    assert reason.endswith("; if the driver is right, the target file may be wrong: bridge.toml:6: category")


def test_a_protocol_that_the_pin_declines(bridge: Target) -> None:
    verdict, reason = answered(named(steps(bridge, HANDSHAKE), "handshake"), DECLINED)
    assert verdict is Verdict.FAILED
    assert reason.startswith("H9: answer is STATUS_INVALID_DEVICE_REQUEST")
    assert reason.endswith("bridge.toml:9: protocols.sync, bridge.toml:19: pin[0].accepts")


def test_a_protocol_by_started_requests(bridge: Target) -> None:
    _, reason = answered(named(steps(bridge, {**HANDSHAKE, "threads": 2}), "wait for"), DECLINED)
    assert "bridge.toml:9: protocols.sync" in reason


@pytest.mark.parametrize(
    ("step", "status", "outcome", "what"),
    [
        # H4 is broken whatever the file says of protocols.
        ({**HANDSHAKE, "in_length": 0}, DECLINED, "DONE", "handshake"),
        # A protocol that is in no file.
        ({**HANDSHAKE, "protocol": "unknown"}, 0, "DONE", "handshake"),
        # What the scenario expects is not in the target file either.
        ({**HANDSHAKE, "expect": {"answer": "STATUS_NO_MATCH"}}, DECLINED, "DONE", "handshake"),
        # The open was not even tried: not for what the file says.
        (HANDSHAKE, 0xC0000008, "REFUSED", "open pin"),
        # Of how many filters there are the file says nothing.
        ({"do": "open_filter", "name": "second", "index": 1}, NO_SUCH_DEVICE, "REFUSED", "open filter 1"),
    ],
)
def test_the_file_is_not_named_for_what_it_does_not_say(
    bridge: Target, step: dict[str, Any], status: int, outcome: str, what: str
) -> None:
    verdict, reason = answered(named(steps(bridge, step), what), status, outcome)
    assert verdict is not Verdict.PASSED
    assert reason and "bridge.toml" not in reason


def test_the_sample_target_is_not_the_users() -> None:
    sample, _ = target.find("avshs")
    _, reason = answered(named(steps(sample, HANDSHAKE), "open pin source"), NO_MATCH)
    assert reason == "setup: answer is STATUS_NO_MATCH (0xC0000272), expected any success"
