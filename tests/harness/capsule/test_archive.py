# SPDX-License-Identifier: Apache-2.0
"""Zip files whose author is hostile are refused before anything of them is used."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.capsule import archive
from harness.capsule.archive import Archive, CapsuleError, is_name, write
from harness.capsule.opened import Capsule
from harness.errors import UsageError
from tests.harness.capsule.made import plain_manifest


def packed(*members: tuple[zipfile.ZipInfo | str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as target:
        for info, data in members:
            target.writestr(info, data)
    return stream.getvalue()


def opened(tmp_path: Path, data: bytes) -> Archive:
    path = tmp_path / "x.capsule"
    path.write_bytes(data)
    return Archive(path)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "driver.sys").write_bytes(b"MZ" * 1000)
    write(tmp_path / "a.zip", {"a.txt": b"one", "package/driver.sys": tmp_path / "driver.sys"})
    write(tmp_path / "b.zip", {"a.txt": b"one", "package/driver.sys": b"MZ" * 1000})
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with Archive(tmp_path / "a.zip") as found:
        assert found.read("a.txt") == b"one"
        assert found.read("package/driver.sys") == b"MZ" * 1000
        with pytest.raises(CapsuleError, match=r"it has no b.txt"):
            found.read("b.txt")
        with pytest.raises(CapsuleError, match="at most 2 are read"):
            found.read("a.txt", 2)


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/x",
        "a/../b",
        "a//b",
        "a/",
        "C:/x",
        "a\\b",
        ".hidden",
        "a/.b",
        "con",
        "lpt1.txt",
        "x/NUL.a",
        "a.",
        "a b ",
        "a\x00b",
        "a\nb",
        "\u202ex",
        "x" * 101,
        "/".join("abcdefghi"),
        "",
        "a:b",
        "-\x1b[2J",
    ],
)
def test_names_that_could_be_more_than_a_name(name: str, tmp_path: Path) -> None:
    assert not is_name(name)
    with pytest.raises(UsageError, match="no capsule may have a file of this name"):
        write(tmp_path / "x.zip", {name: b""})


@pytest.mark.parametrize("name", ["a", "package/relay (1).sys", "package/amd64/x64_a-b.dll", "Treiber.inf"])
def test_names_as_people_have_them(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["../x", "/abs", "a\\b", "dir/", "nul"])
def test_a_member_with_such_a_name_refuses_the_whole(name: str, tmp_path: Path) -> None:
    with pytest.raises(CapsuleError, match=r"that no file here may have|no regular file"):
        opened(tmp_path, packed((name, b"x")))


def test_links_and_devices(tmp_path: Path) -> None:
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK):
        info = zipfile.ZipInfo("link")
        info.external_attr = (kind | 0o777) << 16
        with pytest.raises(CapsuleError, match="is no regular file"):
            opened(tmp_path, packed((info, b"/etc/passwd")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["a.txt", "A.TXT"])
def test_a_name_that_is_there_twice_also_where_case_does_not_matter(second: str, tmp_path: Path) -> None:
    with pytest.raises(CapsuleError, match="is there twice"):
        opened(tmp_path, packed(("a.txt", b"1"), (second, b"2")))


def test_a_member_in_a_file(tmp_path: Path) -> None:
    with pytest.raises(CapsuleError, match="lies in a file"):
        opened(tmp_path, packed(("a", b"1"), ("a/b", b"2")))


def test_what_would_unpack_to_more_than_files_do(tmp_path: Path) -> None:
    with pytest.raises(CapsuleError, match="more than files do"):
        opened(tmp_path, packed(("zeros", bytes(4 << 20))))


def test_too_many_members_and_too_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = packed(*((f"f{number}", b"") for number in range(archive.MOST_MEMBERS + 1)))
    with pytest.raises(CapsuleError, match="more than 512 members"):
        opened(tmp_path, many)
    monkeypatch.setattr(archive.Archive, "most_bytes", 1000)
    two = packed(("a", b"x" * 600), ("b", b"y" * 600))
    with pytest.raises(CapsuleError, match="would unpack to more"):
        opened(tmp_path, two)
    monkeypatch.setattr(archive.Archive, "most_bytes", 10 - archive.MORE_FILE_BYTES)
    with pytest.raises(CapsuleError, match="it is larger than"):
        opened(tmp_path, two)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods(method: int, tmp_path: Path) -> None:
    with pytest.raises(CapsuleError, match=f"packed by method {method}"):
        opened(tmp_path, packed(("a", b"x" * 100), method=method))


def test_an_encrypted_member(tmp_path: Path) -> None:
    data = bytearray(packed(("a", b"x")))
    place = data.index(b"PK\x01\x02") + 8
    data[place] |= 1
    with pytest.raises(CapsuleError, match="is encrypted"):
        opened(tmp_path, bytes(data))


def test_members_that_share_their_bytes(tmp_path: Path) -> None:
    """The directory names the first member's bytes a second time."""
    data = packed(("a", b"x" * 50), ("b", b"y" * 50), method=zipfile.ZIP_STORED)
    second = data.rindex(b"PK\x01\x02")
    shared = data[: second + 42] + struct.pack("<I", 0) + data[second + 46 :]
    with pytest.raises(CapsuleError, match="share their bytes"):
        opened(tmp_path, shared)


def test_a_size_that_is_not_true(tmp_path: Path) -> None:
    data = packed(("a", b"x" * 50), method=zipfile.ZIP_STORED)
    place = data.rindex(b"PK\x01\x02") + 20
    shorter = data[: place + 4] + struct.pack("<I", 40) + data[place + 8 :]
    said = r"cannot be unpacked|not as long as it says"
    with opened(tmp_path, shorter) as found, pytest.raises(CapsuleError, match=said):
        found.read("a")


@pytest.mark.parametrize("data", [b"", b"PK", b"no zip at all", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_capsule(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.capsule"
    path.write_bytes(data)
    with pytest.raises(CapsuleError, match=r"no whole zip file|it has no manifest.json"), Capsule(path):
        pass


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(CapsuleError, match="there is no such file"):
        Archive(tmp_path / "none")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_an_altered_capsule_is_opened_as_it_is_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    """Cut, changed, lengthened anywhere: never another error, and never other bytes than were put in."""
    contents = {"a.txt": b"one" * 100, "package/b.sys": bytes(range(256)) * 4}
    stream = tmp_path / "whole"
    write(stream, plain_manifest(**contents))
    raw = bytearray(stream.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        kind = data.draw(st.sampled_from(["set", "cut", "insert"]))
        if kind == "set":
            raw[place] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del raw[place : place + data.draw(st.integers(1, 64))]
        else:
            raw[place:place] = data.draw(st.binary(min_size=1, max_size=64))
        if not raw:
            break
    path = tmp_path / "altered"
    path.write_bytes(bytes(raw))
    try:
        with Capsule(path) as found:
            for file in found.manifest.files:
                assert found.read(file) == contents[file.name]
    except CapsuleError:
        pass
    assert sorted(each.name for each in tmp_path.iterdir()) == ["altered", "whole"]
