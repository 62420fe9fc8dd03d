# SPDX-License-Identifier: Apache-2.0
"""What each process of a run loads: a library that only some runs need costs all of them time and memory."""

from __future__ import annotations

import subprocess
import sys

#: Of coverage, of reading symbols, of installations, and of making scenarios up.
SELDOM = ("numpy", "pefile", "purepdb", "pycdlib", "hypothesis", "sqlalchemy", "distributed")


def test_the_plugin_loads_nothing_that_few_runs_need() -> None:
    said = f"import sys, harness.plugin.hooks; print([name for name in {SELDOM} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
