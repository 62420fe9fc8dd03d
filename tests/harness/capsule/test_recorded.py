# SPDX-License-Identifier: Apache-2.0
"""Recordings inside of capsules: put in, looked at, unpacked, refused."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.capsule import manifest, recording
from harness.capsule.archive import CapsuleError
from harness.capsule.making import make
from harness.capsule.manifest import Role
from harness.capsule.opened import Capsule
from harness.capsule.recording import MOST_FACTS as MOST
from harness.errors import UsageError
from tests.harness.capsule import recordings
from tests.harness.capsule.hostile import pack, sealed
from tests.harness.capsule.made import capsule, failure, loaded_target, package, scenario
from tests.vm.state_disks import disk
from vm.recorded_machine import BLOCKS
from vm.recorder import STATE_DISK
from vm.state_disk import base_of

NAMES = {
    "recording.json", "replay.log", "state.qcow2", "agent.frames", "serial.log", "debugcon.log",
    "result.jsonl", "drivers/relay.sys", "drivers/relay.pdb",
}  # fmt: skip


def recorded(folder: Path, **said: Any) -> Path:
    """A capsule of the failure with a recording."""
    out = folder / "relay.capsule"
    kept = recordings.make(folder / "kept", **said)
    make(failure(), scenario(), loaded_target(folder), package(folder), out, recording=kept)
    return out


def test_a_recording_goes_through_a_capsule(tmp_path: Path) -> None:
    with Capsule(recorded(tmp_path)) as found:
        found.check()
        assert found.manifest.schema_version == manifest.RECORDED
        assert {file.name for file in found.manifest.of(Role.RECORDING)} == {f"recording/{n}" for n in NAMES}
        assert found.unpack_recording(tmp_path / "out") == recordings.SAID
        with pytest.raises(UsageError, match="nothing is replaced"):
            found.unpack_recording(tmp_path / "out")
    out = tmp_path / "out"
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == NAMES
    assert recording.load(out) == recordings.SAID
    assert (out / "drivers/relay.pdb").read_bytes() == b"symbols"
    assert base_of((out / STATE_DISK).read_bytes()) == "image"
    assert base_of((tmp_path / "kept" / STATE_DISK).read_bytes()) == "/home/somebody/image.raw"


def test_nothing_of_the_machine_goes_along(tmp_path: Path) -> None:
    with zipfile.ZipFile(recorded(tmp_path)) as opened:
        assert not any(b"somebody" in opened.read(name) for name in opened.namelist())


def test_what_has_none_is_read_by_an_older_kshs(tmp_path: Path) -> None:
    with Capsule(capsule(tmp_path)) as found:
        assert found.manifest.schema_version == 1 and found.recording() is None
        with pytest.raises(CapsuleError, match="it has no recording"):
            found.unpack_recording(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"scenario": "relay.other"}, "it is a recording of relay.other"),
        ({"package": "d" * 64}, "it was recorded with the package dddddddddddd"),
    ],
)
def test_one_of_something_else_is_not_put_in(tmp_path: Path, said: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        recorded(tmp_path, **said)
    assert not (tmp_path / "relay.capsule").exists()


def _facts(**changes: Any) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    def change(members: dict[str, bytes]) -> dict[str, bytes]:
        said = {**json.loads(members["recording/recording.json"]), **changes}
        return {"recording/recording.json": json.dumps(said).encode()}

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda m: {"recording/state.qcow2": disk(b"/etc/shadow")}, "its disk lies on a file of the machine"),
        (lambda m: {"recording/state.qcow2": disk(b"image", (0x44415441, b"/etc/x"))}, "asks for more"),
        (lambda m: {"recording/state.qcow2": b"d"}, "it is too short"),
        (lambda m: {f"recording/{BLOCKS}": None}, "agent.frames is missing"),
        (lambda m: {"recording/recording.json": b"["}, "its recording: "),
        (lambda m: {"recording/recording.json": b"\xff"}, "its recording: "),
        (lambda m: {"recording/extra.sh": b"x"}, "extra.sh is no file of a recording"),
        (lambda m: {"recording/drivers/a/b.sys": b"x"}, "b.sys is no file of a recording"),
        (
            lambda m: {"recording/recording.json": random.Random(1).randbytes(MOST + 1)},
            "of at most 1,048,576",
        ),
        (_facts(scenario="a.b"), "another scenario"),
        (_facts(icount="shift=auto,sleep=on,rrfile=/etc/x"), "icount"),
        (_facts(schema=99), "made by a newer kshs"),
        (_facts(plays=[]), "plays"),
    ],
)
def test_a_hostile_one_is_refused_with_the_rest(tmp_path: Path, change: Any, why: str) -> None:
    path = recorded(tmp_path)
    with zipfile.ZipFile(path) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    altered: dict[str, Any] = {**members, **change(members)}
    kept = {name: data for name, data in altered.items() if data is not None}
    path.write_bytes(pack(sealed(kept)))
    with Capsule(path) as found, pytest.raises(CapsuleError, match=why):
        found.check()
    with Capsule(path) as found, pytest.raises(CapsuleError, match=why):
        found.unpack_recording(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_of_it_lie_in_its_folder(tmp_path: Path) -> None:
    path = recorded(tmp_path)
    with zipfile.ZipFile(path) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    said = json.loads(members["manifest.json"])
    for file in said["files"]:
        file["role"] = "recording" if file["name"] == "package/relay.sys" else file["role"]
    path.write_bytes(pack({**members, "manifest.json": json.dumps(said).encode()}))
    with Capsule(path) as found, pytest.raises(CapsuleError, match="does not lie in recording/"):
        found.check()
