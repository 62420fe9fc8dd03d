# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
from pathlib import Path

import pycdlib
import pytest

from vm.errors import VmError
from vm.windows import cd


def _files(tmp_path: Path) -> dict[str, bytes | Path]:
    big = tmp_path / "big.bin"
    big.write_bytes(bytes(range(256)) * 1000)
    return {
        "Autounattend.xml": b"<unattend/>",
        "kshs/first.cmd": b"@echo off\r\n",
        "kshs/ssh/administrators_authorized_keys": b"ssh-ed25519 AAAA",
        "kshs/openssh/OpenSSH-Win64-v10.0.0.0.msi": big,
    }


def test_everything_comes_back_under_its_long_name(tmp_path: Path) -> None:
    files = _files(tmp_path)
    target = cd.write(tmp_path / "cd.iso", files)
    iso = pycdlib.PyCdlib()
    iso.open(str(target))
    for name, source in files.items():
        out = io.BytesIO()
        iso.get_file_from_iso_fp(out, joliet_path=f"/{name}")
        assert out.getvalue() == (source if isinstance(source, bytes) else source.read_bytes())
    iso.close()


def test_digest_knows_names_and_contents(tmp_path: Path) -> None:
    files = _files(tmp_path)
    digest = cd.content_digest(files)
    assert digest == cd.content_digest(dict(reversed(files.items())))
    assert digest != cd.content_digest({**files, "Autounattend.xml": b"<unattend />"})
    assert digest != cd.content_digest({**files, "extra": b""})


def test_the_cd_is_private(tmp_path: Path) -> None:
    target = cd.write(tmp_path / "cd.iso", {"a": b"secret"})
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a:b", "x" * 65, "dir/what?"])
def test_bad_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(VmError):
        cd.write(tmp_path / "cd.iso", {name: b""})
    assert not (tmp_path / "cd.iso").exists()


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(VmError, match=r"absent\.msi"):
        cd.write(tmp_path / "cd.iso", {"a.msi": tmp_path / "absent.msi"})
