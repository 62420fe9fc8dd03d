# SPDX-License-Identifier: Apache-2.0
"""Guests that are kept: no run takes them for what a dead one left; once they are dead they are reaped."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.commands.inventory import inventory
from tests.vm.test_slots import config, machine  # noqa: F401 - a fixture
from vm import keeper, reaper, slots
from vm.config import VmConfig
from vm.keeper import KeptGuest


@pytest.fixture
def kept(config: VmConfig, tmp_path: Path) -> Iterator[tuple[slots.Slot, subprocess.Popen[bytes]]]:  # noqa: F811
    """A slot with a guest that was kept, as it is once its process has ended."""
    slot = slots.take(config)
    guest = machine(slot.directory, "seen", tmp_path)
    how = KeptGuest(
        "seen", "ssh -F x guest", slot.directory / "s", slot.directory / "d", slot.directory / "g"
    )
    keeper.start(slot.directory, guest.pid, how)
    (slot.directory / "leases" / "seen").mkdir(parents=True)
    slot.release()
    yield slot, guest
    guest.kill()
    guest.wait()


def watcher(pid: int) -> int:
    """The keeper of the process with this id."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            except OSError:
                continue
            if line[-1] == str(pid).encode() and b"keeper_child.py" in line[-2]:
                return int(entry.name)
    raise AssertionError("there is no keeper")


def ended(pid: int) -> None:
    """Waits for the end of a process that may be nobody's child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    assert select.select([descriptor], [], [], 30)[0]
    os.close(descriptor)


def test_a_kept_guest_is_left_alone(
    config: VmConfig,  # noqa: F811
    kept: tuple[slots.Slot, subprocess.Popen[bytes]],
) -> None:
    slot, guest = kept
    assert reaper.reap(config) == []
    assert guest.poll() is None and (slot.directory / "leases" / "seen").is_dir()
    assert reaper.kept_slots(config) == [slot.directory]
    other = slots.take(config)
    assert other.directory != slot.directory
    other.release()
    (row,) = inventory(config)["live guests"]
    assert row.startswith("seen  process ") and "kept: ssh -F x guest; gdb stub" in row


def test_a_later_command_ends_it(
    config: VmConfig,  # noqa: F811
    kept: tuple[slots.Slot, subprocess.Popen[bytes]],
) -> None:
    slot, guest = kept
    watching = watcher(guest.pid)
    assert reaper.end_kept(config) == [f"guest seen (process {guest.pid})", "files of seen"]
    assert guest.wait(30) == -signal.SIGKILL
    ended(watching)
    assert reaper.kept_slots(config) == [] and reaper.end_kept(config) == []
    assert list(slot.directory.iterdir()) == []


@pytest.mark.parametrize("which", ["guest", "keeper"])
def test_what_is_left_of_a_dead_one_is_reaped(
    which: str,
    config: VmConfig,  # noqa: F811
    kept: tuple[slots.Slot, subprocess.Popen[bytes]],
) -> None:
    slot, guest = kept
    watching = watcher(guest.pid)
    os.kill(guest.pid if which == "guest" else watching, signal.SIGKILL)
    if which == "guest":
        guest.wait(30)
    ended(watching)
    gone = reaper.reap(config)
    assert "files of seen" in gone and (which == "guest" or f"guest seen (process {guest.pid})" in gone)
    assert not (slot.directory.parent / f"{slot.directory.name}.kept").exists()


def test_a_process_that_keeps_a_guest_has_no_slot_left(config: VmConfig, tmp_path: Path) -> None:  # noqa: F811
    """libvirt's embedded driver takes one root directory in the life of a process: that is the guest's."""
    code = (
        "import sys; from pathlib import Path; from vm import keeper, slots; from vm.config import VmConfig;"
        "from vm.errors import VmError\n"
        "config = VmConfig(runtime_dir=Path(sys.argv[1]), cache_dir=Path(sys.argv[1]) / 'cache')\n"
        "slot = slots.keep(config); p = slot.directory\n"
        "keeper.start(p, int(sys.argv[2]), keeper.KeptGuest('x', 'y', p, p, p)); slot.release()\n"
        "try:\n    slots.keep(config)\nexcept VmError as error:\n    print(error)\n"
    )
    guest = machine(tmp_path / "elsewhere", "x", tmp_path)
    try:
        arguments = [sys.executable, "-c", code, str(config.runtime_dir), str(guest.pid)]
        root = Path(__file__).parents[2]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=root)
        assert "this process keeps a guest, and has no other slot" in done.stdout
        assert guest.poll() is None
    finally:
        guest.kill()
        guest.wait()
