# SPDX-License-Identifier: Apache-2.0
"""A capsule that was opened: its manifest, its files by what they are, and where they are put."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from harness.capsule import manifest as manifests
from harness.capsule.archive import Archive, CapsuleError, digest
from harness.capsule.manifest import NAME, SIGNATURE, File, Manifest, Role
from harness.capsule.signing import SIZE, signer
from harness.errors import UsageError

#: Folders of an unpacked capsule by what lies in them; what is in none of these lies beside them.
SCENARIO = "scenario.toml"
TARGET = "target.toml"
PACKAGE = "package"


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
            raise self._refusal(f"{file.name} is not the file that was put into it (its SHA-256 differs)")
        return data

    def text(self, role: Role) -> str | None:
        """The one file that is this, as text; None where it has none.

        Raises:
            CapsuleError: there are several, or it is no text.
        """
        files = self.manifest.of(role)
        if not files:
            return None
        if len(files) > 1:
            raise self._refusal(f"it has {len(files)} files that are its {role.value}")
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
            self.read(file)

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
        contents: dict[str, bytes] = {}
        for role, name in ((Role.SCENARIO, SCENARIO), (Role.TARGET, TARGET)):
            text = self.text(role)
            if text is not None:
                contents[name] = text.encode()
        for file in self.manifest.of(Role.PACKAGE):
            contents[self._in_package(file.name)] = self.read(file)
        there = next((name for name in contents if (directory / name).exists()), None)
        if there is not None:
            raise UsageError(
                "is there already, and nothing is replaced", str(directory / there), "name another"
            )
        written = []
        for name, data in contents.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as stream:
                stream.write(data)
            written.append(path)
        return written

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

    def _refusal(self, why: str) -> CapsuleError:
        return CapsuleError(
            f"this is no capsule that may be opened: {why}", str(self.path), "ask its sender for a new one"
        )
