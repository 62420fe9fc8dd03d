# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from vm import apt
from vm.errors import VmError

DEB822 = """\
# a comment in between
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports trixie
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no
"""
LINES = """\
# deb http://commented.example bookworm main
deb [arch=amd64 signed-by=/k.gpg] https://sec.example/debian-security bookworm-security main non-free # yes
deb https://vendor.example bookworm stable
deb-src http://src.example bookworm main
deb https://cloud.example cloud-sdk-bookworm main
"""


def etc(tmp_path: Path, **files: str) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    for name, text in files.items():
        (tmp_path / "sources.list.d" / name.replace("_", ".")).write_text(text)
    return tmp_path


def test_the_hosts_entries_of_the_release_are_taken(tmp_path: Path) -> None:
    found = apt.sources("bookworm", etc=etc(tmp_path, debian_sources=DEB822, more_list=LINES, old_save=LINES))
    assert found == (
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n"
        "Components: main\nSigned-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
        " -----END PGP PUBLIC KEY BLOCK-----\n\n"
        "Types: deb\nURIs: https://sec.example/debian-security\nSuites: bookworm-security\n"
        "Components: main\nSigned-By: /k.gpg\n"
    )


def test_a_host_without_the_release_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(VmError, match=r"no apt source for Debian bookworm main.*apt_sources"):
        apt.sources("bookworm", etc=etc(tmp_path, x_list=LINES))
    with pytest.raises(VmError, match="check apt_sources"):
        apt.sources("bookworm", tmp_path / "nowhere")


def test_a_file_of_ones_own_replaces_the_hosts(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("deb http://own.example bookworm main\n")
    assert "own.example" in apt.sources("bookworm", own, etc=etc(tmp_path, debian_sources=DEB822))
