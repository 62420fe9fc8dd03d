# SPDX-License-Identifier: Apache-2.0
"""A capsule that was opened: its manifest, its files by what they are, and where they are put."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.capsule import archive, recorded
from harness.capsule import manifest as manifests
from harness.capsule.archive import Archive, CapsuleError, digest
from harness.capsule.manifest import NAME, SIGNATURE, File, Manifest, Role
from harness.capsule.recording import Recording
from harness.capsule.signing import SIZE, signer
from harness.errors import UsageError
from harness.language.toml_file import parsed
from vm.state_disk import HEAD_BYTES

#: Folders of an unpacked capsule by what lies in them; what is in none of these lies beside them.
SCENARIO = "scenario.toml"
TARGET = "target.toml"
PACKAGE = "package"
#: Bytes of what is parsed: of hostile text tomllib makes up to 450 times as much, json up to 30 times.
MOST_TEXT = {Role.SCENARIO: 256 << 10, Role.TARGET: 512 << 10, Role.RESULT: 8 << 20}


@dataclass(frozen=True, slots=True)
class Signed:
    """By which key a capsule is signed; ``key`` is None where no key was configured to check it by."""

    there: bool
    key: Path | None


class Capsule:
    """An opened capsule; a context, since its file stays open.

    Args:
        path: of the file.

    Raises:
        CapsuleError: it is none, or one that may not be opened; nothing of it was written anywhere.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive = Archive(path)
        try:
            self._raw = self._archive.read(NAME, manifests.MOST_BYTES)
            self.manifest: Manifest = manifests.parse(self._raw, str(path))
            self._check_members()
        except BaseException:
            self._archive.__exit__()
            raise

    def __enter__(self) -> Capsule:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.__exit__()

    def read(self, file: File) -> bytes:
        """One of its files, whole, after its digest was checked.

        Raises:
            CapsuleError: it is not what the manifest says.
        """
        data = self._archive.read(file.name, file.size)
        if digest(data) != file.sha256:
            raise self._altered(file)
        return data

    def text(self, role: Role) -> str | None:
        """The one file that is this, as text; None where it has none.

        Raises:
            CapsuleError: there are several, or it is no text, or longer than texts of this kind are.
        """
        files = self.manifest.of(role)
        if not files:
            return None
        if len(files) > 1:
            raise self._refusal(f"it has {len(files)} files that are its {role.value}")
        limit = MOST_TEXT.get(role, archive.MOST_BYTES)
        if files[0].size > limit:
            raise self._refusal(f"its {role.value} has {files[0].size:,} bytes, of at most {limit:,}")
        try:
            return self.read(files[0]).decode("utf-8")
        except UnicodeDecodeError:
            raise self._refusal(f"{files[0].name} is no text") from None

    def check(self) -> None:
        """Reads all of it, so that whatever is wrong with it is known before any of it is used.

        Raises:
            CapsuleError: a file of it is not what the manifest says.
        """
        for file in self.manifest.files:
            for _ in self._pieces(file):
                pass
        self.recording()

    def recording(self) -> Recording | None:
        """What its recording says of itself; None where it has none.

        Raises:
            CapsuleError: it is none that may be unpacked.
        """
        files = self.manifest.of(Role.RECORDING)
        if not files:
            return None

        def text(file: File) -> str:
            return self.read(file).decode("utf-8")

        def head(file: File) -> bytes:
            return next(self._pieces(file), b"")[:HEAD_BYTES]

        try:
            return recorded.looked_at(files, text, head, self.manifest.origin.scenario)
        except ValueError as error:
            raise self._refusal(f"its recording: {error}") from None

    def signed(self, keys: Sequence[Path]) -> Signed:
        """Whether it is signed, by one of these public keys where there are any.

        Raises:
            CapsuleError: it is not, though there are keys to check it by.
            UsageError: a key cannot be read.
        """
        there = SIGNATURE in self._archive.members
        if not keys:
            return Signed(there, None)
        if not there:
            raise self._refusal("it is not signed, and capsule.keys asks for a signature")
        signature = self._archive.read(SIGNATURE, SIZE)
        key = signer(self._raw, signature, keys)
        if key is None:
            raise self._refusal("it is not signed by any of the keys of capsule.keys")
        return Signed(there, key)

    def unpack(self, directory: Path) -> list[Path]:
        """Writes scenario, target file and package there; what was written.

        Raises:
            CapsuleError: a file of it is not what the manifest says.
            UsageError: there is something already that would be replaced.
            OSError: it cannot be written.
        """
        contents: dict[str, bytes | File] = {}
        for role, name in ((Role.SCENARIO, SCENARIO), (Role.TARGET, TARGET)):
            text = self.text(role)
            if text is not None:
                contents[name] = text.encode()
                if role is Role.TARGET:
                    self._check_target(text)
        for file in self.manifest.of(Role.PACKAGE):
            contents[self._in_package(file.name)] = file
        return self._write(contents, directory)

    def unpack_recording(self, directory: Path) -> Recording:
        """Writes its recording there, after it was looked at; what it says of itself.

        Raises:
            CapsuleError: it has none, or one that may not be unpacked.
            UsageError: there is something already that would be replaced.
            OSError: it cannot be written.
        """
        said = self.recording()
        if said is None:
            raise CapsuleError("it has no recording", str(self.path), "make one of a run with --record")
        files = self.manifest.of(Role.RECORDING)
        self._write({recorded.inside(file.name): file for file in files}, directory)
        return said

    def _write(self, contents: Mapping[str, bytes | File], directory: Path) -> list[Path]:
        there = next((name for name in contents if (directory / name).exists()), None)
        if there is not None:
            raise UsageError(
                "is there already, and nothing is replaced", str(directory / there), "name another"
            )
        written = []
        for name, data in contents.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("xb") as stream:
                    stream.writelines([data] if isinstance(data, bytes) else self._pieces(data))
            except CapsuleError:
                path.unlink(missing_ok=True)
                raise
            written.append(path)
        return written

    def _check_target(self, text: str) -> None:
        """A target file names its package and no other file: nothing of this machine is read for it.

        What is wrong with it otherwise is said with its line where it is read.
        """
        try:
            table: Any = parsed(text)
        except (tomllib.TOMLDecodeError, RecursionError):
            return
        if table.get("package", PACKAGE) != PACKAGE:
            raise self._refusal(f"its target file names a package outside of it, not {PACKAGE!r}")
        pins = table.get("pin")
        formats = [table, *(pins if isinstance(pins, list) else [])]
        for each in formats:
            found = each.get("format") if isinstance(each, dict) else None
            if isinstance(found, dict) and "block_file" in found:
                raise self._refusal("its target file names a file outside of it (block_file)")

    def _pieces(self, file: File) -> Iterator[bytes]:
        """One of its files, piece by piece; that its digest is another is known after the last one."""
        found = hashlib.sha256()
        for data in self._archive.pieces(file.name, file.size):
            found.update(data)
            yield data
        if found.hexdigest() != file.sha256:
            raise self._altered(file)

    def _in_package(self, name: str) -> str:
        inside = name.removeprefix(f"{PACKAGE}/")
        if inside == name:
            raise self._refusal(f"{name} is called a file of the package and does not lie in {PACKAGE}/")
        return f"{PACKAGE}/{inside}"

    def _check_members(self) -> None:
        said = {file.name: file.size for file in self.manifest.files}
        there = {name: member.size for name, member in self._archive.members.items()}
        there.pop(NAME)
        there.pop(SIGNATURE, None)
        odd = sorted(said.keys() ^ there.keys())
        if odd:
            where = "the manifest" if odd[0] in said else "the zip"
            raise self._refusal(f"{odd[0]} is in {where} only")
        wrong = next((name for name, size in said.items() if there[name] != size), None)
        if wrong is not None:
            raise self._refusal(f"{wrong} is not as long as the manifest says")

    def _altered(self, file: File) -> CapsuleError:
        return self._refusal(f"{file.name} is not the file that was put into it (its SHA-256 differs)")

    def _refusal(self, why: str) -> CapsuleError:
        return CapsuleError(
            f"this is no capsule that may be opened: {why}", str(self.path), "ask its sender for a new one"
        )
