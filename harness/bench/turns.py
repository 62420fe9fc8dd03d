# SPDX-License-Identifier: Apache-2.0
"""Two of a kind, measured in turns on one machine: another build of kshs, or another target, beside this one.

Whatever else the machine does strikes both, and their ratio says what seconds alone do not.  Each round runs
both, the one that begins changes from round to round.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.bench import suite
from harness.bench.figures import rounded
from harness.errors import HarnessError, UsageError

Say = Callable[[str], None]
Samples = dict[str, list[float]]

#: What is compared between two builds: unit, and whether more is better.
BUILD_KEYS: Mapping[str, tuple[str, bool]] = {
    "first_request_s": ("s", False),
    "lease_s": ("s", False),
    "requests_per_s_single": ("/s", True),
    "requests_per_s_pipelined": ("/s", True),
    "suite_s": ("s", False),
    "suite_two_workers_s": ("s", False),
    "suite_guest_s": ("s", False),
    "common_guest_s": ("s", False),
    "further_guest_mib": ("MiB", False),
}
#: Taken from what each build's own ``kshs bench --quick`` writes.
_OWN_KEYS = ("lease_s", "requests_per_s_single", "requests_per_s_pipelined")
#: A short run before each turn: what one build keeps for the next start, the other's may have replaced.
_WARM = ("-k", "mode.kernel-client-as-user.irp")
#: A scenario of another target may cost so many times one of the sample target.
TARGET_COST = 1.2
#: The catalogue may take so many times its guest time while it is counted what it reaches.
COVERAGE_COST = 1.1


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: its name, the kshs that is started, and further arguments of ``kshs run``."""

    name: str
    program: suite.Program
    arguments: tuple[str, ...] = ()
    samples: Samples = field(default_factory=dict)

    def take(self, key: str, value: float) -> None:
        """One more sample."""
        self.samples.setdefault(key, []).append(value)


def checkout(folder: Path) -> Side:
    """The kshs of another checkout, which has been set up.

    Raises:
        UsageError: it is not there, or it is this one.
    """
    program = folder.absolute() / ".venv/bin/kshs"
    if not (folder / "harness").is_dir():
        raise UsageError("this is no checkout of kshs", where=str(folder), hint="check --against")
    if not program.is_file():
        hint = f"set it up first: make -C {folder} setup"
        raise UsageError("there is no .venv/bin/kshs in it", where=str(folder), hint=hint)
    if folder.resolve() == Path(__file__).resolve().parents[2]:
        raise UsageError("this is the checkout that measures", where=str(folder), hint="check --against")
    return Side(
        f"{folder.absolute().name} {_commit(folder)}".strip(),
        suite.Program((str(program),), folder.absolute()),
    )


def builds(other: Side, arguments: Sequence[str], rounds: int, say: Say) -> dict[str, Any]:
    """Both builds with the other's catalogue, which is the older one as a rule; ``against`` in bench.json.

    `common_guest_s` counts only the scenarios that passed in every run of both.

    Raises:
        HarnessError: a run did not end well.
    """
    assert other.program.folder is not None
    catalogue = str(other.program.folder / "harness" / "catalogue")
    ours = Side("this build", suite.this_one(), (*arguments, catalogue))
    other = replace(other, arguments=(catalogue,))
    passed: list[tuple[Side, Mapping[str, float]]] = []
    for number, side in _in_turns((ours, other), rounds):
        say(f"{side.name}, round {number + 1} of {rounds}")
        suite.run((*side.arguments, *_WARM), program=side.program)
        one = suite.run(side.arguments, program=side.program)
        two = suite.run(side.arguments, workers=2, program=side.program)
        side.take("first_request_s", one.first_request)
        side.take("suite_s", one.seconds)
        side.take("suite_two_workers_s", two.seconds)
        side.take("suite_guest_s", one.guest_seconds)
        side.take("further_guest_mib", two.peak_mib - one.peak_mib)
        passed.append((side, one.passed))
        own = _own_figures(side)
        for key in _OWN_KEYS:
            side.take(key, float(own[key]))
    common = _common(passed)
    return {
        "ours": ours.name,
        "theirs": other.name,
        "rounds": rounds,
        "common_scenarios": len(common),
        "figures": {key: _row(ours, other, key, *BUILD_KEYS[key]) for key in BUILD_KEYS},
    }


