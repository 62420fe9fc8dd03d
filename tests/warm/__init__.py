# SPDX-License-Identifier: Apache-2.0
"""A Python that has imported everything before it is asked for anything.

Most tests of the command line and of the pytest plugin run a program of ours in a process of its own, and
most of their time would go into importing pytest and this project once more.  `python` is a program that
takes what `sys.executable` takes of ``-u``, ``-m MODULE`` and ``-c CODE``, hands over its streams, directory
and environment, and is answered by a fork of a process that has done the importing and nothing else.  What
runs is a process of its own all the same, with an exit code, streams and an end of its own; workers of
pytest-xdist that it starts come about in the same way.

Signals do not reach it: tests that send some start the real one.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: What the server says once it can be asked.
READY = b"ready\n"

_CLIENT = Path(__file__).with_name("client.py")
#: Lives as long as this process does: the end of its standard input ends it.
_servers: list[subprocess.Popen[bytes]] = []


@functools.cache
def python() -> str:
    """The program's path; what it stands on is started with the first call and ends with this process."""
    directory = Path(tempfile.mkdtemp(prefix="kshs-warm-"))
    address = directory / "socket"
    program = directory / "python"
    text = _CLIENT.read_text("utf-8").replace("ADDRESS = None", f"ADDRESS = {str(address)!r}")
    program.write_text(f"#!{sys.executable} -IS\n{text}", "utf-8")
    program.chmod(0o700)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.warm.server", str(address), str(program)],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    _servers.append(server)
    assert server.stdout is not None
    assert server.stdout.readline() == READY, "the process that tests are forked from has not come up"
    return str(program)
