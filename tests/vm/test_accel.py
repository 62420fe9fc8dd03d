# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from vm import accel
from vm.commands import require
from vm.config import VmConfig
from vm.errors import VmError
from vm.files import read_json, write_json


@pytest.fixture
def config(tmp_path: Path) -> VmConfig:
    return VmConfig(cache_dir=tmp_path / "cache")


def host(tmp_path: Path, flags: str) -> tuple[Path, Path]:
    device, cpuinfo = tmp_path / "kvm", tmp_path / "cpuinfo"
    device.touch()
    cpuinfo.write_text(f"processor : 0\nflags\t\t: fpu {flags} sse2\n")
    return device, cpuinfo


@pytest.mark.component
def test_the_trial_guest_runs_to_its_end_under_tcg(config: VmConfig) -> None:
    trial = accel.trial(accel.assemble(config), "tcg", require(config.qemu), seconds=20)
    assert trial.passed, trial.complaint
    assert trial.reached == "the end"


@pytest.mark.component
def test_a_guest_that_stops_on_the_way_does_not_pass(config: VmConfig) -> None:
    """The ROM with its jump to long mode replaced by a halt: what a lying accelerator looks like."""
    rom = accel.assemble(config)
    content = rom.read_bytes()
    stage = content.index(b"\xb0\x33\xe6\xe9")
    broken = rom.with_name("broken.rom")
    broken.write_bytes(content[:stage] + b"\xf4\xeb\xfd" + content[stage + 3 :])
    trial = accel.trial(broken, "tcg", require(config.qemu), seconds=1)
    assert not trial.passed
    assert trial.reached == "protected mode"


def test_a_device_without_processor_flags_is_not_believed(config: VmConfig, tmp_path: Path) -> None:
    found = accel._detect(config, *host(tmp_path, ""))
    assert found.kind == "tcg"
    assert "neither vmx nor svm" in found.reason
    assert accel._detect(config, tmp_path / "none").reason == f"there is no {tmp_path / 'none'}"


@pytest.mark.component
def test_with_flags_the_trial_decides_and_is_remembered(
    config: VmConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def trial(rom: Path, kind: str, emulator: str, seconds: float = 2) -> accel.Trial:
        tried.append(kind)
        return accel.Trial(kind == "tcg", "real mode", 0.1, "")

    monkeypatch.setattr(accel, "trial", trial)
    faked = host(tmp_path, "vmx")
    for _ in range(2):
        found = accel._detect(config, *faked)
        assert found == accel.Accelerator("tcg", "a trial guest under KVM got no further than real mode")
    assert tried == ["tcg", "kvm"]
    cache = config.cache_dir / "accelerator.json"
    known = read_json(cache)
    assert known is not None
    write_json(cache, {**known, "passed": True})
    assert accel._detect(config, *faked).kind == "kvm"
    write_json(cache, {**known, "passed": True, "key": {**known["key"], "boot": "another"}})
    assert accel._detect(config, *faked).kind == "tcg"


def test_the_configuration_can_demand_one(config: VmConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert accel.probe(config.model_copy(update={"accelerator": "tcg"})).kind == "tcg"
    monkeypatch.setattr(accel, "_detect", lambda _config: accel.Accelerator("tcg", "no flags"))
    with pytest.raises(VmError, match="KVM is demanded and does not work: no flags"):
        accel.probe(config.model_copy(update={"accelerator": "kvm"}))
