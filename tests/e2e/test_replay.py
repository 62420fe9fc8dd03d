# SPDX-License-Identifier: Apache-2.0
"""A failure in a recorded guest, replayed: the same status blocks and consoles each time.

It makes a state of its own and replays it in real time, which takes minutes, so it runs with `make test-all`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.e2e.test_capsule import failed_capsule, kshs, wrong_drivers

pytestmark = pytest.mark.e2e

#: How often the recording is replayed; 0 where this is not the night.
TIMES = int(os.environ.get("KSHS_TEST_REPLAYS", "0"))


nightly = pytest.mark.skipif(not TIMES, reason="it takes minutes: make test-all replays a recording 20 times")


@nightly
def test_a_recorded_failure_is_replayed(tmp_path: Path) -> None:
    capsule = failed_capsule(tmp_path)
    code, said = kshs(tmp_path, "repro", capsule, "--until-failure", "--recording", "kept")
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


@nightly
def test_a_run_records_what_failed_and_its_capsule_replays_it(tmp_path: Path) -> None:
    scenario = "success.alternating"
    words = ("--drivers", wrong_drivers(tmp_path), "--id", scenario, "--out", "out")
    code, said = kshs(tmp_path, "run", "--record", *words)
    assert code == 1 and f"recorded: {scenario}: failed on a recorded guest (reproduced)" in said, said
    records = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    (kept,) = [record for record in records if record["kind"] == "recording"]
    assert kept["reason"] == kept["attempt"]["reason"] and (tmp_path / "out" / kept["folder"]).is_dir()
    code, said = kshs(tmp_path, "replay", "out", "--json")
    assert code == 0 and json.loads(said[said.index("{") :])["replays"][0]["same"] is True, said
    code, said = kshs(tmp_path, "capsule", "make", "out", scenario)
    assert code == 0, said
    code, said = kshs(tmp_path, "capsule", "show", f"{scenario}.capsule")
    assert code == 0 and "recording/state.qcow2" in said and "recording failed" in said, said
    code, said = kshs(tmp_path, "replay", f"{scenario}.capsule")
    assert code == 2 and "--trust" in said, said
    code, said = kshs(tmp_path, "replay", f"{scenario}.capsule", "--trust", "--json")
    assert code == 0 and json.loads(said[said.index("{") :])["replays"][0]["same"] is True, said
