# SPDX-License-Identifier: Apache-2.0
"""Files inside a disc image, found as Windows finds them: without regard to case, in whichever tree has them.

An image may hold up to four trees of names over the same data: UDF (ECMA-167, what Windows media have),
Joliet, Rock Ridge and plain ISO 9660 (ECMA-119).  pycdlib reads them all.  It was written for sound images,
so what it raises on a damaged one may be anything; here that is one `InputError`.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vm.errors import InputError
from vm.words import printable

if TYPE_CHECKING:
    import pycdlib

# What it has to say of a damaged image reaches the user as one line, ours.
logging.getLogger("pycdlib").addHandler(logging.NullHandler())

_SECTOR = 2048
_VOLUME_AT = 16 * _SECTOR  # ECMA-119, 6.2.1: the volume descriptors come behind the system area
_NONSENSE = "what it says of itself makes no sense"
_AGAIN = "download it again and compare its SHA-256 with the publisher's"


@dataclass(frozen=True)
class DiscFile:
    """A file of the image: its path as the image spells it, and where its bytes lie (offset, length)."""

    path: str
    extents: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return sum(length for _, length in self.extents)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]


class Disc:
    """An opened image; a context manager.

    Args:
        path: the file.
        option: which option of the command line gave it; hints name it.
        again: what to do with an image that is damaged.

    Raises:
        InputError: it cannot be read, is no image of a disc, or is damaged or cut off.
    """

    def __init__(self, path: Path, option: str, again: str = _AGAIN) -> None:
        self.path = path
        self._again = again
        self._stack = contextlib.ExitStack()
        import pycdlib  # which nothing needs but an installation, and every run would load

        self._iso = pycdlib.PyCdlib()
        try:
            self._file = self._open(option)
            self.size = self._file.seek(0, io.SEEK_END)
            self._check_length(option)
            with self._reading():
                self._iso.open_fp(self._file)
            self._check_partition()
        except BaseException:
            self._stack.close()
            raise
        self._stack.callback(self._close)

    def __enter__(self) -> Disc:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def find(self, *parts: str) -> DiscFile | None:
        """The file at this path, its parts compared without regard to case; None where there is none."""
        *folders, name = parts
        return next((file for file in self.files(*folders) if file.name.casefold() == name.casefold()), None)

    def files(self, *folders: str) -> list[DiscFile]:
        """The files of a folder, those of the tree that Windows would take before the others."""
        with self._reading():
            return [
                DiscFile(f"{folder.path}/{name}", tree.extents(record))
                for tree in self._trees()
                for folder in self._folders(tree, folders)
                for name, record in tree.children(folder.record)
                if not record.is_dir()
            ]

    def folders(self, *parts: str) -> list[str]:
        """The names of the folders in a folder, each once."""
        with self._reading():
            names = {
                name.lower()
                for tree in self._trees()
                for folder in self._folders(tree, parts)
                for name, record in tree.children(folder.record)
                if record.is_dir()
            }
        return sorted(names)

    def open(self, file: DiscFile) -> BinaryIO:
        """The file's bytes, seekable; good for as long as the image is open.

        Raises:
            InputError: some of them lie behind the image's end.
        """
        for offset, length in file.extents:
            if offset + length > self.size:
                raise self.damaged(f"{file.path} ends at byte {offset + length:,} of {self.size:,}")
        return io.BufferedReader(_Extents(self._file, file.extents))

    def damaged(self, reason: str) -> InputError:
        """The error that says so."""
        return InputError(f"the ISO image is damaged or cut off: {reason}", str(self.path), self._again)

    # ---- is it whole -------------------------------------------------------

    def _open(self, option: str) -> BinaryIO:
        try:
            if not self.path.is_file():
                raise InputError("there is no such file", str(self.path), f"check {option}")
            return self._stack.enter_context(self.path.open("rb"))
        except OSError as error:
            raise InputError(
                f"cannot read the ISO: {error.strerror}", str(self.path), f"check {option}"
            ) from None

    def _check_length(self, option: str) -> None:
        """What the first volume descriptor says of the volume's length (ECMA-119, 8.4.8 and 8.4.12)."""
        self._file.seek(_VOLUME_AT)
        descriptor = self._file.read(_SECTOR)
        if not self.size:
            raise InputError("the ISO image is empty", str(self.path), self._again)
        if descriptor[1:6] in (b"BEA01", b"NSR02", b"NSR03"):
            raise InputError(
                "this image has UDF alone; kshs reads discs that have ISO 9660 too, as Windows media do",
                str(self.path),
                f"check {option}",
            )
        if len(descriptor) == _SECTOR and descriptor[:7] != b"\x01CD001\x01":
            raise InputError("this is not an ISO image", str(self.path), f"check {option}")
        if len(descriptor) < _SECTOR:
            raise self.damaged(f"it has {self.size:,} bytes, fewer than any ISO image")
        blocks = int.from_bytes(descriptor[80:84], "little")
        self._check_end(blocks * int.from_bytes(descriptor[128:130], "little"))

    def _check_partition(self) -> None:
        """The same of the UDF partition."""
        if not self._iso.has_udf():
            return
        with self._reading():
            partition = self._iso.udf_main_descs.partitions[0]
            end = (partition.part_start_location + partition.part_length) * _SECTOR
        self._check_end(end)

    def _check_end(self, end: int) -> None:
        if end > self.size:
            raise self.damaged(f"it has {self.size:,} bytes of {end:,}")

    # ---- trees of names ----------------------------------------------------

    def _trees(self) -> Sequence[_Tree]:
        iso = self._iso
        trees: list[_Tree] = []
        if iso.has_udf():
            trees.append(_UdfTree(iso))
        if iso.joliet_vd is not None:
            trees.append(_Tree(iso, iso.joliet_vd.root_directory_record(), "utf-16-be"))
        if iso.has_rock_ridge():
            trees.append(_RockRidgeTree(iso, iso.pvd.root_directory_record()))
        return [*trees, _Tree(iso, iso.pvd.root_directory_record(), "ascii")]

    def _folders(self, tree: _Tree, parts: Sequence[str]) -> list[_Folder]:
        found = [tree.root]
        for part in parts:
            found = [
                _Folder(f"{folder.path}/{name}", record)
                for folder in found
                for name, record in tree.children(folder.record)
                if record.is_dir() and name.casefold() == part.casefold()
            ]
        return found

    # ---- pycdlib -----------------------------------------------------------

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Around every call of pycdlib: an image that it cannot read is damaged, whatever it raises."""
        from pycdlib.pycdlibexception import PyCdlibException

        try:
            yield
        except InputError:
            raise
        except OSError as error:
            if error.errno == errno.EINVAL:  # it names a place before its own beginning
                raise self.damaged(_NONSENSE) from error
            raise InputError(f"cannot be read: {error.strerror}", str(self.path), self._again) from None
        except PyCdlibException as error:
            raise self.damaged(printable(str(error))) from error
        except Exception as error:
            raise self.damaged(_NONSENSE) from error

    def _close(self) -> None:
        with contextlib.suppress(Exception):
            self._iso.close()


@dataclass(frozen=True)
class _Folder:
    path: str
    record: Any


class _Tree:
    """ISO 9660 or Joliet: directory records, whose names end in a version."""

    def __init__(self, iso: pycdlib.PyCdlib, root: Any, encoding: str) -> None:
        self.root = _Folder("", root)
        self._block = iso.logical_block_size
        self._encoding = encoding

    def children(self, record: Any) -> Iterator[tuple[str, Any]]:
        """Names and records of a folder; of a file in several extents the first record alone."""
        last = None
        for child in record.children:
            if child.is_dot() or child.is_dotdot() or child.file_identifier() == last:
                continue
            last = child.file_identifier()
            if (name := self._name(child)) is not None:
                yield name, self._followed(child)

    def _name(self, record: Any) -> str | None:
        text = str(record.file_identifier().decode(self._encoding, errors="replace"))
        stem, _, version = text.rpartition(";")
        return (stem if stem and version.isdigit() else text).rstrip(".")

    def _followed(self, record: Any) -> Any:
        return record

    def extents(self, record: Any) -> tuple[tuple[int, int], ...]:
        """Where the bytes of a file lie; none for one that has no data, such as a symbolic link."""
        found = []
        while record is not None and record.inode is not None and record.data_length:
            start = record.inode.extent_location() + record.data_extent_offset
            found.append((start * self._block, record.data_length))
            record = record.data_continuation
        return tuple(found)


class _RockRidgeTree(_Tree):
    """The same records under the names that POSIX systems see."""

    def __init__(self, iso: pycdlib.PyCdlib, root: Any) -> None:
        super().__init__(iso, root, "utf-8")

    def _name(self, record: Any) -> str | None:
        return record.rock_ridge.name().decode(errors="replace") if record.rock_ridge is not None else None

    def _followed(self, record: Any) -> Any:
        moved = record.rock_ridge.cl_to_moved_dr if record.rock_ridge.child_link_record_exists() else None
        return moved or record


class _UdfTree(_Tree):
    """UDF: file entries, named by the identifiers in their folder."""

    def __init__(self, iso: pycdlib.PyCdlib) -> None:
        super().__init__(iso, iso.udf_root, "latin-1")
        self._start = iso.udf_main_descs.partitions[0].part_start_location

    def children(self, record: Any) -> Iterator[tuple[str, Any]]:
        """As there."""
        for identifier in record.fi_descs.values():
            if not identifier.is_parent() and identifier.file_entry is not None:
                encoding = "utf-16-be" if identifier.encoding == "utf-16_be" else self._encoding
                yield identifier.fi.decode(encoding, errors="replace"), identifier.file_entry

    def extents(self, record: Any) -> tuple[tuple[int, int], ...]:
        """As there; where they are fewer than the entry says, a piece is missing that no image can hold."""
        found, left = [], int(record.get_data_length())
        for piece in record.alloc_descs:
            start = (self._start + piece.log_block_num) * self._block + piece.offset
            found.append((start, min(piece.extent_length, left)))
            left -= found[-1][1]
        if left:
            from pycdlib.pycdlibexception import PyCdlibException

            raise PyCdlibException(f"a file has {left:,} bytes more than places for them")
        return tuple(found)


class _Extents(io.RawIOBase):
    """The pieces of a file of the image, one behind the other."""

    def __init__(self, source: BinaryIO, extents: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self._source = source
        self._extents = extents
        self._size = sum(length for _, length in extents)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        begin = 0
        for offset, length in self._extents:
            inside = self._at - begin
            if 0 <= inside < length:
                wanted = min(len(buffer), length - inside)
                self._source.seek(offset + inside)
                data = self._source.read(wanted)
                buffer[: len(data)] = data
                self._at += len(data)
                return len(data)
            begin += length
        return 0
