# SPDX-License-Identifier: Apache-2.0
"""Plays until a failure, on leases that are recorded: what is kept, what is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.capsule import recording
from harness.capsule.playing import Player
from harness.capsule.recording import Module
from harness.capsule.seen import Seen, of_result
from harness.errors import HarnessError
from harness.guests import DriverFiles
from harness.replay import taking
from harness.replay.provider import RecordingProvider, Take, driver_modules
from harness.replay.taking import Taking
from tests.harness.capsule.made import result, scenario
from vm.recorded_machine import BLOCKS, DEBUGCON, SERIAL
from vm.recorder import LOG


class World:
    """A provider and a player whose every play is counted; those in `failing` fail."""

    def __init__(self, folder: Path, failing: set[int], *, lost: bool = False) -> None:
        self.takes = folder / "takes"
        self.failing, self.lost = failing, lost
        self.plays = self.count = 0
        self.last: Any = None
        self.before: Callable[[], None] | None = None
        self.forgotten: list[str] = []
        self.qemu, self.image_digest, self.state_digest, self.memory_mib = "10.0", "ab" * 32, "cd" * 32, 448
        self.image_made = "2026-11-30T10:00:00+00:00"
        self.state_disk = folder / "disk.qcow2"
        self.state_disk.write_bytes(b"state")
        self.modules = [
            Module(name="relay.sys", base=4096, size=4096),
            Module(name="ntdll.sys", base=1, size=1),
        ]
        (folder / "relay.sys").write_bytes(b"image")
        (folder / "relay.pdb").write_bytes(b"symbols")
        self._files = DriverFiles({"relay.sys": folder / "relay.sys"}, (folder / "relay.pdb", folder))

    def target_digest(self) -> str:
        return "ef" * 32

    def driver_files(self) -> DriverFiles:
        return self._files

    def play(self, of: Any, *, fresh: bool) -> Seen:
        if fresh or self.last is None or self.last.ended:
            self.leave()
            self.count += 1
            take = Take(self.takes / f"take-{self.count}")
            take.folder.mkdir(parents=True)
            for name in (LOG, SERIAL, DEBUGCON, BLOCKS):
                (take.folder / name).write_bytes(name.encode())
            self.last = SimpleNamespace(take=take, ended=False, mark=lambda: take.plays.append(self.plays))
        assert self.before is not None
        self.before()
        self.plays += 1
        return of_result(result(of, fails=self.plays - 1 in self.failing))

    def leave(self) -> None:
        if self.last is not None and not self.last.ended:
            self.last.ended = True
            self.last.take.instructions = None if self.lost else 9_000
            self.last.take.why = "QEMU is gone" if self.lost else None

    def forget(self, take: Take) -> None:
        self.forgotten.append(take.folder.name)

    def taking(self, out: Path) -> Taking:
        return Taking(cast("RecordingProvider", self), cast("Player", self), out)


def test_until_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "PLAYS", 3)
    world = World(tmp_path, failing={7})
    taken = world.taking(tmp_path / "out/kept").play(scenario(), 100, until_failure=True)
    # Three plays a lease: the failure is the second one of the third lease.
    assert (len(taken.seen), taken.leases, world.forgotten) == (8, 3, ["take-1", "take-2"])
    assert taken.folder == tmp_path / "out/kept"
    said = recording.load(taken.folder)
    assert (said.plays, said.instructions, said.verdict) == ([6, 7], 9_000, "failed")
    assert (said.image_made, said.package) == ("2026-11-30T10:00:00+00:00", "ef" * 32)
    assert said.modules == [Module(name="relay.sys", base=4096, size=4096)]
    assert (taken.folder / recording.DRIVERS / "relay.pdb").read_bytes() == b"symbols"
    assert (taken.folder / "state.qcow2").read_bytes() == b"state"
    assert '"relay.twice"' in (taken.folder / recording.RECORDS).read_text()


def test_each_on_a_lease_of_its_own(tmp_path: Path) -> None:
    """The first failure's recording is kept, and the plays go on: what is asked is how often it comes."""
    world = World(tmp_path, failing={1, 2})
    taken = world.taking(tmp_path / "kept").play(scenario(), 4, until_failure=False)
    assert (len(taken.seen), taken.leases) == (4, 4)
    assert recording.load(tmp_path / "kept").plays == [1]
    assert world.forgotten == ["take-1", "take-2", "take-3"]


def test_nothing_fails(tmp_path: Path) -> None:
    world = World(tmp_path, failing=set())
    taken = world.taking(tmp_path / "kept").play(scenario(), 5, until_failure=True)
    assert taken.folder is None and not (tmp_path / "kept").exists() and len(taken.seen) == 5


def test_a_failure_whose_recording_is_not_whole(tmp_path: Path) -> None:
    world = World(tmp_path, failing={0}, lost=True)
    with pytest.raises(HarnessError, match="the failure was not recorded to its end: QEMU is gone"):
        world.taking(tmp_path / "kept").play(scenario(), 5, until_failure=True)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (
            b'{"processes":[{"modules":[{"name":"avshs.sys","base":"0x10","size":"0x20"},'
            b'{"name":"ntdll.dll","base":"0x1","size":"0x2"}]}]}',
            [{"name": "avshs.sys", "base": 16, "size": 32}],
        ),
        (b"", []),
        (b'{"processes":[{"modules":[{"name":"a.sys"}]}]}', []),
        (b'{"processes":[{"modules":[{"name":"../a.sys","base":"0x1","size":"0x1"}]}]}', []),
        (b'{"processes":7}', []),
    ],
)
def test_what_a_guest_says_of_its_modules(said: bytes, found: list[dict[str, Any]]) -> None:
    class Shell:
        def wine(self, argv: Any) -> str:
            return " ".join(argv)

        def run(self, line: str, timeout: float) -> Any:
            return SimpleNamespace(stdout=said)

    assert driver_modules(cast("Any", Shell())) == {"modules": found}
