# SPDX-License-Identifier: Apache-2.0
"""Recordings without a guest: their files, as small as they may be."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from harness.capsule import recording
from harness.capsule.recording import DRIVERS, RECORDS
from tests.harness.replay.test_recording import SAID as REPLAYED
from tests.vm.state_disks import disk
from vm.recorded_machine import BLOCKS, DEBUGCON, SERIAL
from vm.recorder import LOG, STATE_DISK

SAID = REPLAYED.model_copy(
    update={
        "schema_version": recording.SCHEMA,
        "image_made": "2026-11-30T10:00:00+00:00",
        "package": "c" * 64,
        "scenario": "relay.twice",
        "reason": "H9: answer is wrong",
        "modules": [],
    }
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


def spoiled(rng: random.Random, members: dict[str, bytes]) -> dict[str, bytes]:
    """A recording that is not whole, or more than one, or whose disk and words lead elsewhere."""
    names = [name for name in members if name.startswith("recording/")]
    match rng.randrange(7):
        case 0:
            del members[rng.choice(names)]
        case 1:
            name = rng.choice(("recording/x.sh", "recording/drivers/x.exe", "recording/state.qcow2/x"))
            members[name] = rng.randbytes(100)
        case 2:
            base = rng.choice(
                (b"/etc/shadow", b'json:{"driver":"file"}', b"nbd://host/x", b"image\0", b"../image")
            )
            members["recording/state.qcow2"] = disk(base)
        case 3:
            more = rng.choice(
                ((0x44415441, b"/etc/passwd"), (0xE2792ACA, b"qcow2"), (rng.randrange(1 << 32), b""))
            )
            members["recording/state.qcow2"] = disk(b"image", more)
        case 4:
            data = bytearray(members["recording/state.qcow2"])
            for _ in range(rng.choice((1, 4, 40))):
                data[rng.randrange(200)] = rng.choice((0, 0xFF, rng.randrange(256)))
            members["recording/state.qcow2"] = bytes(data)[: rng.choice((0, 100, 1 << 17))]
        case 5:
            members[rng.choice(names)] = rng.choice(
                (b"", rng.randbytes(5000), bytes(1 << 20), b"[" * 100_000)
            )
            members["recording/state.qcow2"] = disk(b"/dev/sda")
        case _:
            said = json.loads(members["recording/recording.json"])
            odd = rng.choice(({"icount": "shift=1,rrfile=x"}, {"memory_mib": 1 << 40}, {"scenario": "../.."}))
            members["recording/recording.json"] = json.dumps({**said, **odd}).encode()
    return members
