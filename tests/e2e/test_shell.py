# SPDX-License-Identifier: Apache-2.0
"""`kshs shell` on a terminal: cmd of the guest, with everything deployed."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]


def test_a_person_types_into_cmd_of_the_guest() -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", "harness.cli", "shell"])
    seen, typed = b"", [b"kshsctl.exe ping\r", b"exit\r"]
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        readable, _, _ = select.select([terminal], [], [], 1)
        try:
            new = os.read(terminal, 4096) if readable else b""
        except OSError:  # the other side is closed
            break
        seen += new
        prompts = seen.count(b"C:\\kshs>")
        if typed and prompts == 3 - len(typed):
            os.write(terminal, typed.pop(0))
    _, status = os.waitpid(child, 0)
    assert (os.waitstatus_to_exitcode(status), typed) == (0, []), seen.decode(errors="replace")
    assert b'"verb":"ping"' in seen and b"it goes when this shell ends" in seen
