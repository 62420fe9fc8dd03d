# SPDX-License-Identifier: Apache-2.0
"""kshs, the harness: scenarios, contract, agent session, pytest plugin, reports, command line."""

from __future__ import annotations

import importlib.metadata


def version() -> str:
    """Of the installed package; "unknown" in a bare checkout."""
    try:
        return importlib.metadata.version("kshs")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
