# SPDX-License-Identifier: Apache-2.0
"""Recordings on disk, and the proof that a replay is the same."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drivers import abi
from harness.capsule import recording
from harness.capsule.recording import Module, Recording
from harness.errors import HarnessError, UsageError
from harness.replay import proving
from harness.replay.proving import Replayed, prove
from tests.harness.fake_agent import FakeAgent
from tests.vm.state_disks import disk
from tests.vm.test_replay_qemu import fake, image
from vm.files import write_json
from vm.recorded_machine import BLOCKS, DEBUGCON, SERIAL
from vm.recorder import LOG, STATE_DISK, Recorder
from vm.replay_qemu import ReplayQemu
from vm.state_disk import base_of

SAID = Recording(
    schema=1,
    kshs="0",
    qemu="10.0.2",
    icount="shift=auto,sleep=on",
    image="ab" * 32,
    state="cd" * 32,
    memory_mib=448,
    scenario="success.plain.call",
    verdict="failed",
    reason="H6: argument1 is 7",
    started="2026-11-30T12:00:00+00:00",
    plays=[1_000, 2_000],
    instructions=3_000,
    modules=[Module(name="avshs.sys", base=0x140000000, size=0x8000)],
)


def folder(tmp_path: Path, *, frames: bytes, serial: bytes = b"up\n", **plan: Any) -> Path:
    """A recording, and what the fake QEMU will do when it is replayed: the same, but for `plan`."""
    place = tmp_path / "recording"
    place.mkdir()
    for name, data in (
        (BLOCKS, frames),
        (SERIAL, serial),
        (DEBUGCON, b""),
        (LOG, b"l"),
        (STATE_DISK, disk()),
    ):
        (place / name).write_bytes(data)
    recording.save(place, SAID)
    consoles = {BLOCKS: frames.hex(), SERIAL: serial.hex(), **plan.pop("consoles", {})}
    write_json(place / "fake.json", {"steps": [1000, 2000, 3000], "exit": 0, **plan, "consoles": consoles})
    return place


def recorder(tmp_path: Path, version: str = "10.0.2") -> Recorder:
    """All that a replay needs of one."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    counter = iter(range(100))

    def place() -> Path:
        made = tmp_path / f"p{next(counter)}"
        made.mkdir()
        return made

    qemu = ReplayQemu(fake(tmp_path / "bin"), version)
    return cast("Recorder", SimpleNamespace(qemu=qemu, place=place))


def frames(*answers: int) -> bytes:
    """Answers of an agent, told apart by their Information."""
    agent = FakeAgent(abi.load())
    op = abi.load().constants["KSHS_OP_REQUEST"]
    return b"".join(agent.record_frame(n + 1, op, {"information": a}, b"") for n, a in enumerate(answers))


def test_the_same(tmp_path: Path) -> None:
    place = folder(tmp_path, frames=frames(32, 32, 0))
    said: list[str] = []
    proof = prove(recorder(tmp_path), image(tmp_path), place, recording.load(place), said.append)
    assert proof.same and (proof.blocks, proof.instructions) == (3, 3000)
    assert proof.bytes_compared == (place / BLOCKS).stat().st_size + 3
    assert said[0].startswith("replaying: instruction 1,000 of 3,000 (0%)")
    assert [path.name for path in tmp_path.glob("p*")] == [], "nothing of the replay is left"


@pytest.mark.parametrize(
    ("consoles", "says"),
    [
        ({BLOCKS: frames(32, 31, 0).hex()}, ["record 1: information was 32, is 31"]),
        ({BLOCKS: frames(32, 32).hex()}, ["3 records were recorded, 2 came"]),
        ({SERIAL: b"ux\n".hex()}, ["serial.log differs at byte 1: 3 bytes were recorded, 3 came"]),
        ({DEBUGCON: b"!".hex()}, ["debugcon.log differs at byte 0: 0 bytes were recorded, 1 came"]),
        ({BLOCKS: (frames(32, 32, 0) + b"?").hex()}, ["the agent's frames differ beside the records"]),
    ],
)
def test_what_came_otherwise(tmp_path: Path, consoles: dict[str, str], says: list[str]) -> None:
    place = folder(tmp_path, frames=frames(32, 32, 0), consoles=consoles)
    proof = prove(recorder(tmp_path), image(tmp_path), place, SAID, lambda text: None)
    assert not proof.same and list(proof.differences) == says


