# SPDX-License-Identifier: Apache-2.0
"""The version that drivers and their INF carry."""

from __future__ import annotations

import importlib.metadata
import tomllib

from drivers.components import ROOT
from drivers.errors import BuildError

# Part of DriverVer, which Windows ranks drivers by, and a constant so that a build does not depend on the
# day of building.  Raise it with the version.
DRIVER_DATE = "11/22/2026"


def version_numbers() -> tuple[int, int, int, int]:
    """The project's version as the four numbers of Windows."""
    pyproject = ROOT.parent / "pyproject.toml"
    if pyproject.is_file():
        text = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["version"]
    else:
        text = importlib.metadata.version("kshs")
    numbers = [int(part) for part in text.split(".")[:3] if part.isdigit()]
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major, minor, patch, 0


def version_text() -> str:
    """The version as in DriverVer and version resources, ``0.1.0.0``."""
    return ".".join(map(str, version_numbers()))


def stamp_inf(inf: bytes) -> bytes:
    """The INF with DriverVer set to `DRIVER_DATE` and the project's version, all else unchanged."""
    lines = inf.decode("utf-8").splitlines()
    stamped = 0
    for index, line in enumerate(lines):
        key, equals, _ = line.partition("=")
        if equals and key.strip().lower() == "driverver":
            lines[index] = f"{key}= {DRIVER_DATE},{version_text()}"
            stamped += 1
    if stamped != 1:
        raise BuildError(f"{stamped} lines with DriverVer, one expected", "avshs.inf")
    return ("\r\n".join(lines) + "\r\n").encode("utf-8")
