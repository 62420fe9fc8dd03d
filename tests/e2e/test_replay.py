# SPDX-License-Identifier: Apache-2.0
"""A failure in a recorded guest, replayed: the same status blocks and consoles each time.

It makes a state of its own and replays it in real time, which takes minutes, so it runs with `make test-all`.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.e2e import command
from tests.e2e.test_capsule import DECLINES, OTHERWISE, kshs

pytestmark = pytest.mark.e2e

#: How often the recording is replayed; 0 where this is not the night.
TIMES = int(os.environ.get("KSHS_TEST_REPLAYS", "0"))


@pytest.mark.skipif(not TIMES, reason="it takes minutes: make test-all replays a recording 20 times")
def test_a_recorded_failure_is_replayed(tmp_path: Path) -> None:
    altered = tmp_path / "altered"  # not "drivers": it would be imported from the working directory
    shutil.copytree(command.ROOT / "drivers", altered, ignore=shutil.ignore_patterns("__pycache__"))
    source = altered / "avshs" / "behaviour.c"
    text = source.read_text("utf-8")
    assert text.count(DECLINES) == 1
    source.write_text(text.replace(DECLINES, OTHERWISE), "utf-8")
    scenario = "success.alternating"
    code, said = kshs(tmp_path, "run", "--drivers", altered, "--id", scenario, "--out", "out")
    assert code == 1, said
    code, said = kshs(tmp_path, "capsule", "make", "out", scenario)
    assert code == 0, said
    code, said = kshs(tmp_path, "repro", f"{scenario}.capsule", "--until-failure", "--recording", "kept")
    assert code == 1 and "reproduced: 1 of 1 runs" in said and "kshs replay" in said, said
    facts = json.loads((tmp_path / "kept" / "recording.json").read_text())
    assert {"avshs.sys", "ks.sys"} <= {module["name"].lower() for module in facts["modules"]}
    code, said = kshs(tmp_path, "replay", "kept", "--times", str(TIMES), "--json")
    assert code == 0, said
    replays = json.loads(said[said.index("{") :])["replays"]
    assert [replay["same"] for replay in replays] == [True] * TIMES
    assert all(replay["status_blocks"] > 9 for replay in replays)
    # What a replay cannot give again is told, and ends with another code.
    with (tmp_path / "kept" / "serial.log").open("ab") as console:
        console.write(b"!")
    code, said = kshs(tmp_path, "replay", "kept")
    assert code == 3 and "the same in 0 of 1 replays" in said and "serial.log differs at byte" in said, said
