# SPDX-License-Identifier: Apache-2.0
"""The command that runs one scenario of a run again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any


def again(run: Mapping[str, Any], scenario: Mapping[str, Any]) -> str:
    """A command line for a shell in the directory where the run was started.

    Guest, target and drivers are those of the run, as its record has them.
    """
    words = ["kshs", "run"]
    options = run.get("options") or {}
    for name in ("guest", "target", "drivers", "config"):
        value = options.get(name)
        if value:
            words += [f"--{name}", str(value)]
    words += ["--id", str(scenario["id"])]
    if scenario.get("file"):
        words.append(str(scenario["file"]))
    return shlex.join(words)
