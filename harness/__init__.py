# SPDX-License-Identifier: Apache-2.0
"""kshs, the harness: scenarios, contract, agent session, pytest plugin, reports, command line.

PYTEST_DONT_REWRITE: ``kshs run`` has imported it when it starts pytest, which would warn of that each time.
"""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path


def version() -> str:
    """Of this checkout, else of the installed package."""
    try:
        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
        if project["project"]["name"] == "kshs":
            return str(project["project"]["version"])
    except (OSError, ValueError, KeyError):
        pass
    try:
        return importlib.metadata.version("kshs")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
