# SPDX-License-Identifier: Apache-2.0
"""``seal.json``: what a run has left, by digest, written when its results were read back from the disk.

It says which bytes are the run's own: results that somebody has edited since, a file of evidence that is
gone.  It is no signature: who can write the results can write it anew.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vm.files import write_whole

#: In the directory of a run's results.
SEAL = "seal.json"
RESULTS = "results.jsonl"
_SCHEMA = 1
_BLOCK = 1 << 20
_MOST_BYTES = 1 << 24
_DIGEST = re.compile(r"[0-9a-f]{64}")


class SealError(ValueError):
    """There is no seal, or what lies there is none; the text says which."""


@dataclass(frozen=True)
class Seal:
    """The run's id, and the SHA-256 of each file by its path from the directory on, with slashes."""

    run: str
    files: dict[str, str]


def sha256(path: Path) -> str:
    """Of a file's bytes.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def write(folder: Path, run: str, beside: Path | None = None) -> None:
    """Seals the results in a directory, and every file below one folder of it.

    Args:
        folder: with results.jsonl.
        run: its id.
        beside: the folder with the run's incidents; need not be there.

    Raises:
        OSError: something cannot be read, or the seal not be written.
    """
    files = {RESULTS: sha256(folder / RESULTS)}
    for path in sorted(beside.rglob("*")) if beside is not None else ():
        if path.is_file() and not path.is_symlink():
            files[path.relative_to(folder).as_posix()] = sha256(path)
    text = json.dumps({"schema": _SCHEMA, "run": run, "files": files}, indent=1, sort_keys=True)
    write_whole(folder / SEAL, text + "\n", 0o644)


def read(folder: Path) -> Seal:
    """The seal of a directory.

    Raises:
        SealError: there is none, or it is none.
    """
    try:
        if stat.S_ISFIFO((folder / SEAL).stat().st_mode):  # it would be waited for
            raise SealError(f"{SEAL} is no file")
        with (folder / SEAL).open("rb") as file:
            return parse(file.read(_MOST_BYTES + 1))
    except FileNotFoundError:
        raise SealError(f"there is no {SEAL}") from None
    except OSError as error:
        raise SealError(f"{SEAL} cannot be read: {error.strerror}") from None


def parse(data: bytes) -> Seal:
    """The seal in some bytes.

    Raises:
        SealError: it is none.
    """
    try:
        said = json.loads(data if len(data) <= _MOST_BYTES else b"null")
        files = said["files"]
        if said["schema"] != _SCHEMA or not isinstance(said["run"], str) or RESULTS not in files:
            raise ValueError
        if not all(is_path(name) and _DIGEST.fullmatch(digest) for name, digest in files.items()):
            raise ValueError
        return Seal(said["run"], dict(files))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise SealError(f"{SEAL} is no seal of a run") from None


def broken(folder: Path, seal: Seal) -> Iterator[str]:
    """What of a sealed directory is not as it was, a sentence each."""
    for name, digest in seal.files.items():
        path = folder / name
        try:
            if not path.resolve().is_relative_to(folder.resolve()):
                yield f"{name} lies elsewhere"
            elif path.exists() and not path.is_file():
                yield f"{name} is no file"
            elif sha256(path) != digest:
                yield f"{name} is not what the run wrote"
        except FileNotFoundError:
            yield f"{name} is missing"
        except OSError as error:
            yield f"{name} cannot be read: {error.strerror}"


def is_path(name: object) -> bool:
    """Whether a name stays below the directory that it is relative to."""
    if not isinstance(name, str) or not name or "\\" in name or "\0" in name:
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))
