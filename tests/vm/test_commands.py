# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from vm.commands import require, run
from vm.errors import CommandFailed, VmError


def test_a_missing_program_names_its_package() -> None:
    with pytest.raises(VmError, match="apt-get install -y no-such-program-here"):
        require("no-such-program-here")
    assert require("mke2fs").endswith("sbin/mke2fs")


def test_a_failure_is_one_line_with_the_reason(tmp_path: Path) -> None:
    script = "echo fine; echo 'E: the mirror is gone' >&2; echo then more >&2; exit 4"
    with pytest.raises(
        CommandFailed, match=r"getting: sh failed \(exit code 4\): E: the mirror is gone"
    ) as told:
        run(["sh", "-c", script], what="getting")
    assert told.value.exit_code == 4
    log = tmp_path / "log"
    with pytest.raises(CommandFailed, match=rf"the mirror is gone; see {log}"):
        run(["sh", "-c", script], what="getting", log=log)
    assert "fine" in log.read_text()
    with pytest.raises(CommandFailed, match="signal 9"):
        run(["sh", "-c", "kill -9 $$"], what="x")
    with pytest.raises(CommandFailed, match="longer than 0 s"):
        run(["sleep", "60"], what="x", timeout=0.2)


def test_programs_die_with_us(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = f"from vm.commands import run; run(['sh', '-c', 'echo $$ >{mark}; exec sleep 300'], what='x')"
    parent = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 20
    while not (mark.exists() and mark.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.02)
    child = Path(f"/proc/{mark.read_text().strip()}/cmdline")
    assert child.exists()
    parent.kill()
    parent.wait()

    def gone() -> bool:
        try:
            return b"sleep" not in child.read_bytes()
        except OSError:
            return True

    while not gone() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert gone()
