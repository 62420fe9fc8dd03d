# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from vm import apt, debian
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


@pytest.mark.parametrize(
    ("host", "guest"), [("bookworm", "trixie"), ("trixie", "bookworm"), ("stable", "trixie")]
)
def test_another_release_comes_from_the_hosts_mirror(tmp_path: Path, host: str, guest: str) -> None:
    lines = (
        f"deb [signed-by=/k.gpg] http://mirror.example/debian {host} main contrib\n"
        f"deb http://mirror.example/debian {host}-updates main\n"
        f"deb http://mirror.example/debian {host}-backports main\n"
        f"deb http://sec.example/debian-security {host}-security main\n"
        "deb http://vendor.example nodistro main\n"
    )
    assert apt.sources(guest, etc=etc(tmp_path, x_list=lines)) == (
        f"Types: deb\nURIs: http://mirror.example/debian\nSuites: {guest}\nComponents: main\n"
        "Signed-By: /k.gpg\n\n"
        f"Types: deb\nURIs: http://mirror.example/debian\nSuites: {guest}-updates\nComponents: main\n\n"
        f"Types: deb\nURIs: http://sec.example/debian-security\nSuites: {guest}-security\nComponents: main\n"
    )


def test_the_hosts_own_entries_go_before_those_of_another_release(tmp_path: Path) -> None:
    lines = "deb http://one.example/debian bookworm main\ndeb http://two.example/debian trixie main\n"
    found = apt.sources("trixie", etc=etc(tmp_path, x_list=lines))
    assert "two.example" in found
    assert "one.example" not in found


def test_a_file_of_ones_own_is_taken_as_it_is(tmp_path: Path) -> None:
    """Whoever names a file means that file: a release that is not in it is no other one."""
    own = tmp_path / "own"
    own.write_text("deb http://own.example bookworm main\n")
    with pytest.raises(VmError, match="no apt source for Debian trixie main"):
        apt.sources("trixie", own)


def test_a_host_that_is_no_debian_takes_debians_own_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "deb http://archive.ubuntu.com/ubuntu noble main universe\n"
    place = etc(tmp_path, x_list=lines)
    monkeypatch.setattr(debian, "is_debian", lambda: False)
    found = apt.sources("trixie", etc=place)
    assert "URIs: http://deb.debian.org/debian\nSuites: trixie trixie-updates\n" in found
    assert "URIs: http://deb.debian.org/debian-security\nSuites: trixie-security\n" in found
    assert found.count(f"Signed-By: {debian.KEYRING}") == 2
    monkeypatch.setattr(debian, "is_debian", lambda: True)
    with pytest.raises(VmError, match="no apt source"):
        apt.sources("trixie", etc=place)


def test_files_of_the_host_as_people_have_them(tmp_path: Path) -> None:
    """A byte-order mark, capitals, an entry without an address, a file that nobody may read."""
    place = etc(tmp_path, a_sources="types: deb\nSuites: trixie\nComponents: main\n")
    (place / "sources.list").write_bytes(b"\xef\xbb\xbfdeb http://bom.example/debian trixie main\n")
    (place / "sources.list.d" / "b.list").symlink_to(tmp_path / "nowhere")
    found = apt.sources("trixie", etc=place)
    assert "bom.example" in found


def test_a_missing_keyring_is_named(tmp_path: Path) -> None:
    there = tmp_path / "k.gpg"
    there.touch()
    apt.require_keys(f"Types: deb\nSigned-By: {there}\n")
    apt.require_keys("Types: deb\nSigned-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    with pytest.raises(VmError, match=r"none\.gpg: an apt source names this keyring, which is not there"):
        apt.require_keys(f"Types: deb\nSigned-By: {there} {tmp_path}/none.gpg\n")
