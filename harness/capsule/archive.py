# SPDX-License-Identifier: Apache-2.0
"""The zip file of a capsule: written plainly, read as if its author were hostile.

Nothing is ever extracted by name.  The members that the manifest lists are read one by one, each up to the
size that it is said to have, and what the directory of the zip says is not believed before it has been
checked: how long it is before any of it is read (`zipfile` makes an object of some hundred bytes of each
entry, also of millions), then names, kinds, methods, sizes, and that no two members share bytes of the file.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from harness.errors import UsageError

#: Bounds of a capsule; driver packages with their symbols are some megabytes.
MOST_MEMBERS = 512
MOST_BYTES = 256 << 20
#: Of the file beyond what is in it.
MORE_FILE_BYTES = 1 << 20
#: Deflate makes of one byte at most 1,032; what people pack is below this.
MOST_RATIO = 200
#: Members that are small may be as empty as they like: headers of zeros compress well.
RATIO_FROM = 1 << 20

_PART = re.compile(r"[A-Za-z0-9_#@~+=-][A-Za-z0-9 ._#@~+=()-]{0,99}")
_MOST_PARTS = 8
#: Names that Windows takes for devices, in any folder and with any suffix.
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
#: The end of the zip's directory: signature, disks, entries here and in all, bytes, place, comment's length.
_END = struct.Struct("<4s4H2IH")
_END_SIGNATURE, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x07"
_LOCATOR_64_SIZE = 20
#: Of the directory: 512 entries with the longest names are a quarter of it.
MOST_DIRECTORY_BYTES = 2 << 20
_CHUNK = 1 << 20
_ENCRYPTED = 0x1
_SYMLINK_OR_OTHER = (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)
_WHAT = "this is no capsule that may be opened"


class CapsuleError(UsageError):
    """A capsule cannot be opened: what is wrong with it, in one line; nothing of it was used."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside of a capsule, as the zip's directory says."""

    name: str
    size: int


def is_name(name: str) -> bool:
    """Whether a member may be called so: a relative path of plain words, the same on every system."""
    parts = name.split("/")
    return len(parts) <= _MOST_PARTS and all(
        _PART.fullmatch(part) and not part.endswith((".", " ")) and not _DEVICES.fullmatch(part)
        for part in parts
    )


def write(path: Path, members: Mapping[str, bytes | Path]) -> None:
    """A zip with these members, in this order; the same members make the same bytes.

    Raises:
        UsageError: a member's name or the sum of sizes is beyond what could be opened again.
        OSError: it cannot be written.
    """
    total = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            total += content.stat().st_size if isinstance(content, Path) else len(content)
            if not is_name(name):
                raise UsageError("no capsule may have a file of this name", name, "rename it")
            if total > MOST_BYTES or len(members) > MOST_MEMBERS:
                limits = f"a capsule has at most {MOST_MEMBERS} files and {MOST_BYTES >> 20} MiB"
                raise UsageError("there is too much for one capsule", name, limits)
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            if isinstance(content, bytes):
                target.writestr(entry, content)
                continue
            entry.file_size = content.stat().st_size
            with content.open("rb") as source, target.open(entry, "w") as packed:
                shutil.copyfileobj(source, packed, _CHUNK)


