# SPDX-License-Identifier: Apache-2.0
"""Trees of files by the digest of what is in them: listed, sent in pieces, checked, and put in place whole.

A tree's digest is that of the list of its files, each with its mode, size and the digests of its pieces.
What a host has received so far stays when the net or a process is cut, and only pieces that are missing or
damaged are asked for again.  Pieces of zeros, of which disks have many, are holes here and there.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import HarnessError
from vm.files import digest_of, private_directory, remove_tree, write_whole

#: Bytes of a piece.
PIECE = 4 << 20
#: Bytes of the largest list of files that is read.
_LARGEST = 64 << 20
_MOST_FILES = 100_000
_DIGEST = re.compile(r"[0-9a-f]{64}")
#: What stands for a piece of zeros.
ZERO = ""


class ContentError(HarnessError):
    """What came is not what its digest names."""


class UnexpectedError(ContentError):
    """Pieces came of a tree of which nothing is known here: it has to be announced again."""


@dataclass(frozen=True)
class Listed:
    """One file of a tree; `pieces` are the SHA-256 of each piece, `ZERO` for one of zeros."""

    name: str
    mode: int
    size: int
    pieces: tuple[str, ...]


@dataclass(frozen=True)
class Listing:
    """The files of a tree, by name."""

    files: tuple[Listed, ...]

    @property
    def digest(self) -> str:
        """Of the tree, hex."""
        return digest_of(self.as_json())

    @property
    def bytes(self) -> int:
        """What takes room: pieces of zeros do not."""
        return sum(PIECE for file in self.files for piece in file.pieces if piece != ZERO)

    def as_json(self) -> list[Any]:
        """As it travels."""
        return [[file.name, file.mode, file.size, list(file.pieces)] for file in self.files]

    @classmethod
    def of_json(cls, value: Any, digest: str) -> Listing:
        """What another host has sent.

        Raises:
            ContentError: it is no such list, names something outside of the tree, or is not of that digest.
        """
        try:
            if not isinstance(value, list) or len(value) > _MOST_FILES:
                raise ValueError
            files = tuple(
                Listed(_name(name), _mode(mode), _size(size, pieces), tuple(map(_piece, pieces)))
                for name, mode, size, pieces in value
            )
            if len({file.name for file in files}) != len(files):
                raise ValueError
        except (TypeError, ValueError):
            raise ContentError("is no list of files", where=digest[:16]) from None
        listing = cls(files)
        if listing.digest != digest:
            raise ContentError("the list of files is not of this digest", where=digest[:16])
        return listing


def _name(name: Any) -> str:
    path = PurePosixPath(name)
    bad = path.is_absolute() or ".." in path.parts or not path.parts or str(path) != name or "\0" in name
    if bad or any(len(part.encode()) > 255 for part in path.parts):
        raise ValueError
    return str(name)


def _mode(mode: Any) -> int:
    if not isinstance(mode, int) or mode & ~0o777:
        raise ValueError
    return mode


def _size(size: Any, pieces: Any) -> int:
    if not isinstance(size, int) or size < 0 or len(pieces) != -(-size // PIECE):
        raise ValueError
    return size


def _piece(digest: Any) -> str:
    if digest != ZERO and not _DIGEST.fullmatch(digest):
        raise ValueError
    return str(digest)


def listing(tree: Path, cache: Path | None = None, *, hidden: bool = True) -> Listing:
    """The list of a directory's files, regular ones only.

    Args:
        tree: the directory.
        cache: a file that keeps the list, for trees that do not change any more, while sizes and times do
        not. hidden: whether names that begin with a dot belong to it.

    Raises:
        ContentError: there is a link or a device among them.
        OSError: one cannot be read.
    """
    paths = list(_walk(tree, hidden=hidden))
    times = {str(path.relative_to(tree)): _stamp(path) for path in paths}
    if cache is not None and cache.is_file():
        kept = json.loads(cache.read_text(encoding="utf-8"))
        if kept["times"] == times:
            return Listing.of_json(kept["files"], kept["digest"])
    made = Listing(tuple(_listed(tree, path) for path in paths))
    if cache is not None:
        private_directory(cache.parent)
        row = {"times": times, "files": made.as_json(), "digest": made.digest}
        write_whole(cache, json.dumps(row))
    return made


def _walk(tree: Path, *, hidden: bool) -> Iterator[Path]:
    for path in sorted(tree.iterdir()):
        if path.name == "__pycache__" or (path.name.startswith(".") and not hidden):
            continue
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            yield from _walk(path, hidden=hidden)
        elif stat.S_ISREG(mode):
            yield path
        else:
            raise ContentError("is neither a file nor a directory, and does not travel", where=str(path))


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_mode & 0o777]


def _listed(tree: Path, path: Path) -> Listed:
    status = path.stat()
    pieces = tuple(_digest(piece) for piece in _pieces(path, status.st_size))
    return Listed(path.relative_to(tree).as_posix(), status.st_mode & 0o777, status.st_size, pieces)


def _pieces(path: Path, size: int) -> Iterator[bytes | None]:
    with path.open("rb") as file:
        for offset in range(0, size, PIECE):
            yield _read(file.fileno(), offset, min(PIECE, size - offset))


def _read(descriptor: int, offset: int, size: int) -> bytes | None:
    """A piece; None for one that is all hole, of which nothing is read."""
    try:
        data = os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError:  # nothing but a hole is left
        return None
    return None if data >= offset + size else os.pread(descriptor, size, offset)


def _digest(piece: bytes | None) -> str:
    if piece is None or piece.count(0) == len(piece):
        return ZERO
    return hashlib.sha256(piece).hexdigest()


def pack(tree: Path, file: Listed, number: int) -> bytes:
    """One piece as it is sent, compressed.

    Raises:
        ContentError: the file has changed since it was listed.
    """
    with (tree / file.name).open("rb") as opened:
        data = _read(opened.fileno(), number * PIECE, min(PIECE, file.size - number * PIECE))
    if data is None or _digest(data) != file.pieces[number]:
        raise ContentError("has changed while it was sent", where=str(tree / file.name))
    return zlib.compress(data, 1)


def unpack(data: bytes, digest: str) -> bytes:
    """A piece as it came.

    Raises:
        ContentError: it is not the one that was asked for.
    """
    worker = zlib.decompressobj()
    try:
        piece = worker.decompress(data, PIECE)
        whole = worker.eof or not worker.decompress(worker.unconsumed_tail, 1)
    except zlib.error:
        raise ContentError("a piece came damaged", where=digest[:16]) from None
    if not whole or hashlib.sha256(piece).hexdigest() != digest:
        raise ContentError("a piece came that is not of its digest", where=digest[:16])
    return piece


class Inbox:
    """Receives one tree; what it has stays between two of them.

    Args:
        target: where the tree is put when all of it is there.
        listing: what is to come.
        parts: on the same file system: where it lies until then.
    """

    def __init__(self, target: Path, listing: Listing, parts: Path) -> None:
        self._target = target
        self._listing = listing
        self._part = private_directory(parts) / listing.digest

    def missing(self) -> list[tuple[int, int]]:
        """Pieces that are not there, or are not what they must be: numbers of files and of their pieces."""
        private_directory(self._part)
        found = []
        for index, file in enumerate(self._listing.files):
            path = self._part / file.name
            there = path.stat().st_size if path.is_file() else -1
            if there != file.size:
                self._make(path, file.size)
            whole = there == file.size
            pieces = _pieces(path, file.size) if whole else itertools.repeat(None, len(file.pieces))
            for number, (wanted, piece) in enumerate(zip(file.pieces, pieces, strict=True)):
                if _digest(piece) == wanted:
                    continue
                if wanted == ZERO:  # something lies where nothing is
                    self._make(path, file.size)
                    return self.missing()
                found.append((index, number))
        return found

    def put(self, index: int, number: int, data: bytes) -> None:
        """One piece, checked before it is written.

        Raises:
            ContentError: it is not the one of the list.
        """
        file = self._listing.files[index]
        piece = unpack(data, file.pieces[number])
        with (self._part / file.name).open("r+b") as opened:
            os.pwrite(opened.fileno(), piece, number * PIECE)

    def finish(self, check: Callable[[Path], None] | None = None) -> None:
        """Puts the tree in its place, once all of it is there; what was there before goes.

        ``check``: looks at it before.

        Raises:
            ContentError: a piece is missing; whatever `check` raises.
        """
        left = self.missing()
        if left:
            raise ContentError(f"{len(left)} pieces are missing", where=str(self._target))
        wanted = {file.name for file in self._listing.files}
        for path in sorted(self._part.rglob("*"), reverse=True):
            if path.is_file() and path.relative_to(self._part).as_posix() not in wanted:
                path.unlink()
        for file in self._listing.files:
            (self._part / file.name).chmod(file.mode)
        if check is not None:
            check(self._part)
        private_directory(self._target.parent)
        remove_tree(self._target)
        self._part.rename(self._target)

    @staticmethod
    def _make(path: Path, size: int) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("wb") as opened:
            opened.truncate(size)
        path.chmod(0o600)


def verify(tree: Path, digest: str) -> None:
    """Whether a tree is what its digest names, byte for byte.

    Raises:
        ContentError: it is not.
    """
    if listing(tree).digest != digest:
        raise ContentError("is not what its digest names any more", where=str(tree))
