# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vm import commands, doctor, slots
from vm.errors import VmError
from vm.windows import tpm


@pytest.fixture
def slot() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kshs-t") as folder:  # short: socket paths are limited
        yield Path(folder)
        slots.end_helpers(f"{folder}/")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("made") / "tpm"
    tpm.manufacture(state)
    return state


def processes(slot: Path) -> list[int]:
    mark = f"{slot}/".encode()
    return [pid for pid, line in slots._processes() if mark in b"\0".join(line)]


def test_each_new_tpm_is_another(made: Path, tmp_path: Path) -> None:
    tpm.manufacture(tmp_path / "tpm")
    assert [path.name for path in made.iterdir() if path.name != ".lock"] == [tpm.STATE_FILE]
    assert (tmp_path / "tpm" / tpm.STATE_FILE).read_bytes() != (made / tpm.STATE_FILE).read_bytes()
    assert made.stat().st_mode & 0o077 == 0, "its seeds are secrets"
    assert tpm.version()[0].isdigit()


def test_a_copy_has_the_same_state_and_replaces_what_was_there(made: Path, tmp_path: Path) -> None:
    (tmp_path / "tpm").mkdir()
    (tmp_path / "tpm" / "tpm2-00.volatilestate").write_bytes(b"old")
    tpm.copy(made, tmp_path / "tpm")
    assert [path.name for path in (tmp_path / "tpm").iterdir()] == [tpm.STATE_FILE]
    assert (tmp_path / "tpm" / tpm.STATE_FILE).read_bytes() == (made / tpm.STATE_FILE).read_bytes()
    with pytest.raises(VmError, match="the state of the guest's TPM is missing"):
        tpm.copy(tmp_path / "none", tmp_path / "tpm")
    assert (tmp_path / "tpm" / tpm.STATE_FILE).exists()


def test_it_waits_for_its_machine_and_ends_when_told(made: Path, slot: Path, tmp_path: Path) -> None:
    state = tmp_path / "a,b"  # swtpm's own option would end at the comma
    tpm.copy(made, state)
    running = tpm.Tpm(state, slot)
    assert len(processes(slot)) == 1
    assert running.socket.stat().st_mode & 0o077 == 0
    running.end()
    assert processes(slot) == []
    running.end()


def test_it_ends_with_its_machine(made: Path, slot: Path, tmp_path: Path) -> None:
    tpm.copy(made, tmp_path / "tpm")
    running = tpm.Tpm(tmp_path / "tpm", slot)
    ours, theirs = socket.socketpair()
    with socket.socket(socket.AF_UNIX) as control, ours, theirs:
        control.connect(str(running.socket))
        # CMD_SET_DATAFD and CMD_INIT of swtpm's control channel, as QEMU begins with them.
        socket.send_fds(control, [(0x10).to_bytes(4, "big")], [theirs.fileno()])
        assert control.recv(4) == bytes(4)
        control.sendall((0x02).to_bytes(4, "big") + bytes(4))
        assert control.recv(4) == bytes(4)
    until = time.monotonic() + 10
    while processes(slot):
        assert time.monotonic() < until, "it outlives the machine"
        time.sleep(0.05)


def test_what_a_killed_run_left_is_found_by_its_slot(made: Path, slot: Path, tmp_path: Path) -> None:
    tpm.copy(made, tmp_path / "tpm")
    (slot / "leases").mkdir()
    tpm.Tpm(tmp_path / "tpm", slot / "leases")
    (pid,) = processes(slot)
    assert f"TPM of a guest (process {pid})" in slots.empty(slot)
    assert processes(slot) == []
    assert (tmp_path / "tpm" / tpm.STATE_FILE).exists(), "its state lay elsewhere"


def test_what_cannot_be_is_told(made: Path, slot: Path, tmp_path: Path) -> None:
    with pytest.raises(VmError, match="the state of the guest's TPM is missing"):
        tpm.Tpm(tmp_path / "none", slot)
    comma = slot / "a,b"
    comma.mkdir()
    with pytest.raises(VmError, match="swtpm takes no comma"):
        tpm.Tpm(made, comma)


def test_a_host_without_swtpm_is_told_how_to_get_it(
    slot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = commands.find
    monkeypatch.setattr(commands, "find", lambda name: None if "swtpm" in name else there(name))
    with pytest.raises(VmError, match=r"swtpm is not installed; run: apt-get install -y swtpm$"):
        tpm.manufacture(tmp_path / "tpm")
    with pytest.raises(VmError, match="swtpm is not installed"):
        tpm.Tpm(tmp_path, slot)
    monkeypatch.setattr(doctor, "find", lambda name: None if "swtpm" in name else there(name))
    check = doctor._tpm()
    assert check.ok and "apt-get install -y swtpm swtpm-tools" in check.detail
