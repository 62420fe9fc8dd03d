# SPDX-License-Identifier: Apache-2.0
"""``kshs bisect`` over packages that are built with a defect, on real guests."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e import archived
from tests.e2e.command import command_line, environment

pytestmark = [pytest.mark.e2e, pytest.mark.long]

#: What the packages have of `archived.CHANGES`, the oldest first.
ROW = ((), (), ("differs",), ("refuses", "differs"), ("refuses",), ("refuses", "miscounts"))
PATIENCE = 3600.0


def test_the_first_package_that_was_built_with_the_defect_is_named(tmp_path: Path) -> None:
    for number, changes in enumerate(ROW, start=8):
        archived.archive(tmp_path / "archive" / f"relay-1.{number}", changes, stamp=number)
    broken = tmp_path / "archive" / "relay-1.10"
    (broken / "avshs.cat").unlink()  # what is not signed does not install
    (tmp_path / "relay.toml").write_text(archived.TARGET.format(package="archive/relay-1.8"))
    (tmp_path / "scenarios.toml").write_text(archived.SCENARIOS)
    done = subprocess.run(
        command_line(
            *("bisect", "scenarios.toml::relay.refuses", "--target", "relay.toml", "--packages", "archive"),
            *("--good", "relay-1.8", "--bad", "relay-1.13", "--rarest", "0.5", "--json"),
        ),
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["first"], found["maybe"]) == ("relay-1.11", ["relay-1.10"])
    assert found["confidence"] >= 0.99
    assert found["reason"].startswith("H9: answer is STATUS_NOT_SUPPORTED")
    row = {one["name"]: one for one in found["candidates"]}
    assert "it does not install: " in row["relay-1.10"]["passed_over"]
    assert row["relay-1.11"]["failed"] >= 4 and row["relay-1.11"]["passed"] == 0
    assert row["relay-1.9"]["passed"] >= 5 and row["relay-1.9"]["failed"] == 0
