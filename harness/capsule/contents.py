# SPDX-License-Identifier: Apache-2.0
"""What goes into the zip of a capsule, and what its manifest says of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.capsule import archive, manifest
from harness.capsule.manifest import File, Manifest, Role
from harness.capsule.opened import PACKAGE
from harness.capsule.signing import sign
from harness.results import seal

if TYPE_CHECKING:
    from drivers.package import Package


@dataclass
class Contents:
    """The members of a capsule to be, by their names."""

    members: dict[str, bytes | Path] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)

    def add(self, name: str, role: Role, data: bytes) -> None:
        """One file."""
        self.members[name] = data
        self.files.append(File(name=name, role=role, size=len(data), sha256=archive.digest(data)))

    def add_file(self, name: str, role: Role, path: Path) -> None:
        """One file of the disk, which stays there until it is written; it may be large."""
        self.members[name] = path
        self.files.append(File(name=name, role=role, size=path.stat().st_size, sha256=seal.sha256(path)))

    def add_package(self, package: Package) -> None:
        """A driver package, as it is deployed, with its certificates."""
        for name, path in sorted(package.files.items()):
            self.add(f"{PACKAGE}/{name.replace(chr(92), '/')}", Role.PACKAGE, path.read_bytes())
        for certificate in package.certificates:
            name = f"{PACKAGE}/{certificate.name}"
            if name not in self.members:
                self.add(name, Role.PACKAGE, certificate.read_bytes())

    def write(self, out: Path, said: Manifest, key: Path | None = None) -> None:
        """The zip, with the manifest first, and its signature last where there is a key.

        Raises:
            UsageError: a name or the sum of sizes is beyond what could be opened again, or the key is none.
            OSError: it cannot be written.
        """
        packed = manifest.pack(said)
        signature = {manifest.SIGNATURE: sign(packed, key)} if key is not None else {}
        archive.write(out, {manifest.NAME: packed, **self.members, **signature})
