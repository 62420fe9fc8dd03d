# SPDX-License-Identifier: Apache-2.0
"""Another tree of the drivers' C sources than the installed one, as it is given by ``--drivers``."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError


def check_tree(source: Path) -> None:
    """That it is one.

    Raises:
        UsageError: it is not.
    """
    if not (source / "abi" / "kshs_abi.h").is_file():
        raise UsageError(
            "holds no drivers: abi/kshs_abi.h is missing",
            where=str(source),
            hint="give a copy of the project's drivers/ folder",
        )
