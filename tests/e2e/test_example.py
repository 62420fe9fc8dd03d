# SPDX-License-Identifier: Apache-2.0
"""The worked example of a team's own driver (docs/your-driver.md), as its team would run it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.component.test_example import EXAMPLE, check_verdicts
from tests.e2e import command

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, built by the command of its Makefile."""
    copied = tmp_path_factory.mktemp("example") / "relay"
    shutil.copytree(EXAMPLE, copied, ignore=shutil.ignore_patterns("out", "package", "__pycache__"))
    subprocess.run(
        command.command_line("build", "--driver", copied / "driver", "--out", copied / "package"),
        cwd=command.ROOT,
        env=command.environment(),
        check=True,
        timeout=300,
    )
    return copied


def test_a_team_runs_its_scenarios_in_toml_and_python(relay: Path) -> None:
    ran = command.run(
        relay.parent / "results", "--target", relay / "relay.toml", relay / "scenarios", "--", "-rs"
    )
    assert ran.exit_code == 0, ran.output[-6000:]
    check_verdicts(ran.records)
    python = {
        case.get("name", ""): case
        for case in ran.suite().iter("testcase")
        if "test_relay" in case.get("classname", "")
    }
    assert len(python) == 7
    assert not any(len(case.findall("skipped") + case.findall("failure")) for case in python.values())
    assert "target relay has no behaviour property set" in ran.output
