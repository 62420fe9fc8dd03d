# SPDX-License-Identifier: Apache-2.0
"""`kshs` that writes down nothing for after its death: ``python -m harness.bench.unjournalled run ...``.

What a journal costs is what a run takes less without one (`harness.bench.measure`).  The calls' own time
says more than that: most of it is waiting for Python's lock, while other threads work.  A run like this
survives no kill; nothing but the benchmark starts one.
"""

from __future__ import annotations

import os
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.agent.journal import Journal


def leave_out() -> None:
    """From here on this process waits for no disk, and its journals end with what the first scenario sends.

    That much is written: by it the benchmark knows when the first request is sent.
    """
    os.fsync = os.fdatasync = _at_once
    write = Journal._write
    begun: set[Path] = set()
    ended: set[Path] = set()

    def write_first(self: Journal, events: Sequence[dict[str, Any]]) -> None:
        if self.path in ended:
            return
        write(self, events)
        kinds = {event["event"] for event in events}
        begun.update({self.path} if "scenario" in kinds else ())
        ended.update({self.path} & begun if "send" in kinds else ())

    Journal._write = write_first  # type: ignore[method-assign]


def _at_once(fd: object) -> None:
    """Instead of a wait for the disk."""


if __name__ == "__main__":
    leave_out()
    runpy.run_module("harness", run_name="__main__", alter_sys=True)
