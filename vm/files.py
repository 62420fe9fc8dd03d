# SPDX-License-Identifier: Apache-2.0
"""Private directories, whole files and locks."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vm.errors import VmError
from vm.progress import Progress


def private_directory(path: Path) -> Path:
    """Makes ``path`` (mode 0700) or checks that it is ours and nobody else's to write.

    A runtime directory lies in a place where everybody may create names, so an existing one is only
    taken if it is a true directory that belongs to this user.

    Raises:
        VmError: it is a link, another user's, or cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        raise VmError(
            f"cannot make the directory: {error.strerror}", str(path), "choose another in kshs.toml"
        ) from None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise VmError("it must be a directory of this user", str(path), "remove it, or choose another")
    if status.st_mode & 0o077:
        path.chmod(0o700)
    return path


def write_whole(path: Path, data: bytes | str, mode: int = 0o600, *, replace: bool = True) -> None:
    """Writes a file so that a reader sees all of it or none, even after a power cut.

    Raises:
        FileExistsError: ``replace`` is not set, and there is one by now.
    """
    content = data.encode() if isinstance(data, str) else data
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            Path(name).replace(path)
        else:
            path.hardlink_to(name)
            Path(name).unlink()
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def sync_directory(directory: Path) -> None:
    """Returns when the disk has the names in it: a file without one is lost with a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """``write_whole`` of one JSON document."""
    write_whole(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in the file; None where there is no such file.

    Raises:
        VmError: it holds something else.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise VmError(f"cannot be read: {error}", str(path), "remove it with `kshs clean`") from None
    if not isinstance(value, dict):
        raise VmError("is not a JSON object", str(path), "remove it with `kshs clean`")
    return value


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a JSON value in its one canonical spelling."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def room(place: Path) -> int:
    """Bytes that a file, or all below a folder, take on the disk; what is removed meanwhile takes none.

    Blocks and not lengths: disks and memories of guests are sparse.  By `os.walk`, which passes over a folder
    that has gone when its turn comes, as `Path.rglob` does not.
    """
    found = (
        [place] if place.is_file() else [Path(at, name) for at, _, names in os.walk(place) for name in names]
    )
    size = 0
    for file in found:
        with contextlib.suppress(OSError):
            size += file.lstat().st_blocks * 512
    return size


def remove_tree(path: Path) -> bool:
    """Removes a file or a directory, whatever modes lie inside; whether there was one.

    Another process may be removing the same.
    """
    if not path.is_symlink() and path.is_dir():
        try:
            _remove_directory(path)
        except PermissionError:
            _open_up(path)
            _remove_directory(path)
        return True
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _remove_directory(path: Path) -> None:
    def failed(_function: object, _name: str, error: object) -> None:
        what = error[1] if isinstance(error, tuple) else error
        if isinstance(what, BaseException) and not isinstance(what, FileNotFoundError):
            raise what

    if sys.version_info >= (3, 12):
        shutil.rmtree(path, onexc=failed)
    else:
        shutil.rmtree(path, onerror=failed)


def _open_up(path: Path) -> None:
    """Gives every directory of a tree, which is ours, the modes with which it can be emptied."""
    pending = [path]
    while pending:
        directory = pending.pop()
        try:
            directory.chmod(0o700)
            with os.scandir(directory) as entries:
                pending += [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            continue


@contextlib.contextmanager
def locked(path: Path, progress: Progress, waiting_for: str) -> Iterator[None]:
    """Holds the lock at ``path``; says so once where another process has it."""
    lock = FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.step(f"waiting for another run that {waiting_for}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def try_lock(path: Path) -> FileLock | None:
    """The lock at ``path``, taken; None while another process holds it."""
    lock = FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock


class UseMark:
    """Says that something is in use: many may hold it, and who wants to remove the thing sees it.

    ``filelock`` has no shared locks on POSIX, hence flock(2) itself, which the kernel lets go of when
    the process ends, however it ends.
    """

    def __init__(self, path: Path) -> None:
        """Takes the mark at ``path``.

        Raises:
            FileNotFoundError: there is none, or it was removed just now.
        """
        self._descriptor = -1
        while self._descriptor < 0:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if _is_at(descriptor, path):
                self._descriptor = descriptor
            else:
                # It was removed before the lock was ours, and perhaps made anew: then that one counts.
                os.close(descriptor)

    @property
    def descriptor(self) -> int:
        """Of the open file: whoever inherits it holds the mark, too."""
        return self._descriptor

    def close(self) -> None:
        """Ends the use; again does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @staticmethod
    def is_held(path: Path) -> bool:
        """Whether any process holds the mark at ``path``."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    @staticmethod
    def remove_unused(tree: Path, path: Path) -> bool:
        """Removes ``tree``, which holds the mark at ``path``, unless somebody uses it; whether it did.

        Who takes the mark at the same moment waits, and then finds that there is nothing any more.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return remove_tree(tree)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Else another process removed it meanwhile, and what is there now is not what was asked about.
            return _is_at(descriptor, path) and remove_tree(tree)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def last_use(path: Path) -> float:
    """When the file was changed or touched last; 0 where another process has removed it."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
