# SPDX-License-Identifier: Apache-2.0
"""The guard of unit tests stops what it must."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests import conftest


@pytest.mark.parametrize("program", ["clang", "qemu-system-x86_64", "/usr/lib/wine/wine64", "mmdebstrap"])
def test_a_unit_test_starts_no_compiler_and_no_guest(program: str) -> None:
    with pytest.raises(pytest.fail.Exception, match="mark it component or e2e"):
        subprocess.run([program, "--version"], check=False)


def test_a_unit_test_asks_no_network() -> None:
    with socket.socket() as asking, pytest.raises(pytest.fail.Exception, match=r"192\.0\.2\.1"):
        asking.connect(("192.0.2.1", 80))


def test_what_other_processes_start_is_noted(request: pytest.FixtureRequest) -> None:
    program = next((name for name in ("apt-get", "clang") if shutil.which(name)), None)
    assert program is not None, "Debian without apt-get"
    done = subprocess.run(["sh", "-c", f"{program} --version"], capture_output=True, check=False)
    called: Path = request.config.stash[conftest._CALLED]
    assert (done.returncode, called.read_text()) == (97, f"{program} --version\n")
    called.unlink()
