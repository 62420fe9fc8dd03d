# SPDX-License-Identifier: Apache-2.0
"""A set-up that was interrupted or has failed goes on, begins afresh, or is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.vm.windows import test_strategy
from tests.vm.windows.test_strategy import (
    FIRST,
    GOOD,
    Bench,
    PlayedMachine,
)
from vm.windows import plan, strategy, tpm

#: Fixtures of the tests beside these.
bench = test_strategy.bench
what = test_strategy.what


def test_a_failed_step_is_tried_again_on_the_same_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.fails([*FIRST, "say:start 1", "say:failed agent 5", "say:log-begin agent", "say:log-end agent"])
    before = (bench.work / "disk.qcow2").stat().st_ino
    files = (bench.work / "provisioning.iso").read_bytes()
    bench.said.clear()
    disks: list[int] = []
    discs: list[bytes] = []

    def look(_machine: PlayedMachine) -> None:
        if (bench.work / "state.json").exists() and not disks:
            disks.append((bench.work / "disk.qcow2").stat().st_ino)
            discs.append((bench.work / "provisioning.iso").read_bytes())

    monkeypatch.setattr(PlayedMachine, "resume", look)
    bench.make(["say:start 2", "say:sealed", "off"], resume=True)
    assert disks == [before]
    assert discs == [files], "the same keys"
    assert not any("installing" in text for text in bench.said)


@pytest.mark.parametrize("reachable", [True, False])
def test_what_is_gone_on_from_is_shut_down_in_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, reachable: bool
) -> None:
    """What a guest wrote last may be in its memory alone: the Run key that goes on with provisioning, say."""
    asked: list[tuple[PlayedMachine, bool]] = []

    def turn_off(machine: PlayedMachine, *_: object) -> bool:
        asked.append((machine, machine.ended_by_us))
        return reachable

    monkeypatch.setattr(strategy, "turn_off", turn_off)
    bench.fails([*FIRST, "say:start 1", "say:failed agent 5", "say:log-begin agent", "say:log-end agent"])
    assert asked == [(PlayedMachine.made[0], False)], "while it still ran"
    assert any("cut off" in text for text in bench.said) is not reachable

    asked.clear()
    bench.fails([*FIRST, "killed"])
    assert asked == [], "it is installed again"


def _interrupted(bench: Bench, script: list[str]) -> dict[str, Any]:
    with pytest.raises(KeyboardInterrupt):
        bench.make([*script, "ctrl-c"])
    found: dict[str, Any] = json.loads((bench.work / "state.json").read_text())
    return found


def test_an_interrupted_setup_goes_on_where_it_was(bench: Bench) -> None:
    record = _interrupted(bench, [*FIRST, "say:start 1", "torn:\r\nKSHS 1 beg"])
    assert record["saved"] and record["state"] == "provisioning"
    bench.make(["torn:in agent\r\n", "say:sealed", "off"], resume=True)
    machine = PlayedMachine.made[0]
    assert machine.incoming and machine.loaded == b"memory"


def test_what_was_lost_with_the_machine_begins_afresh(bench: Bench) -> None:
    record = _interrupted(bench, ["-"])
    assert record["state"] == "installing"
    (bench.work / "saved.state").unlink()
    record["saved"] = False
    (bench.work / "state.json").write_text(json.dumps(record))
    bench.make(GOOD, resume=True)
    assert not PlayedMachine.made[0].incoming


@pytest.mark.parametrize("change", ["nothing begun", "another agent"])
def test_resume_refuses(bench: Bench, change: str, tmp_path: Path) -> None:
    refused: Callable[[], object] = lambda: bench.make(GOOD, resume=True)  # noqa: E731
    if change == "another agent":
        bench.fails(["killed"])
        agent = tmp_path / "other.exe"
        agent.write_bytes(b"MZ other")
        request = plan.Request(
            bench.what.request.profile, bench.what.request.iso, agent, sha256=bench.what.medium.sha256
        )
        bench.what = plan.make(request)
    with pytest.raises(strategy.VmError, match="leave out --resume"):
        refused()


def test_a_sealed_guest_is_replaced_only_when_asked(bench: Bench, tmp_path: Path) -> None:
    bench.make(GOOD)
    agent = tmp_path / "other.exe"
    agent.write_bytes(b"MZ other")
    request = plan.Request(
        bench.what.request.profile, bench.what.request.iso, agent, sha256=bench.what.medium.sha256
    )
    bench.what = plan.make(request)
    with pytest.raises(strategy.VmError, match="--rebuild"):
        bench.make(GOOD)
    assert bench.make(GOOD, rebuild=True).digest == bench.what.digest


def test_the_tpm_goes_into_the_image_with_the_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    request = replace(bench.what.request, profile=bench.what.profile.model_copy(update={"tpm": True}))
    bench.what = replace(bench.what, request=request, inputs={**bench.what.inputs, "tpm": True})
    kept: list[bytes] = []

    class WithTpm(PlayedMachine):
        """Looks at the TPM that the machine is given, and uses it."""

        def __enter__(self) -> PlayedMachine:
            state = bench.work / "tpm" / tpm.STATE_FILE
            kept.append(state.read_bytes())
            state.write_bytes(state.read_bytes() + b"used")
            return self

    monkeypatch.setattr(strategy, "Machine", WithTpm)
    image = bench.make(GOOD)
    assert (image.tpm / tpm.STATE_FILE).read_bytes() == kept[0] + b"used", "what Windows left in it"
    assert sorted(path.name for path in image.tpm.iterdir()) == [tpm.STATE_FILE]
    found = hashlib.sha256((image.tpm / tpm.STATE_FILE).read_bytes()).hexdigest()
    assert image.manifest["tpm"] == {"swtpm": tpm.version(), "sha256": found}