class Archive:
    """An opened zip file whose directory has been checked; use it as a context.

    Args:
        path: of the file.

    Raises:
        CapsuleError: it is no zip file, or none that may be read.

    Its bounds are a capsule's; what holds more by its nature has others.
    """

    most_members = MOST_MEMBERS
    most_bytes = MOST_BYTES

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if not path.is_file():
                raise CapsuleError("there is no such file", str(path), "give the path of a capsule")
            most = self.most_bytes + MORE_FILE_BYTES
            if path.stat().st_size > most:
                raise self._refusal(f"it is larger than {most >> 20} MiB")
            with path.open("rb") as stream:
                why = _wrong_end(stream, self.most_members)
            if why is not None:
                raise self._refusal(why)
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            raise CapsuleError(f"cannot be read: {error.strerror}", str(path)) from None
        except (zipfile.BadZipFile, ValueError, struct.error, OverflowError, NotImplementedError) as error:
            raise self._refusal(f"it is no whole zip file ({error})") from None
        try:
            self.members = self._checked()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def read(self, name: str, limit: int | None = None) -> bytes:
        """One member, whole.

        Raises:
            CapsuleError: it is not there, is longer than ``limit``, or its bytes are not what was said.
        """
        return b"".join(self.pieces(name, limit))

    def pieces(self, name: str, limit: int | None = None) -> Iterator[bytes]:
        """The same, a piece of at most 1 MiB at a time; what was wrong may be known after the last one only.

        Raises:
            CapsuleError: see `read`.
        """
        member = self.members.get(name)
        if member is None:
            raise self._refusal(f"it has no {name}")
        limit = self.most_bytes if limit is None else limit
        if member.size > limit:
            raise self._refusal(f"{name} has {member.size:,} bytes, of which at most {limit:,} are read")
        left = member.size
        try:
            with self._zip.open(name) as stream:
                # To its end and one further: only there does zipfile compare the checksum.
                while data := stream.read(min(left + 1, _CHUNK)):
                    left -= len(data)
                    if left < 0:
                        break
                    yield data
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError) as error:
            raise self._refusal(f"{name} cannot be unpacked ({error})") from None
        if left:
            raise self._refusal(f"{name} is not as long as it says")

    def _refusal(self, why: str) -> CapsuleError:
        return CapsuleError(f"{_WHAT}: {why}", str(self.path), "ask its sender for a new one")

    def _checked(self) -> dict[str, Member]:
        infos = self._zip.infolist()
        if len(infos) > self.most_members:
            raise self._refusal(f"it has more than {self.most_members} members")
        members: dict[str, Member] = {}
        folded: set[str] = set()
        for info in infos:
            why = _wrong(info)
            if why is None and info.filename.lower() in folded:
                why = "is there twice"
            if why is not None:
                raise self._refusal(f"the member {info.filename[:100]!r} {why}")
            folded.add(info.filename.lower())
            members[info.filename] = Member(info.filename, info.file_size)
        for name in folded:
            if any(parent in folded for parent in _parents(name)):
                raise self._refusal(f"the member {name!r} lies in a file")
        if sum(member.size for member in members.values()) > self.most_bytes:
            raise self._refusal(f"it would unpack to more than {self.most_bytes >> 20} MiB")
        if _overlapping(infos):
            raise self._refusal("members of it share their bytes")
        return members


def _wrong_end(stream: BinaryIO, most_members: int) -> str | None:
    """What is wrong with the end of the zip's directory, which says how long that is; None: nothing.

    A capsule has neither a comment nor the form for large files (ZIP64), so its end is in one place.
    """
    end = stream.seek(0, os.SEEK_END)
    before = min(end, _END.size + _LOCATOR_64_SIZE)
    stream.seek(end - before)
    tail = stream.read(before)
    if len(tail) < _END.size or not tail[-_END.size :].startswith(_END_SIGNATURE):
        return "it is no whole zip file, or has something behind its end"
    _, _, _, here, entries, size, _, comment = _END.unpack(tail[-_END.size :])
    if comment or (before > _END.size and tail.startswith(_LOCATOR_64)):
        return "it is a zip file of another form (ZIP64, or with a comment)"
    if max(here, entries) > most_members or size > MOST_DIRECTORY_BYTES:
        return f"it has more than {most_members} members"
    return None


def _wrong(info: zipfile.ZipInfo) -> str | None:
    mode = info.external_attr >> 16
    if not is_name(info.filename) or info.orig_filename != info.filename:
        return "has a name that no file here may have"
    if stat.S_IFMT(mode) in _SYMLINK_OR_OTHER or info.is_dir():
        return "is no regular file"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is packed by method {info.compress_type}"
    if info.file_size > max(RATIO_FROM, MOST_RATIO * info.compress_size):
        return "would unpack to more than files do"
    return None


def _parents(name: str) -> Iterable[str]:
    parts = name.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))


def _overlapping(infos: Iterable[zipfile.ZipInfo]) -> bool:
    """Whether packed bytes are used twice, by which a small file unpacks to a very large one."""
    end = 0
    for info in sorted(infos, key=lambda each: each.header_offset):
        if info.header_offset < end:
            return True
        end = info.header_offset + _LOCAL_HEADER.size + info.compress_size
    return False


def digest(data: bytes) -> str:
    """SHA-256 of a member, as manifests say it."""
    return hashlib.sha256(data).hexdigest()
