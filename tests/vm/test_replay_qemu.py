# SPDX-License-Identifier: Apache-2.0
"""Which QEMU replays, and how the machine that is recorded is described."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from vm import reaper, replay_qemu, slots
from vm.config import VmConfig
from vm.errors import VmError
from vm.files import write_json
from vm.image import Image
from vm.recorded_machine import Life, Machine, arguments
from vm.recorder import recording, replaying
from vm.replay_qemu import ReplayQemu, new_enough

FAKE = Path(__file__).with_name("fake_qemu.py")


def fake(folder: Path, version: str = "10.0.2 (Debian 1:10.0.2)") -> Path:
    """A program that says that it is QEMU of this version."""
    program = folder / "qemu-system-x86_64"
    shutil.copy(FAKE, program)
    (folder / "qemu-system-x86_64.version").write_text(version)
    return program


def image(folder: Path) -> Image:
    return Image("ab" * 32, folder / "image", {"family": "wine"})


@pytest.mark.parametrize(
    ("said", "enough"),
    [
        ("7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)", False),
        ("9.2.4", False),
        ("10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)", True),
        ("10.1.0-rc2", True),
        ("11.0", True),
        ("none", False),
    ],
)
def test_versions(said: str, enough: bool) -> None:
    assert new_enough(said) is enough


def test_the_hosts_own_where_it_is_new_enough(tmp_path: Path) -> None:
    config = VmConfig(cache_dir=tmp_path / "cache", qemu=str(fake(tmp_path)))
    found = replay_qemu.ensure(config)
    assert (found.root, found.version) == (None, "10.0.2 (Debian 1:10.0.2)")
    fake(tmp_path, "7.2.22")
    assert replay_qemu.of_host(config) is None and replay_qemu.unpacked(config) is None


def test_the_one_of_the_cache_else(tmp_path: Path) -> None:
    config = VmConfig(cache_dir=tmp_path / "cache", qemu=str(fake(tmp_path, "7.2.22")))
    (place := replay_qemu._place(config)).mkdir(parents=True)
    write_json(place / "manifest.json", {"version": "10.0.13"})
    found = replay_qemu.ensure(config)
    assert found == ReplayQemu(place / "root/usr/bin/qemu-system-x86_64", "10.0.13", place / "root")
    assert f"QEMU {place.name}" in reaper.clean(config) and replay_qemu.unpacked(config) is None


def test_no_program_at_all(tmp_path: Path) -> None:
    assert replay_qemu.of_host(VmConfig(cache_dir=tmp_path, qemu="/nonexistent/qemu")) is None


def test_a_replay_differs_from_its_recording_in_what_is_logged_alone(tmp_path: Path) -> None:
    record = Life(recording(tmp_path / "log"), tmp_path / "d", tmp_path, 2222, "base")
    replay = Life(replaying(tmp_path / "log"), tmp_path / "d", tmp_path)
    first, second = (arguments(image(tmp_path), 448, "x", tmp_path / "m", life) for life in (record, replay))
    assert first[-2:] == ["-loadvm", "base"]
    differing = [(one, other) for one, other in zip(first[:-2], second, strict=True) if one != other]
    assert differing == [
        ("user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:2222-:22", "user,id=net0,restrict=on"),
        (record.icount, replay.icount),
    ]
    assert re.search(r"rr=record,rrfile=\S+/log$", record.icount)
    assert replay.icount == record.icount.replace("rr=record", "rr=replay") + ",rrsnapshot=base"


def test_nothing_that_the_log_cannot_hold(tmp_path: Path) -> None:
    words = arguments(image(tmp_path), 448, "x", tmp_path / "m", Life("i", tmp_path / "a,b", tmp_path))
    text = " ".join(words)
    assert words[words.index("-smp") + 1] == "1" and "kvm" not in text and "virtio-rng" not in text
    # Every disk and every network behind a filter of the log.
    assert text.count("if=none,id=direct") == text.count("driver=blkreplay") == 1
    assert text.count("-netdev") == text.count("filter-replay") == 1
    assert f"file={tmp_path}/a,,b,format=qcow2" in text


def test_a_machine_that_does_not_start(tmp_path: Path) -> None:
    write_json(tmp_path / "fake.json", {"steps": [1], "consoles": {}, "exit": 0, "refuses": "no room for it"})
    qemu = ReplayQemu(fake(tmp_path), "10")
    life = Life(replaying(tmp_path / "log"), tmp_path / "d", tmp_path)
    with pytest.raises(VmError, match="QEMU does not start: no room for it"):
        Machine(qemu, image(tmp_path), 448, "x", tmp_path, life)


def test_it_is_known_as_a_guest_of_its_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is started: what a killed run leaves must be found."""
    write_json(tmp_path / "fake.json", {"steps": [1], "consoles": {}, "exit": None})
    life = Life(replaying(tmp_path / "log"), tmp_path / "d", tmp_path)
    with Machine(ReplayQemu(fake(tmp_path), "10"), image(tmp_path), 448, "x", tmp_path, life) as machine:
        # The fake is a script: its interpreter is what /proc shows first.
        monkeypatch.setattr(slots, "_MACHINE", "python")
        assert list(slots.machines(tmp_path)) == [(machine.pid, "x")]
        assert machine.state() == "running" and machine.instructions == 1
    assert machine.ended
