# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from vm import reaper, slots
from vm.config import VmConfig


@pytest.fixture
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VmConfig]:
    # pytest's own temporary directories are too long for sockets
    root = Path(f"/tmp/ks-{tmp_path_factory.mktemp('x').stat().st_ino}")
    yield VmConfig(runtime_dir=root, cache_dir=root / "cache")
    slots.remove_tree(root)


def machine(
    directory: Path, name: str, tmp_path: Path, before: str = "pass", prefix: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """A process that looks like a guest of ``directory``; it executes ``before`` first."""
    program = tmp_path / "qemu-system-x86_64"
    if not program.is_symlink():
        program.symlink_to(sys.executable)
    code = f"import os, time; {before}; print(1, flush=True); time.sleep(300)"
    arguments = [*prefix, str(program), "-c", code]
    arguments += ["-name", f"guest={name},debug-threads=on", "-drive", f"file={directory}/leases/{name}/disk"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"1\n"
    return process


def test_a_dead_runs_slot_is_emptied_and_no_other(config: VmConfig, tmp_path: Path) -> None:
    live = slots.take(config)
    ten = config.runtime_dir / "r10"
    ours = machine(live.directory, "live", tmp_path)
    other = machine(ten, "other", tmp_path)
    one = config.runtime_dir / "r1"
    left = machine(one, "left", tmp_path)
    try:
        (one / "leases" / "left").mkdir(parents=True)
        (one / "cache").mkdir()
        (one / "run").mkdir()
        (config.runtime_dir / "r1.lock").touch()
        gone = reaper.reap(config)
        assert gone == [f"guest left (process {left.pid})", "files of left"]
        assert left.wait(5) == -9
        assert ours.poll() is None
        assert other.poll() is None, "r10 was taken for r1"
        assert [path.name for path in one.iterdir()] == ["cache"]
        assert reaper.reap(config) == []
    finally:
        for process in (ours, other, left):
            process.kill()
            process.wait()
        live.release()


def test_a_guest_below_another_root_directory_is_not_ours(config: VmConfig, tmp_path: Path) -> None:
    """A run in a chroot has the same paths, and its guests are no matter of a run outside."""
    place = config.runtime_dir / "r1"
    place.mkdir(parents=True)
    prefix = [] if os.getuid() == 0 else ["unshare", "--map-root-user"]
    other = machine(place, "other", tmp_path, f"os.chroot({str(tmp_path)!r})", prefix)
    try:
        assert list(slots.machines(place)) == []
        assert slots.find_process("guest=other,debug-threads=on") is None
        assert slots.empty(place) == []
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_slots_are_reused(config: VmConfig) -> None:
    first, second = slots.take(config), slots.take(config)
    assert (first.directory.name, second.directory.name) == ("r0", "r1")
    (first.directory / "cache").mkdir()
    first.release()
    again = slots.take(config)
    assert again.directory == first.directory
    assert (again.directory / "cache").is_dir()
    again.release()
    second.release()


def test_the_slot_of_an_embedded_driver_stays_its_process_s(config: VmConfig) -> None:
    """As between two test modules of one process, while another run takes the first slot that is free."""
    first = slots.keep(config)
    (first.directory / "leases" / "left").mkdir(parents=True)
    first.release()
    assert not (first.directory / "leases").exists()
    try:
        other = slots.take(config)
        assert other.directory != first.directory
        assert reaper.reap(config) == []
        assert slots.keep(config).directory == first.directory
        other.release()
    finally:
        slots._kept.pop(config.runtime_dir).lock.release()


def test_a_process_is_found_by_a_whole_argument(tmp_path: Path) -> None:
    process = machine(tmp_path / "r0", "x", tmp_path)
    try:
        assert slots.find_process("guest=x,debug-threads=on") == process.pid
        assert slots.find_process("guest=x") is None
        assert slots.kill_process(process.pid, "another mark") is False
        assert process.poll() is None
        assert slots.kill_process(process.pid, "guest=x,") is True
    finally:
        process.kill()
        process.wait()
