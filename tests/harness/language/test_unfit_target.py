# SPDX-License-Identifier: Apache-2.0
"""A target that cannot load on the guest ends the run before any scenario, with exit code 2."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests import warm

ROOT = Path(__file__).resolve().parents[3]

CONFTEST = """
from harness.errors import UsageError
from tests.harness.fake_guest import TARGET


class Unfit:
    def target(self):
        return TARGET

    def target_digest(self):
        return "0"

    def prepare(self, say):
        raise UsageError("relay.sys imports KsFoo from ks.sys: not there", "relay.sys", "avoid it")

    def host(self):
        return {}

    def close(self):
        pass


def pytest_kshs_provider(config):
    return Unfit()
"""
SCENARIO = """
schema = 1
[[scenario]]
id = "x.one"
title = "never run"
rule = "H6"
open = ["source"]
steps = [{ do = "handshake", on = "source" }]
"""


def test_an_unfit_target_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (tmp_path / "x.scenario.toml").write_text(SCENARIO, encoding="utf-8")
    done = subprocess.run(
        [warm.python(), "-m", "harness", "run", "--out", "out", "x.scenario.toml"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert "relay.sys: relay.sys imports KsFoo from ks.sys: not there (avoid it)" in said
    assert "Traceback" not in said
