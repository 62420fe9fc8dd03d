# SPDX-License-Identifier: Apache-2.0
"""A race that comes once in many runs: recorded when it comes, replayed, and followed back by gdb.

Two requests are inside the callback at once, and it has one answer for both.  That shows only where the
second one decides while the first one waits, which one request in 127 does, by the clock.  So a run fails
more seldom than once in 50, and a failure comes within some hundred plays.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import command
from tests.e2e.test_capsule import kshs
from tests.e2e.test_replay import TIMES, nightly

pytestmark = [pytest.mark.e2e, pytest.mark.long]

#: Of so many requests one waits.  A run has two, and only the first one's wait shows.
SELDOM = 127
#: For what takes long: up to 2000 plays, 20 replays, and gdb, for which each step back is a replay.
SECONDS = 7200.0
#: The write that the test looks for; written out of line, so that gdb knows its beginning by a name.
DECIDE = """/* One answer for all requests that are inside. */
static volatile NTSTATUS Answer;

static __attribute__((noinline)) void Decide(NTSTATUS Status)
{
    Answer = Status;
}

"""
PLACE = "/* What a driver does that follows its documentation (H9). */\n"
SOUND = """        return Transform(In, Out, KSHS_DEFAULT_VALUE, KSHS_DEFAULT_VALUE2);
    return STATUS_INVALID_DEVICE_REQUEST;
}"""
RACE = """        Decide(Transform(In, Out, KSHS_DEFAULT_VALUE, KSHS_DEFAULT_VALUE2));
    else
        Decide(STATUS_INVALID_DEVICE_REQUEST);
    if (KeQueryPerformanceCounter(NULL).QuadPart % {often} == 0)
        kshs_sleep_ms(2000);
    return Answer;
}}"""
SCENARIO = """
schema = 1

[[scenario]]
id = "race.declined-meanwhile"
title = "A request is accepted although another one is declined meanwhile"
rule = "H9"
open = ["one = source", "two = source"]
steps = [
  { do = "handshake", on = "one", route = "irp", argument1 = 1, start = "accepted" },
  { do = "handshake", on = "two", route = "irp", protocol = "unknown", start = "declined" },
  { do = "wait", request = "accepted" },
  { do = "wait", request = "declined" },
]
"""
GDB = """
set pagination off
source {script}
break *completion if *(unsigned *)($rdx + 0x30) == 0xc0000010
reverse-continue
delete
watch -l *(unsigned *)($rdx + 0x30)
reverse-continue
printf "in front of the write: status %x at ", *(unsigned *)($rsi + 0x30)
info symbol $pc
info line *$pc
delete
break *Decide
reverse-continue
printf "decided: %x\\n", $ecx
reverse-continue
printf "before that: %x\\n", $ecx
"""


def drivers(place: Path, often: int) -> Path:
    """Sources with the race; one request in `often` waits between its decision and its answer."""
    shutil.copytree(command.ROOT / "drivers", place, ignore=shutil.ignore_patterns("__pycache__"))
    source = place / "avshs" / "behaviour.c"
    text = source.read_text("utf-8")
    for sound, wrong in ((PLACE, DECIDE + PLACE), (SOUND, RACE.format(often=often))):
        assert text.count(sound) == 1
        text = text.replace(sound, wrong)
    source.write_text(text, "utf-8")
    return place


@contextmanager
def debugged(folder: Path, recording: str) -> Iterator[str]:
    """The script that gdb begins with."""
    with subprocess.Popen(
        command.command_line("replay", recording, "--gdb"),
        cwd=folder,
        env=command.environment(PYTHONUNBUFFERED="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            yield next(line for line in server.stdout if line.startswith("gdb -x ")).split()[-1]
            assert server.wait(120) == 0
        finally:
            server.terminate()


@nightly
def test_a_rare_race_is_recorded_replayed_and_followed_back(tmp_path: Path) -> None:
    always, seldom = drivers(tmp_path / "always", 1), drivers(tmp_path / "seldom", SELDOM)
    (tmp_path / "race.toml").write_text(SCENARIO)
    scenario = "race.declined-meanwhile"
    code, said = kshs(tmp_path, "run", "race.toml", "--drivers", always, "--out", "out")
    assert code == 1, said
    code, said = kshs(tmp_path, "capsule", "make", "out", scenario)
    assert code == 0, said
    words = ("--target", "avshs", "--drivers", seldom, "--until-failure", "--runs", "2000", "--json")
    code, said = kshs(
        tmp_path, "repro", f"{scenario}.capsule", *words, "--recording", "kept", seconds=SECONDS
    )
    assert code == 1, said
    told = json.loads(said[said.index("{\n") :])
    assert told["counts"]["reproduced"] == 1 and told["now"]["reason"] == told["then"]["reason"], told
    code, said = kshs(tmp_path, "replay", "kept", "--times", str(TIMES), "--json", seconds=SECONDS)
    assert code == 0, said
    replays = json.loads(said[said.index("{\n") :])["replays"]
    assert [replay["same"] for replay in replays] == [True] * TIMES

    with debugged(tmp_path, "kept") as script:
        (tmp_path / "back.gdb").write_text(GDB.format(script=script))
        done = subprocess.run(
            ["gdb", "-batch", "-nx", "-x", tmp_path / "back.gdb"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    said = done.stdout
    # In front of the write the status block has what the client has put there.
    assert re.search(r"in front of the write: status deadf00d at RefksDispatchControl \+", said), said
    found = re.search(r'^Line (\d+) of "\S+/common/kshs_compat\.h"', said, re.MULTILINE)
    assert found is not None, said
    lines = (seldom / "common" / "kshs_compat.h").read_text("utf-8").splitlines()
    assert "irp->IoStatus.Status = status;" in lines[int(found[1]) - 1], said
    # The last that decided was the request that is declined; in front of it, the one that got its answer.
    assert "decided: c0000010" in said and "before that: 0" in said, said
