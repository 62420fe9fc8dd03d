# SPDX-License-Identifier: Apache-2.0
"""Trees by digest: sent in pieces, checked, gone on with; nothing else is ever put in place."""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path

import pytest

from harness.fleet import content
from harness.fleet.content import ContentError, Inbox, Listing, listing, pack, unpack, verify

PIECE = 1 << 12


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "PIECE", PIECE)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "disk").write_bytes(os.urandom(PIECE) + bytes(3 * PIECE) + b"end")
    (root / "sub" / "key").write_bytes(b"secret")
    (root / "sub" / "key").chmod(0o600)
    (root / "run.sh").write_bytes(b"")
    (root / "run.sh").chmod(0o755)
    return root


def inbox(tree: Path, to: Path) -> tuple[Inbox, Listing]:
    found = listing(tree)
    sent = Listing.of_json(found.as_json(), found.digest)
    return Inbox(to, sent, to.parent / "parts"), sent


def test_a_tree_comes_as_it_is_with_its_modes_and_its_holes(tree: Path, tmp_path: Path) -> None:
    box, sent = inbox(tree, tmp_path / "there")
    missing = box.missing()
    assert len(missing) == 3, "pieces of zeros are not sent"
    for index, number in missing:
        box.put(index, number, pack(tree, sent.files[index], number))
    box.finish()
    verify(tmp_path / "there", sent.digest)
    assert (tmp_path / "there" / "sub" / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "there" / "run.sh").stat().st_mode & 0o777 == 0o755
    assert not list((tmp_path / "parts").iterdir())


def test_what_came_before_a_cut_is_not_asked_for_again_and_what_was_damaged_is(
    tree: Path, tmp_path: Path
) -> None:
    box, sent = inbox(tree, tmp_path / "there")
    first, *others = box.missing()
    box.put(*first, pack(tree, sent.files[first[0]], first[1]))
    again, _ = inbox(tree, tmp_path / "there")
    assert again.missing() == others
    part = tmp_path / "parts" / sent.digest / "disk"
    data = bytearray(part.read_bytes())
    data[7] ^= 1
    data[2 * PIECE] = 1  # in a hole
    part.write_bytes(data)
    assert first in Inbox(tmp_path / "there", sent, tmp_path / "parts").missing()
    with pytest.raises(ContentError, match="pieces are missing"):
        again.finish()
    assert not (tmp_path / "there").exists()


def test_a_piece_that_is_another_one_is_not_written(tree: Path, tmp_path: Path) -> None:
    box, _ = inbox(tree, tmp_path / "there")
    index, number = box.missing()[0]
    for data in (b"no zlib", zlib.compress(b"another"), zlib.compress(bytes(100 * PIECE))):
        with pytest.raises(ContentError):
            box.put(index, number, data)
    with pytest.raises(ContentError):
        unpack(zlib.compress(bytes(2 * PIECE)), hashlib.sha256(bytes(2 * PIECE)).hexdigest())
    assert (index, number) in box.missing()


@pytest.mark.parametrize(
    "row",
    [
        ["../out", 0o644, 0, []],
        ["/etc/passwd", 0o644, 0, []],
        ["a/../../b", 0o644, 0, []],
        ["a", 0o4755, 0, []],
        ["a", 0o644, -1, []],
        ["a", 0o644, PIECE + 1, [""]],
        ["a", 0o644, 1, ["xyz"]],
        ["", 0o644, 0, []],
        ["a", 0o644],
        [7, 0o644, 0, []],
    ],
)
def test_a_list_that_leads_elsewhere_is_refused(row: list[object]) -> None:
    from vm.files import digest_of

    with pytest.raises(ContentError):
        Listing.of_json([row], digest_of([row]))


def test_a_list_of_another_digest_is_refused(tree: Path) -> None:
    found = listing(tree)
    with pytest.raises(ContentError, match="not of this digest"):
        Listing.of_json(found.as_json(), "0" * 64)


def test_what_has_changed_since_it_was_listed_is_told(tree: Path, tmp_path: Path) -> None:
    found = listing(tree, tmp_path / "kept.json")
    assert listing(tree, tmp_path / "kept.json") == found
    (tree / "sub" / "key").write_bytes(b"other!")
    assert listing(tree, tmp_path / "kept.json").digest != found.digest
    disk = next(file for file in found.files if file.name == "disk")
    (tree / "disk").write_bytes(bytes(disk.size))
    with pytest.raises(ContentError, match="has changed while it was sent"):
        pack(tree, disk, 0)
    with pytest.raises(ContentError, match="not what its digest names"):
        verify(tree, found.digest)


def test_a_link_does_not_travel(tree: Path) -> None:
    (tree / "link").symlink_to("/etc/passwd")
    with pytest.raises(ContentError, match="does not travel"):
        listing(tree)
