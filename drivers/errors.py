# SPDX-License-Identifier: Apache-2.0
"""The errors of this room: each is one line that says what is wrong, where, and what to do."""

from __future__ import annotations


class BuildError(Exception):
    """Something about building, signing or checking binaries failed.

    ``message`` says what is wrong, ``where`` names the file, package or key, ``hint`` says what to do.
    ``str()`` of it is the line a user sees.
    """

    def __init__(self, message: str, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}; {self.hint}" if self.hint else text


class ToolMissing(BuildError):  # noqa: N818 - named for what happened, like FileNotFoundError's siblings
    """A program or a set of files from a Debian package is not installed."""

    def __init__(self, name: str, package: str) -> None:
        super().__init__(f"{name} is not installed", hint=f"run: apt-get install -y {package}")
        self.name = name
        self.package = package


class CompileError(BuildError):
    """clang, the linker or the resource compiler refused; ``output`` holds what it printed."""

    def __init__(self, message: str, where: str | None, output: str) -> None:
        first = next((line for line in output.splitlines() if "error" in line), output.strip().split("\n")[0])
        super().__init__(f"{message}: {first.strip()}" if first.strip() else message, where)
        self.output = output


class AbiMismatch(BuildError):  # noqa: N818
    """Two sides were compiled from different versions of ``kshs_abi.h``."""


class ImportRefused(BuildError):  # noqa: N818
    """A binary imports what the guest family lacks or only pretends to have."""


class PackageError(BuildError):
    """A driver package whose INF, SYS, CAT and signatures do not fit together."""


class SigningError(BuildError):
    """Keys, certificates or the signing tool are not as they must be."""
