# SPDX-License-Identifier: Apache-2.0
"""Files that are there with all of their bytes or not at all, and files by the names that Windows knows."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, data: bytes, mode: int = 0o644) -> None:
    """The file appears with all of its bytes or not at all, with ``mode`` from its first moment.

    Whoever reads it meanwhile sees the earlier one.  Missing folders above it are made.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def find(directory: Path, name: str) -> Path | None:
    """What lies below a directory by a path with ``/``, whose case need not be the file system's.

    Answers a file or folder, None where there is none.
    """
    current = directory
    for part in name.split("/"):
        if (current / part).exists():
            current = current / part
            continue
        inside = {path.name.lower(): path for path in current.iterdir()} if current.is_dir() else {}
        if part.lower() not in inside:
            return None
        current = inside[part.lower()]
    return current
