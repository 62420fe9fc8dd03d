# SPDX-License-Identifier: Apache-2.0
"""The worked example of a team's own driver (docs/your-driver.md), as its team would run it.

Its target file is the one that `kshs target init` writes.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.component.test_example import EXAMPLE, check_verdicts
from tests.component.test_target_init import EXAMPLES_OF_OURS
from tests.e2e import command

pytestmark = pytest.mark.e2e

RELAY = next(example for example in EXAMPLES_OF_OURS if example.name == "relay")
OPTIONS = [
    *(word for text in RELAY.protocols for word in ("--protocol", text)),
    *(word for text in RELAY.pins for word in ("--pin", text)),
    *(word for text in RELAY.without_callback for word in ("--no-callback", text)),
]


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, built by the command of its Makefile, with a target file made of its package."""
    copied = tmp_path_factory.mktemp("example") / "relay"
    shutil.copytree(EXAMPLE, copied, ignore=shutil.ignore_patterns("out", "package", "__pycache__"))
    subprocess.run(
        command.command_line("build", "--driver", copied / "driver", "--out", copied / "package"),
        cwd=command.ROOT,
        env=command.environment(),
        check=True,
        timeout=300,
    )
    written = copied / "relay.toml"
    written.unlink()
    done = subprocess.run(
        command.command_line("target", "init", copied / "package", "--out", written, *OPTIONS),
        cwd=command.ROOT,
        env=command.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=command.RUN_TIMEOUT,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "fill in" not in done.stdout
    return copied


def test_what_init_wrote_in_a_real_guest_is_what_stands_in_the_example(relay: Path) -> None:
    ours = (EXAMPLE / "relay.toml").read_text("utf-8")
    assert (relay / "relay.toml").read_text("utf-8") == ours.partition("\n")[2]


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
