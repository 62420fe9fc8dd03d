# SPDX-License-Identifier: Apache-2.0
"""What crashes and hangs cost a run: ``python -m harness.bench.incidents``.

A run of 200 scenarios of which 10 crash and 5 hang, the same run in which none does, and one in which only
the 10 crash, in turns on this machine, with one worker and with two.  The goals are less than 2.5 times as
long with two, and at most 1.5 s for a crash, the lease that takes over included.  One worker has nothing else
to do while it waits for what hangs: the limits of 5 hangs alone are as long as the run in which nothing does.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from harness.errors import HarnessError
from vm.words import counted

COUNT = 200
CRASHES = frozenset(range(15, COUNT, 20))
HANGS = frozenset(range(7, COUNT, 40))
#: At most so many times the run in which nothing happens.
GOAL = 2.5
#: Seconds that a crash may cost the run, its evidence and the next lease together.
CRASH_GOAL = 1.5
_TURNS = 3
#: Guests at the same time; the last one's run is held against the goal.
WORKERS = (1, 2)
#: Numbers of the scenarios in which the driver faults, by the kind of the fault.
Faults: TypeAlias = Mapping[str, frozenset[int]]
NONE: Faults = {}
ALL: Faults = {"fault": CRASHES, "hang": HANGS}
_HEAD = 'schema = 1\nabout = "a run in which drivers crash and hang"\n'
_ONE = """
[[scenario]]
id = "many.s{number:03}"
title = "number {number} of a long run"
rule = "{rule}"
open = ["source"]
timeout_ms = {timeout}
steps = [{before}
  {{ do = "handshake", on = "source", route = "{route}", argument1 = {number} }},
]
"""


def route(number: int) -> str:
    """By which a scenario sends its request."""
    return "call" if number % 2 else "irp"


def scenarios(faults: Faults = ALL) -> str:
    """The scenario file; without faults, all of it passes."""
    return _HEAD + "".join(_scenario(number, faults) for number in range(COUNT))


def _scenario(number: int, faults: Faults) -> str:
    kind = next((kind for kind, numbers in faults.items() if number in numbers), "")
    before = f'\n  {{ do = "behaviour", pin = "source", kind = "{kind}" }},' if kind else ""
    return _ONE.format(
        number=number,
        rule="H9" if kind else "H6",
        timeout=1500 if kind == "hang" else 20000,
        before=before,
        route=route(number),
    )


@dataclass(frozen=True)
class Turn:
    """Seconds of a run without faults, of one with all of them, and of one with the crashes alone."""

    sound: float
    faults: float
    crashes: float

    @property
    def times(self) -> float:
        """How many times as long a run takes for crashes and hangs."""
        return self.faults / self.sound

    @property
    def a_crash(self) -> float:
        """Seconds that one crash costs."""
        return (self.crashes - self.sound) / len(CRASHES)


def _run(folder: Path, name: str, faults: Faults, workers: int) -> float:
    """Seconds of one run.

    Raises:
        HarnessError: its verdicts are others than they have to be.
    """
    file, out = folder / f"{name}.scenario.toml", folder / name
    file.write_text(scenarios(faults), encoding="utf-8")
    words = [sys.executable, "-m", "harness.cli", "run", str(file), "--out", str(out)]
    words += ["-n", str(workers)] if workers > 1 else []
    began = time.monotonic()
    subprocess.run(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    seconds = time.monotonic() - began
    lines = (out / "results.jsonl").read_text(encoding="utf-8").splitlines()
    found = Counter(record["verdict"] for record in map(json.loads, lines) if record["kind"] == "scenario")
    crashed, hung = (len(faults.get(kind, ())) for kind in ("fault", "hang"))
    wanted = Counter(passed=COUNT - crashed - hung, crashed=crashed, hung=hung)
    if +found != +wanted:
        raise HarnessError(f"a run that was to be measured has other verdicts: {dict(found)}", where=name)
    return seconds


def _turn(folder: Path, number: int, workers: int) -> Turn:
    def run(name: str, faults: Faults) -> float:
        return _run(folder, f"{name}-{workers}-{number}", faults, workers)

    return Turn(run("sound", NONE), run("faults", ALL), run("crashes", {"fault": CRASHES}))


def main() -> int:
    """0 where the goals are met."""
    turns: dict[int, list[Turn]] = {workers: [] for workers in WORKERS}
    try:
        with tempfile.TemporaryDirectory(prefix="kshs-b", dir="/tmp") as scratch:
            folder = Path(scratch)
            for workers in WORKERS:
                _run(folder, f"warm-{workers}", NONE, workers)
            for number in range(_TURNS):
                for workers, found in turns.items():
                    turn = _turn(folder, number, workers)
                    found.append(turn)
                    print(
                        f"{counted(workers, 'worker')}: without {turn.sound:.1f} s, with crashes and hangs"
                        f" {turn.faults:.1f} s ({turn.times:.2f} times), with crashes alone"
                        f" {turn.crashes:.1f} s",
                        flush=True,
                    )
    except (HarnessError, OSError) as error:
        print(f"kshs: {error}", file=sys.stderr)
        return 3
    good = True
    for workers, found in turns.items():
        times = statistics.median(turn.times for turn in found)
        wanted = f" (goal < {GOAL}: {_met(times < GOAL)})" if workers == WORKERS[-1] else ""
        print(f"{counted(workers, 'worker')}: {times:.2f} times{wanted}")
        good = good and (not wanted or times < GOAL)
    each = statistics.median(turn.a_crash for turn in turns[WORKERS[0]])
    met = _met(each <= CRASH_GOAL)
    print(f"a crash costs {each:.2f} s, the next lease included (goal <= {CRASH_GOAL}: {met})")
    print(f"load {os.getloadavg()[0]:.1f}")
    return 0 if good and each <= CRASH_GOAL else 1


def _met(met: bool) -> str:
    return "met" if met else "MISSED"


if __name__ == "__main__":
    sys.exit(main())
