# SPDX-License-Identifier: Apache-2.0
"""Which image lies below a state's disk: read, written, and refused where the header asks for more."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.vm.state_disks import FEATURES, FORM, disk
from vm.errors import VmError
from vm.state_disk import HEAD_BYTES, base_of, set_base
from vm.template import overlay


def test_a_disk_of_qemus_own(tmp_path: Path) -> None:
    for name in ("one.raw", "another-image.raw"):
        (tmp_path / name).write_bytes(bytes(1 << 20))
    path = tmp_path / "state.qcow2"
    overlay(path, tmp_path / "one.raw", "raw")
    assert base_of(path.read_bytes()) == str(tmp_path / "one.raw")
    for base in ("image", str(tmp_path / "another-image.raw")):
        set_base(path, base)
        assert base_of(path.read_bytes()) == base
    said = subprocess.run(
        ["qemu-img", "info", "--output=json", path], capture_output=True, check=True, timeout=60
    ).stdout
    found = json.loads(said)
    assert (found["full-backing-filename"], found["backing-filename-format"]) == (base, "raw")
    subprocess.run(["qemu-img", "check", "-q", path], check=True, timeout=60)


def test_the_old_name_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "state.qcow2"
    path.write_bytes(disk(b"/home/somebody/image.raw"))
    set_base(path, "image")
    assert b"somebody" not in path.read_bytes() and base_of(path.read_bytes()) == "image"


@pytest.mark.parametrize(
    "wrong",
    [
        {"magic": b"QFI\xfa"},
        {"version": 2},
        {"bits": 12},
        {"encrypted": 1},
        {"incompatible": 1 << 2},  # an external data file
        {"incompatible": 1},
        {"autoclear": 2},
        {"header": 72},
        {"header": 1 << 20},
        {"base": b""},
        {"size": 1024},
        {"length": 4096},
        {"base": b"\xff\xfe"},
    ],
)
def test_what_is_no_disk_of_a_state(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"it |its |the name"):
        base_of(disk(wrong.pop("base", b"image"), **wrong))


@pytest.mark.parametrize(
    "extension",
    [
        (0x44415441, b"/etc/passwd"),  # the name of an external data file
        (0x0537BE77, bytes(16)),  # encryption
        (0x23852875, bytes(24)),  # bitmaps
        (0xE2792ACA, b"qcow2"),
    ],
)
def test_what_asks_for_more(extension: tuple[int, bytes]) -> None:
    assert base_of(disk(b"image", FORM, FEATURES)) == "image"
    with pytest.raises(ValueError, match="asks for more"):
        base_of(disk(b"image", FORM, extension))


def test_extensions_that_end_nowhere() -> None:
    data = bytearray(disk(b"image", (0x6803F857, bytes(8))))
    struct.pack_into(">I", data, 116, 1 << 31)
    with pytest.raises(ValueError, match="asks for more"):
        base_of(bytes(data))


def test_what_has_no_room(tmp_path: Path) -> None:
    path = tmp_path / "state.qcow2"
    path.write_bytes(disk())
    with pytest.raises(VmError, match="too long"):
        set_base(path, "/" + "x" * 2000)
    path.write_bytes(b"d")
    with pytest.raises(VmError, match="it is too short"):
        set_base(path, "image")
    assert HEAD_BYTES == 65536
