# SPDX-License-Identifier: Apache-2.0
"""A run that waits for its words with all imported that it will need: ``python -m
harness.commands.waiting_run``.

A worker has one at hand (`harness.fleet.waiting`).  It reads one line of JSON: `words` of kshs, the
`directory` in which they are called, and the `log` that it writes to.  Where there is none, it just ends.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
from pathlib import Path

#: What a run imports only on its way to the first guest; the command line's own modules come with the first.
_AHEAD = (
    "harness.commands.run_command",
    "harness.commands.run",
    "harness.plugin.hooks",
    "vm.hypervisor",
    "vm.image",
    "vm.lease",
    "vm.shell",
    "vm.template",
)


def main() -> None:
    """Ends as ``kshs`` does with these words."""
    for name in _AHEAD:
        importlib.import_module(name)

    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):  # whoever has begun this has no use for it any more
        return
    order = json.loads(line)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for file, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(file, number)
    os.chdir(order["directory"])
    sys.path[0] = str(Path.cwd())  # as of `python -m`
    sys.argv[1:] = order["words"]
    runpy.run_module("harness.cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
