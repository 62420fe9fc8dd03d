# SPDX-License-Identifier: Apache-2.0
"""The provisioning CD: the answer file, and all that the guest needs to set itself up without a network.

Written by pycdlib with Joliet names, which Windows Setup and cmd read.  pycdlib puts the time of writing
into the ISO, so what identifies a CD is `content_digest`, not the digest of the file.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vm.errors import InputError, VmError
from vm.files import write_whole

if TYPE_CHECKING:
    import pycdlib

VOLUME = "KSHS"
ANSWER_FILE = "Autounattend.xml"
_NAME_LIMIT = 64  # characters of a Joliet name ("Joliet Specification", 1995)


def write(target: Path, files: Mapping[str, bytes | Path]) -> Path:
    """Write the CD, mode 0600 because it holds the guest's password and its SSH host key.

    Args:
        target: the ISO file to make; replaced whole or not at all.
        files: path inside the CD, with ``/`` between folders, to its content.

    Raises:
        VmError: a name that Joliet cannot hold, or a file that cannot be read.
    """
    import pycdlib  # which nothing needs but an installation, and every run would load

    contents = {name: _content(name, source) for name, source in files.items()}
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, vol_ident=VOLUME, sys_ident="", app_ident_str="kshs")
    made: dict[str, str] = {"": ""}
    for number, name in enumerate(sorted(contents)):
        parent = _directories(iso, made, PurePosixPath(name))
        data = contents[name]
        iso.add_fp(
            io.BytesIO(data),
            len(data),
            f"{parent}/F{number:07d}.;1",
            joliet_path=f"/{PurePosixPath(name)}",
        )
    buffer = io.BytesIO()
    iso.write_fp(buffer)
    iso.close()
    write_whole(target, buffer.getvalue())
    return target


def content_digest(files: Mapping[str, bytes | Path]) -> str:
    """SHA-256 (hex) over the names and contents of the CD's files, in the order of their names.

    Raises:
        VmError: as `write`.
    """
    whole = hashlib.sha256()
    for name in sorted(files):
        data = _content(name, files[name])
        whole.update(f"{len(name)} {name} {len(data)}\n".encode())
        whole.update(data)
    return whole.hexdigest()


def check_name(name: str) -> None:
    """Refuses what cannot be the path of a file on the CD.

    Raises:
        VmError: it is not relative, or Joliet cannot hold it.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise VmError("a file of the CD needs a relative path", where=name)
    for part in path.parts:
        if len(part) > _NAME_LIMIT or any(c in '*/:;?\\"<>|' or not c.isprintable() for c in part):
            raise VmError(f"{part!r} is no Joliet name (at most {_NAME_LIMIT} characters)", where=name)


def _content(name: str, source: bytes | Path) -> bytes:
    check_name(name)
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(source)) from None


def _directories(iso: pycdlib.PyCdlib, made: dict[str, str], path: PurePosixPath) -> str:
    """Make the folders above `path`; return the ISO 9660 path of the innermost one."""
    joliet = ""
    iso_path = ""
    for part in path.parts[:-1]:
        joliet = f"{joliet}/{part}"
        if joliet not in made:
            made[joliet] = f"{iso_path}/D{len(made):07d}"
            iso.add_directory(made[joliet], joliet_path=joliet)
        iso_path = made[joliet]
    return iso_path
