# SPDX-License-Identifier: Apache-2.0
"""What an auditor needs, in one zip file: the statement, and each piece of evidence that it names."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from harness.capsule.archive import Archive, CapsuleError, is_name
from harness.errors import UsageError
from harness.gate.statement import Statement

STATEMENT = "statement.json"
SOURCES = "evidence.json"
PAGE = "gate.html"
_WHAT = "this is no bundle that may be opened"


class BundleError(UsageError):
    """A bundle cannot be opened, or one cannot be made: what is wrong, in one line."""


#: Results of the whole catalogue have 35 MB; zip files of the plain form end at 4 GiB.
MOST_BYTES = 2 << 30


class Bundle(Archive):
    """An opened bundle; use it as a context.  Its directory is checked as a capsule's is."""

    most_members = 8192
    most_bytes = MOST_BYTES

    def _refusal(self, why: str) -> CapsuleError:
        return CapsuleError(f"{_WHAT}: {why}", str(self.path), "ask its sender for a new one")


def make(folder: Path, file: Path, statement: Statement) -> int:
    """Writes a bundle; how many files it has.

    Args:
        folder: what ``kshs gate run`` has left.
        file: that is written, whole or not at all.
        statement: that lies in the folder.

    Raises:
        BundleError: a piece of evidence is not there, or not what it was, or all of it is too much; or the
            file would take the place of one of them.
        OSError: it cannot be written.
    """
    sources = _sources(folder / SOURCES)
    places: dict[str, tuple[Path, str | None]] = {STATEMENT: (folder / STATEMENT, None)}
    for one in statement.predicate.evidence:
        path = sources.get(one.name)
        if path is None:
            raise BundleError(f"nothing says where {one.name} lies", str(folder / SOURCES))
        if not is_name(one.name):
            raise BundleError("no bundle may have a file of this name", one.name, "rename it")
        places[one.name] = path, one.sha256
    if file.resolve() in {
        path.resolve() for path in (folder / SOURCES, *(path for path, _ in places.values()))
    }:
        raise BundleError("is a piece of the evidence itself", str(file), "give --out another name")
    size = sum(_size(path) for path, _ in places.values())
    if size > MOST_BYTES or len(places) > Bundle.most_members:
        limit = f"{Bundle.most_members} files, {MOST_BYTES >> 20} MiB"
        raise BundleError(f"{len(places)} files with {size >> 20} MiB are too much", str(file), limit)
    with tempfile.NamedTemporaryFile(
        dir=file.absolute().parent, prefix=f".{file.name}.", delete=False
    ) as made:
        part = Path(made.name)
        try:
            with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, allowZip64=False) as target:
                for name, (path, digest) in places.items():
                    target.writestr(zipfile.ZipInfo(name), _piece(path, digest), zipfile.ZIP_DEFLATED)
            part.chmod(0o644)
            part.replace(file)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
    return len(places)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}", str(path)) from None


def _piece(path: Path, digest: str | None) -> bytes:
    """The bytes of a file, which must have this digest, where one is given."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}", str(path)) from None
    if digest is not None and hashlib.sha256(data).hexdigest() != digest:
        raise BundleError("is not what the statement says", str(path), "the gate has to be asked anew")
    return data


def _sources(path: Path) -> dict[str, Path]:
    try:
        said = json.loads(path.read_bytes())
        return {str(name): Path(str(place)) for name, place in said["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise BundleError("there is no list of the evidence", str(path), "kshs gate run --out DIR") from None


def sources_text(evidence: Mapping[str, tuple[Path, str]]) -> str:
    """What `make` reads: where each piece of evidence lies."""
    files = {name: str(path) for name, (path, _) in sorted(evidence.items())}
    return json.dumps({"schema": 1, "files": files}, indent=1) + "\n"
