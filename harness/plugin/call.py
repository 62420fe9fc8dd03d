# SPDX-License-Identifier: Apache-2.0
"""How ``kshs run`` has called pytest, and which run it is to go on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.results.run_files import BegunRun

NAME = "kshs-call"


@dataclass(frozen=True)
class Call:
    """A plugin of the session's process, which does nothing but be there.

    `options` are those of ``kshs run``.  `resumed` and `folder` are the run that is gone on with, and the
    folder of its parts; `session` is the number of this session of it.
    """

    options: Mapping[str, Any]
    resumed: BegunRun | None = None
    folder: Path | None = None
    session: int = 1
