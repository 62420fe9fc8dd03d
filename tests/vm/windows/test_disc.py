# SPDX-License-Identifier: Apache-2.0
"""Files of a disc image, found as Windows finds them, and images that are no longer whole."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vm.windows.discs import make_disc
from vm.errors import InputError
from vm.windows.disc import Disc

DATA = bytes(range(256)) * 20
KINDS = ("udf", "joliet", "rock ridge", "iso 9660", "udf+iso 9660")


def _read(path: Path, *parts: str) -> bytes | None:
    with Disc(path, "--iso") as disc:
        file = disc.find(*parts)
        if file is None:
            return None
        with disc.open(file) as stream:
            return stream.read()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["sources/install.wim", "SOURCES/INSTALL.WIM", "Sources/Install.wim"])
def test_a_file_is_found_in_every_tree_of_names_and_in_any_case(tmp_path: Path, kind: str, name: str) -> None:
    disc = make_disc(tmp_path / "disc.iso", {"boot/other.txt": b"no", name: DATA}, kind)
    assert _read(disc, "sources", "install.wim") == DATA
    assert _read(disc, "SOURCES", "INSTALL.WIM") == DATA
    assert _read(disc, "sources", "install.esd") is None
    assert _read(disc, "source", "install.wim") is None


@pytest.mark.parametrize(
    "command",
    [
        ["xorriso", "-as", "mkisofs", "-quiet", "-iso-level", "3", "-R"],
        ["xorriso", "-as", "mkisofs", "-quiet", "-iso-level", "3", "-R", "-J"],
        ["genisoimage", "-quiet", "-iso-level", "1"],
        ["genisoimage", "-quiet", "-iso-level", "1", "-J"],
        ["genisoimage", "-quiet", "-udf"],
    ],
    ids=["rock ridge", "rock ridge and joliet", "level 1", "level 1 and joliet", "udf bridge"],
)
def test_discs_of_other_programs_are_read(tmp_path: Path, command: list[str]) -> None:
    tree = tmp_path / "tree/sources"
    tree.mkdir(parents=True)
    (tree / "install.wim").write_bytes(DATA)
    disc = tmp_path / "disc.iso"
    subprocess.run([*command, "-o", str(disc), str(tree.parent)], check=True, capture_output=True)
    assert _read(disc, "Sources", "Install.WIM") == DATA


def test_a_file_of_two_folders_that_differ_in_case_is_found_in_either(tmp_path: Path) -> None:
    disc = make_disc(tmp_path / "d.iso", {"SOURCES/a.txt": b"a", "sources/install.wim": DATA})
    assert _read(disc, "sources", "install.wim") == DATA
    with Disc(disc, "--iso") as opened:
        assert {file.name for file in opened.files("sources")} == {"a.txt", "install.wim"}


def test_names_in_any_script_hinder_nothing(tmp_path: Path) -> None:
    for kind in ("udf", "joliet", "rock ridge"):
        disc = make_disc(tmp_path / "d.iso", {"Füße/größe.txt": b"a", "sources/日本.wim": DATA}, kind)
        assert _read(disc, "sources", "日本.WIM") == DATA
        assert _read(disc, "FÜSSE", "GRÖSSE.TXT") == b"a"


def test_a_piece_of_a_file_is_read_where_it_lies(tmp_path: Path) -> None:
    path = make_disc(tmp_path / "d.iso", {"first.bin": b"1" * 5000, "sources/install.wim": DATA})
    with Disc(path, "--iso") as disc:
        file = disc.find("sources", "install.wim")
        assert file is not None and file.size == len(DATA)
        with disc.open(file) as stream:
            stream.seek(300)
            assert stream.read(40) == DATA[300:340]
            assert stream.seek(-3, 2) == len(DATA) - 3
            assert stream.read() == DATA[-3:]


def test_a_file_in_several_pieces_is_one(tmp_path: Path) -> None:
    """As UDF keeps files of more than 1 GiB; here the pieces are made small."""
    path = make_disc(tmp_path / "d.iso", {"sources/install.wim": DATA})
    with Disc(path, "--iso") as disc:
        file = disc.find("sources", "install.wim")
        assert file is not None
        ((start, _),) = file.extents
        pieces = ((start, 2048), (start + 2048, 1000), (start + 3048, len(DATA) - 3048))
        with disc.open(type(file)(file.path, pieces)) as stream:
            assert stream.read() == DATA
            stream.seek(2000)
            assert stream.read(1100) == DATA[2000:3100]


def _refusal(path: Path) -> str | None:
    """What is said of the image; None where it was read."""
    try:
        _read(path, "sources", "install.wim")
    except InputError as error:
        assert "\n" not in str(error) and error.hint
        return error.message
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_that_is_cut_anywhere_is_called_so(tmp_path: Path, kind: str) -> None:
    whole = make_disc(tmp_path / "d.iso", {"sources/install.wim": DATA}, kind).read_bytes()
    cut = tmp_path / "cut.iso"
    for at in [*range(2048, len(whole), 2048), 1, 100, 40_000, len(whole) - 1]:
        cut.write_bytes(whole[:at])
        said = _refusal(cut)
        assert said is not None and "damaged or cut off" in said and f"{at:,} bytes" in said, (at, said)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_image_whose_volume_claims_no_length_ends_in_one_line_too(tmp_path: Path, kind: str) -> None:
    whole = bytearray(make_disc(tmp_path / "d.iso", {"sources/install.wim": DATA}, kind).read_bytes())
    whole[16 * 2048 + 80 : 16 * 2048 + 88] = (1).to_bytes(4, "little") + (1).to_bytes(4, "big")
    cut = tmp_path / "cut.iso"
    for at in range(18 * 2048, len(whole), 2048):
        cut.write_bytes(whole[:at])
        try:
            assert DATA.startswith(_read(cut, "sources", "install.wim") or b"")
        except InputError as error:
            assert "\n" not in str(error) and error.hint


@pytest.mark.parametrize("kind", KINDS)
def test_damage_anywhere_is_said_in_one_line(tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    folder = tmp_path_factory.mktemp("damage")
    whole = make_disc(folder / "d.iso", {"sources/install.wim": b"w" * 100}, kind).read_bytes()
    # What lies in the image's structures, and not in the room between them.
    places = [at for at in range(16 * 2048, len(whole)) if whole[at]]
    target = folder / "damaged.iso"

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.lists(st.tuples(st.sampled_from(places), st.integers(0, 255)), min_size=1, max_size=4))
    def damage(changes: list[tuple[int, int]]) -> None:
        data = bytearray(whole)
        for at, value in changes:
            data[at] = value
        target.write_bytes(data)
        try:
            _read(target, "sources", "install.wim")
        except InputError as error:
            assert "\n" not in str(error)

    damage()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\0" * 70_000, "not an ISO image"),
        (b"PK\3\4" * 20, "fewer than any ISO image"),
        (b"\0" * 32_768 + b"\0BEA01\1".ljust(2048, b"\0") * 4, "UDF alone"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "junk.iso"
    path.write_bytes(content)
    assert message in (_refusal(path) or "")


def test_no_file_and_a_folder_are_refused_with_the_option(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.iso", tmp_path):
        with pytest.raises(InputError, match="check --virtio-win"):
            Disc(path, "--virtio-win")