def test_a_replay_that_ends_otherwise(tmp_path: Path) -> None:
    place = folder(tmp_path, frames=b"", exit=1, last="replay: log is damaged")
    with pytest.raises(HarnessError, match="QEMU ended the replay by itself: replay: log is damaged"):
        prove(recorder(tmp_path), image(tmp_path), place, SAID, lambda text: None)


def test_a_replay_that_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of QEMU 7.2 do, without a word."""
    monkeypatch.setattr(proving, "STANDSTILL", 0.0)
    monkeypatch.setattr(proving, "_LOOK", 0.01)
    place = folder(tmp_path, frames=b"", exit=None)
    with pytest.raises(HarnessError, match="the replay stands still at replaying: instruction 3,000"):
        prove(recorder(tmp_path), image(tmp_path), place, SAID, lambda text: None)


def test_another_qemu_is_refused(tmp_path: Path) -> None:
    place = folder(tmp_path, frames=b"")
    with pytest.raises(UsageError, match=r"it was recorded by QEMU 10.0.2, and here is 10.1.0"):
        prove(recorder(tmp_path, "10.1.0"), image(tmp_path), place, SAID, lambda text: None)


def test_another_build_of_the_image_is_refused(tmp_path: Path) -> None:
    place = folder(tmp_path, frames=b"")
    here = image(tmp_path)
    here.manifest["made"] = "2026-12-01T00:00:00+00:00"
    said = SAID.model_copy(update={"image_made": "2026-11-30T00:00:00+00:00"})
    with pytest.raises(UsageError, match="other bytes are other instructions"):
        prove(recorder(tmp_path), here, place, said, lambda text: None)
    same = SAID.model_copy(update={"image_made": "2026-12-01T00:00:00+00:00"})
    assert prove(recorder(tmp_path), here, place, same, lambda text: None).same


def test_the_image_may_have_moved(tmp_path: Path) -> None:
    """The disk says where it lay when the state was made; here it lies where it lies now."""
    place = folder(tmp_path, frames=b"", exit=None)
    here = image(tmp_path)
    with Replayed(recorder(tmp_path), here, place, SAID) as replayed:
        assert base_of(replayed.machine.life.disk.read_bytes()) == str(here.disk)
    assert base_of((place / STATE_DISK).read_bytes()) == "image"


def test_the_monitor_for_people_says_errors_as_text(tmp_path: Path) -> None:
    place = folder(tmp_path, frames=b"", exit=None, human={"savevm": "Error: no room"})
    with (
        Replayed(recorder(tmp_path), image(tmp_path), place, SAID) as replayed,
        pytest.raises(Exception, match="QEMU refuses savevm x: no room"),
    ):
        replayed.machine.human("savevm x")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda place: (place / recording.FACTS).unlink(), "this is no recording"),
        (lambda place: (place / recording.FACTS).write_text("{"), "this is no recording"),
        (lambda place: (place / LOG).unlink(), "the recording is not whole: replay.log is missing"),
        (
            lambda place: write_json(place / recording.FACTS, {"schema": 9}),
            "it was made by a newer kshs",
        ),
        (
            lambda place: write_json(
                place / recording.FACTS,
                {**SAID.model_dump(by_alias=True), "modules": [{"name": "../x", "base": 0, "size": 1}]},
            ),
            "modules.0.name",
        ),
    ],
)
def test_what_is_no_recording(tmp_path: Path, change: Any, says: str) -> None:
    place = folder(tmp_path, frames=b"")
    assert recording.load(place) == SAID
    change(place)
    with pytest.raises(UsageError, match=says):
        recording.load(place)
