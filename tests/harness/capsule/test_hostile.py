# SPDX-License-Identifier: Apache-2.0
"""Hostile capsules by the hundred: refused or imported, without a crash, a write outside, or much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.harness.capsule.hostile import KINDS, capsules

ROOT = Path(__file__).parents[3]
#: How many; `make test-all` opens 1,000.
COUNT = int(os.environ.get("KSHS_TEST_CAPSULES", "96"))
SEED = int(os.environ.get("KSHS_TEST_SEED", "0"))
MIB = 512


def opened(folder: Path, work: Path) -> tuple[list[dict[str, Any]], int]:
    """What became of each, and the peak of memory in MiB."""
    environment = {**os.environ, "TMPDIR": str(work / "tmp"), "PYTHONPATH": str(ROOT)}
    (work / "tmp").mkdir()
    (work / "out").mkdir()
    child = Path(__file__).with_name("hostile_child.py")
    done = subprocess.run(
        [sys.executable, str(child), str(folder), str(work / "out"), str(MIB)],
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *answers, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert list((work / "tmp").iterdir()) == [], "what was unpacked is left behind"
    return answers, last["peak"] >> 10


def test_hostile_capsules(tmp_path: Path) -> None:
    folder, work = tmp_path / "capsules", tmp_path / "work"
    (folder / "good").mkdir(parents=True)
    work.mkdir()
    made = [path.name for _, path in capsules(folder, SEED, COUNT)]
    answers, peak = opened(folder, work.resolve())
    assert [answer["name"] for answer in answers] == made
    wrong = [
        answer
        for answer in answers
        if {answer["show"]["code"], answer["import"]["code"]} - {0, 2}
        or any(each["lines"] > 12 or each["controls"] for each in (answer["show"], answer["import"]))
        or not answer["played"].startswith(("opened", "refused"))
        # Some bits of a disk's header nobody reads, and a recording is one without its drivers, too.
        or not (
            answer["replayed"].startswith("refused") or answer["replayed"] == "opened relay.twice upon image"
        )
        or answer["outside"]
    ]
    assert wrong == []
    assert peak <= MIB
    # A test that refuses everything at the door shows nothing of what stands behind it.
    inside = Counter(answer["import"]["code"] for answer in answers)
    refused = Counter(
        answer["name"].split("-", 1)[1].split(".")[0]
        for answer in answers
        if answer["import"]["code"] or answer["played"].startswith("refused")
    )
    assert inside[0] >= COUNT // 10 and inside[2] >= COUNT // 2
    assert {kind for kind, _ in KINDS} <= set(refused)
    assert any(answer["played"].startswith("opened") for answer in answers)
    spoiled = [answer["replayed"] for answer in answers if "recording" in answer["name"]]
    assert sum(said.startswith("refused") for said in spoiled) > len(spoiled) / 2
