# SPDX-License-Identifier: Apache-2.0
"""From nothing to a signed yes on the embedded guest, with what docs/gate.md says and nothing else."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import blocks
from tests.e2e.command import RUN_TIMEOUT, command_line, environment

PAGE = [block for block in blocks() if block.page.name == "gate.md"]
#: Keys, policy, commands: the first three blocks of the page.
KEYS, POLICY, COMMANDS = PAGE[:3]


@pytest.mark.e2e
@pytest.mark.long
def test_ten_minutes_to_a_signed_yes(tmp_path: Path) -> None:
    assert (KEYS.language, POLICY.language, COMMANDS.language) == ("sh", "toml", "sh")
    subprocess.run(["bash", "-euc", KEYS.text], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "gate.toml").write_text(POLICY.text)
    (tmp_path / "kshs.toml").write_text('[store]\nurl = "store.db"\n')
    said = ""
    for line in COMMANDS.text.splitlines():
        done = subprocess.run(
            command_line(*shlex.split(line)[1:]),
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT,
            check=False,
        )
        said += f"$ {line}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, said
    assert "yes, signed: out/gate/statement.json" in said and said.endswith("verified\n")
    package = tmp_path / "built" / "avshs" / "avshs.inf"
    package.write_bytes(package.read_bytes() + b"; another byte\r\n")
    for words in (
        ("gate", "verify", "out/gate/statement.json", "--package", "built/avshs"),
        ("gate", "run", "--candidate", "built/avshs", "--key", "ana.key", "--out", "out/other"),
    ):
        done = subprocess.run(
            command_line(*words), cwd=tmp_path, env=environment(), capture_output=True, check=False
        )
        assert done.returncode == 1, done.stdout
    assert not (tmp_path / "out/other/statement.json").exists()