def targets(
    other: str, arguments: Sequence[str], rounds: int, say: Say, sample: str = "avshs"
) -> dict[str, Any]:
    """Another target beside the sample, over the scenarios that pass on both; ``beside`` in bench.json.

    Raises:
        HarnessError: a run did not end well, or there is no such scenario.
    """
    sides = (
        Side(other, suite.this_one(), (*arguments, f"--target={other}")),
        Side(sample, suite.this_one(), (*arguments, f"--target={sample}")),
    )
    passed: list[tuple[Side, Mapping[str, float]]] = []
    for number, side in _in_turns(sides, rounds):
        say(f"target {side.name}, round {number + 1} of {rounds}")
        suite.run((*side.arguments, *_WARM), program=side.program)
        passed.append((side, suite.run(side.arguments, program=side.program).passed))
    common = _common(passed)
    if not common:
        raise HarnessError("no scenario passes on both targets", where=other)
    row = _row(*sides, "common_guest_s", "s", False)
    return {
        "ours": other,
        "theirs": sample,
        "rounds": rounds,
        "common_scenarios": len(common),
        "figures": {"common_guest_s": row},
        "goal": {
            "goal": f"a scenario of {other} <= {TARGET_COST} x one of {sample}",
            "met": row["ratio"] <= TARGET_COST,
            "got": f"{row['ratio']:.2f} x",
        },
    }


def coverage(arguments: Sequence[str], rounds: int, say: Say) -> dict[str, Any]:
    """The catalogue with and without coverage; ``coverage`` in bench.json.

    Raises:
        HarnessError: a run did not end well, or no scenario has passed.
    """
    sides = (
        Side("with coverage", suite.this_one(), (*arguments, "--coverage")),
        Side("without", suite.this_one(), tuple(arguments)),
    )
    passed: list[tuple[Side, Mapping[str, float]]] = []
    for number, side in _in_turns(sides, rounds):
        say(f"{side.name}, round {number + 1} of {rounds}")
        suite.run((*side.arguments, *_WARM), program=side.program)
        one = suite.run(side.arguments, program=side.program)
        side.take("suite_s", one.seconds)
        passed.append((side, one.passed))
    common = _common(passed)
    if not common:
        raise HarnessError("no scenario passes with and without coverage")
    rows = {key: _row(*sides, key, "s", False) for key in ("common_guest_s", "suite_s")}
    ratio = rows["common_guest_s"]["ratio"]
    return {
        "ours": sides[0].name,
        "theirs": sides[1].name,
        "rounds": rounds,
        "common_scenarios": len(common),
        "figures": rows,
        "goal": {
            "goal": f"guest time with coverage <= {COVERAGE_COST} x without",
            "met": ratio <= COVERAGE_COST,
            "got": f"{ratio:.2f} x",
        },
    }


def _in_turns(sides: tuple[Side, Side], rounds: int) -> list[tuple[int, Side]]:
    """Every round has both, in an order that changes."""
    return [
        (number, side) for number in range(rounds) for side in (sides if number % 2 == 0 else sides[::-1])
    ]


def _common(runs: Sequence[tuple[Side, Mapping[str, float]]]) -> set[str]:
    """The scenarios that passed in all of them; each side's seconds for these become a sample a run."""
    common = set.intersection(*(set(passed) for _, passed in runs))
    for side, passed in runs:
        side.take("common_guest_s", sum(passed[name] for name in common))
    return common


def _row(ours: Side, theirs: Side, key: str, unit: str, more_is_better: bool) -> dict[str, Any]:
    """Medians and samples of both; `ratio` is ours over theirs."""
    mine, other = statistics.median(ours.samples[key]), statistics.median(theirs.samples[key])
    return {
        "unit": unit,
        "more_is_better": more_is_better,
        "ours": rounded(mine),
        "theirs": rounded(other),
        "ratio": rounded(mine / other) if other else 0.0,
        "ours_samples": [rounded(sample) for sample in ours.samples[key]],
        "theirs_samples": [rounded(sample) for sample in theirs.samples[key]],
    }


def _own_figures(side: Side) -> Mapping[str, Any]:
    """What the build's own quick benchmark says.

    Raises:
        HarnessError: it did not end well.
    """
    with tempfile.TemporaryDirectory(prefix="kshs-bench-") as directory:
        out = Path(directory) / "bench.json"
        ran = subprocess.run(
            [*side.program.words, "bench", "--quick", "--out", str(out)],
            cwd=side.program.folder,
            env=side.program.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if ran.returncode != 0:
            said = " | ".join((ran.stdout + ran.stderr).strip().splitlines()[-2:])
            raise HarnessError(f"kshs bench ended with exit code {ran.returncode}: {said}", where=side.name)
        found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return found


def _commit(folder: Path) -> str:
    """The commit that is checked out there; empty where git does not know."""
    try:
        words = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
