# SPDX-License-Identifier: Apache-2.0
"""Recordings without a guest: their files, as small as they may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.capsule import recording
from harness.capsule.recording import DRIVERS, RECORDS, Recording
from tests.vm.state_disks import disk
from vm.recorded_machine import BLOCKS, DEBUGCON, SERIAL
from vm.recorder import LOG, STATE_DISK

SAID = Recording(
    schema=recording.SCHEMA,
    kshs="0",
    qemu="10.0.2",
    icount="shift=auto,sleep=on",
    image="ab" * 32,
    image_made="2026-11-30T10:00:00+00:00",
    package="c" * 64,
    state="cd" * 32,
    memory_mib=448,
    scenario="relay.twice",
    verdict="failed",
    reason="H9: answer is wrong",
    started="2026-11-30T12:00:00+00:00",
    plays=[1_000, 2_000],
    instructions=3_000,
)


def make(folder: Path, base: bytes = b"/home/somebody/image.raw", **said: Any) -> Path:
    """A recording in a folder; `said` are changes of what it says of itself."""
    (folder / DRIVERS).mkdir(parents=True)
    for name, data in ((BLOCKS, b"f"), (SERIAL, b"up\n"), (DEBUGCON, b""), (LOG, b"l"), (RECORDS, b"")):
        (folder / name).write_bytes(data)
    (folder / STATE_DISK).write_bytes(disk(base))
    (folder / DRIVERS / "relay.sys").write_bytes(b"driver")
    (folder / DRIVERS / "relay.pdb").write_bytes(b"symbols")
    (folder / "qemu.log").write_bytes(b"/home/somebody")
    recording.save(folder, SAID.model_copy(update=said))
    return folder
