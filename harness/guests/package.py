# SPDX-License-Identifier: Apache-2.0
"""A target with its driver package, found and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.language.target import check_package, find, package_directory, wrong
from harness.language.toml_file import is_toml

if TYPE_CHECKING:
    from drivers.build import Build
    from drivers.package import Package
    from harness.config import Config
    from harness.language.model import Target


@dataclass(frozen=True)
class LoadedTarget:
    """A target and the file that it came from."""

    target: Target
    file: Path

    def package(self, build: Build) -> Package:
        """Its driver package, checked.

        Raises:
            UsageError: there is none, or its parts do not fit together.
            BuildError: it cannot be checked here.
        """
        import drivers.package
        from drivers.errors import PackageError

        directory = package_directory(self.target, self.file)
        if directory is None:
            return build.avshs
        try:
            return drivers.package.load(directory, self.target.hardware_id)
        except PackageError as error:
            raise wrong(self.file, "package", str(error)) from error

    def refusal(self, key: str, message: str, hint: str) -> UsageError:
        """The error to raise for what a key says, with its line in the file."""
        return wrong(self.file, key, message, hint)

    @property
    def root_enumerated(self) -> str:
        """How its user says that the device is created without its hardware."""
        return "root_enumerated = true in the target file"


def find_target(name: str, config: Config) -> LoadedTarget:
    """A target by its name in kshs.toml, by the path of its file, or a builtin one by its name.

    Raises:
        UsageError: there is none, its file is wrong, or its package is not there or not for its device.
    """
    named = config.targets.get(name)
    wanted = name if named is None else str(named)
    settings, key = config.said(name) or (None, "")
    said = "--target" if settings is None else f"{settings}: {key}"
    if settings is not None and is_toml(Path(wanted)) and not Path(wanted).is_file():
        raise UsageError(f"there is no target file {wanted}", said, f"paths in {settings} are relative to it")
    target, file = find(wanted, said=said, others=config.targets)
    check_package(target, file)
    return LoadedTarget(target, file)
