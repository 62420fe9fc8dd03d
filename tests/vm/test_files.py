# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vm.errors import VmError
from vm.files import (
    UseMark,
    digest_of,
    locked,
    private_directory,
    read_json,
    remove_tree,
    room,
    try_lock,
    write_json,
    write_whole,
)
from vm.progress import Silent

HOLD = """
import time
from pathlib import Path
from vm.files import {0}
held = {1}
print(1, flush=True)
time.sleep(99)
"""


def hold(what: str, call: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(what, call)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    return process


def test_a_private_directory_is_private(tmp_path: Path) -> None:
    made = private_directory(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700
    made.chmod(0o755)
    assert private_directory(made).stat().st_mode & 0o777 == 0o700


def test_a_private_directory_is_no_link_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(VmError, match="directory of this user"):
        private_directory(tmp_path / "link")
    with pytest.raises(VmError, match="file"):
        private_directory(tmp_path / "file")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "secret"
    write_whole(target, "one")
    assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(TypeError):
        write_whole(target, 5)  # type: ignore[arg-type]
    assert target.read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_json_of_others_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert read_json(path) is None
    write_json(path, {"a": [1]})
    assert read_json(path) == {"a": [1]}
    for text in ("[1]", "{", "\xff"):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(VmError, match=r"x\.json") as caught:
            read_json(path)
        assert "\n" not in str(caught.value)


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.booleans())))
def test_a_digest_does_not_depend_on_order(value: dict[str, object]) -> None:
    assert digest_of(dict(reversed(value.items()))) == digest_of(value)


def test_a_tree_is_removed_whatever_its_modes(tmp_path: Path) -> None:
    inner = tmp_path / "tree" / "closed"
    inner.mkdir(parents=True)
    (inner / "file").touch(mode=0o400)
    (inner / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "kept").touch()
    inner.chmod(0o500)
    assert remove_tree(tmp_path / "tree")
    assert not remove_tree(tmp_path / "tree")
    assert (tmp_path / "kept").exists()


def test_a_lock_is_free_again_when_its_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    process = hold("try_lock", f"try_lock(Path({str(path)!r}))")
    assert try_lock(path) is None
    process.kill()
    process.wait()
    lock = try_lock(path)
    assert lock is not None
    lock.release()


def test_who_waits_for_a_lock_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    process = hold("try_lock", f"try_lock(Path({str(path)!r}))")
    said: list[str] = []

    class Teller(Silent):
        def step(self, text: str, fraction: float | None = None) -> None:
            said.append(text)
            process.kill()

    with locked(path, Teller(), "builds the image"):
        pass
    process.wait()
    assert said == ["waiting for another run that builds the image"]


def test_a_use_mark_is_shared_and_seen_by_others(tmp_path: Path) -> None:
    path = tmp_path / "tree" / "in-use"
    assert not UseMark.is_held(path)
    with pytest.raises(FileNotFoundError):
        UseMark(path)
    path.parent.mkdir()
    path.touch()
    process = hold("UseMark", f"UseMark(Path({str(path)!r}))")
    mine = UseMark(path)
    assert UseMark.is_held(path)
    mine.close()
    mine.close()
    assert UseMark.is_held(path)
    assert not UseMark.remove_unused(path.parent, path)
    process.kill()
    process.wait()
    assert not UseMark.is_held(path)
    assert UseMark.remove_unused(path.parent, path)
    assert not path.parent.exists()


def test_a_mark_that_was_removed_while_one_waited_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process prunes between the opening and the lock: the lock is then of a file that is gone."""
    path = tmp_path / "tree" / "in-use"
    path.parent.mkdir()
    path.touch()
    lock = fcntl.flock

    def pruned(descriptor: int, how: int) -> None:
        remove_tree(path.parent)
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", pruned)
    with pytest.raises(FileNotFoundError):
        UseMark(path)


def test_a_mark_that_was_made_anew_while_one_waited_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tree" / "in-use"
    path.parent.mkdir()
    path.touch()
    lock, made = fcntl.flock, []

    def replaced(descriptor: int, how: int) -> None:
        if not made:
            made.append(path)
            remove_tree(path.parent)
            path.parent.mkdir()
            path.touch()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", replaced)
    mark = UseMark(path)
    monkeypatch.undo()
    assert UseMark.is_held(path), "the lock is of the file that was removed"
    mark.close()


def test_what_was_made_anew_is_not_removed_for_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two prune, one makes the same again: the slower one must not remove what is new and in use."""
    path = tmp_path / "tree" / "in-use"
    path.parent.mkdir()
    path.touch()
    lock = fcntl.flock

    def replaced(descriptor: int, how: int) -> None:
        remove_tree(path.parent)
        path.parent.mkdir()
        path.touch()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", replaced)
    assert not UseMark.remove_unused(path.parent, path)
    assert path.exists()


CLOSED = """
import os, sys
from pathlib import Path
from vm.files import remove_tree
tree = Path(sys.argv[1])
(tree / "a" / "closed").mkdir(parents=True)
(tree / "a" / "closed" / "file").touch()
(tree / "b").mkdir()
(tree / "a" / "closed").chmod(0)
(tree / "a").chmod(0)
(tree / "b").chmod(0)
tree.chmod(0o500)
try:
    os.scandir(tree / "b")
    sys.exit("this process may read everything")
except PermissionError:
    pass
assert remove_tree(tree)
assert not tree.exists()
"""


def test_directories_of_mode_0_are_removed(tmp_path: Path) -> None:
    """By a user: root, whom modes do not stop, gives up that right first."""
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    command = [*(prefix if os.getuid() == 0 else []), sys.executable, "-c", CLOSED, str(tmp_path / "tree")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_two_may_remove_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    for number in range(3):
        (tree / f"{number}").mkdir(parents=True)
        (tree / f"{number}" / "file").touch()
    unlink, gone = os.unlink, []

    def first(name: str, *, dir_fd: int | None = None) -> None:
        """The other one was quicker, with every file."""
        gone.append(name)
        unlink(name, dir_fd=dir_fd)
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", first)
    assert remove_tree(tree)
    assert len(gone) == 3
    assert not tree.exists()


def test_what_is_removed_while_it_is_measured_takes_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kshs guests` lists folders of runs that are ending."""
    kept, gone = tmp_path / "kept", tmp_path / "sub" / "gone"
    kept.write_bytes(b"x" * 5_000)
    gone.mkdir(parents=True)
    (gone / "file").write_bytes(b"x" * 50_000)
    whole = room(tmp_path)
    assert room(kept) == kept.stat().st_blocks * 512 < whole
    scandir = os.scandir

    class Listed(list["os.DirEntry[str]"]):
        """What a folder held a moment ago."""

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return iter(self)

        def __exit__(self, *_: object) -> None:
            pass

        def __next__(self) -> os.DirEntry[str]:
            if not self:
                raise StopIteration
            return self.pop(0)

    def removing(path: str) -> Listed:
        with scandir(path) as found:
            listed = Listed(found)
        if path == str(tmp_path / "sub"):
            remove_tree(gone)
        return listed

    monkeypatch.setattr(os, "scandir", removing)
    assert room(tmp_path) == room(kept)
    assert room(tmp_path / "never") == 0
