# SPDX-License-Identifier: Apache-2.0
"""Thirty nights on the embedded guest, with drivers that are built for them: all is said as it is scripted.

Each night is ``kshs nightly`` as a process of its own, on real guests; one package has one template.  It
takes some ten minutes, and more the first time, when the image of the other Debian release is made.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.nights.findings import Kind
from harness.store import queries
from harness.store.database import Store
from tests.e2e import archived
from tests.e2e.command import command_line, environment
from vm.debian import SUITES, host_suite

pytestmark = [pytest.mark.e2e, pytest.mark.long]

PATIENCE = 3600.0
OTHER = next(suite for suite in SUITES if suite != host_suite())
ALL = ("refuses", "flakes", "miscounts", "differs", "goes")
#: What each package has of `archived.CHANGES`, and the stamp that makes it another binary.
PACKAGES: Mapping[str, tuple[tuple[str, ...], int]] = {
    "sound": ((), 0),
    "rebuilt": ((), 1),
    "refusing": (("refuses",), 2),
    "differing": (("differs",), 3),
    "flaking": (("flakes",), 4),
    "miscounting": (("miscounts",), 5),
}


@dataclass(frozen=True)
class Scripted:
    """One night: its package and circumstances, and what is said of each scenario then."""

    package: str
    said: Mapping[str, Kind] = field(default_factory=dict)
    code: int = 0
    alarms: int = 0
    repeats: int = 1
    gone: bool = False
    lab_is_down: bool = False
    suite: str | None = None
    #: Days from tonight on until the issue expires; None where there is none.
    expires: int | None = None


SOUND = Scripted("rebuilt")
NEW, STILL, FIXED = Kind.NEW_FAILURE, Kind.STILL_FAILING, Kind.FIXED
SCRIPT: tuple[Scripted, ...] = (
    Scripted("sound", dict.fromkeys(ALL, Kind.NEW_SCENARIO)),
    Scripted("sound"),
    SOUND,  # another binary that does the same: nothing
    Scripted("refusing", {"refuses": NEW}, 1, 1),
    Scripted("refusing", {"refuses": STILL}, 1, 1),
    Scripted("refusing", {"refuses": STILL}, 1, 1),
    Scripted("rebuilt", {"refuses": FIXED}),
    Scripted("differing", {"differs": Kind.CHANGED}, 1, 1),
    Scripted("differing"),
    Scripted("rebuilt", {"differs": Kind.CHANGED}, 1, 1),
    Scripted("flaking", repeats=4),
    Scripted("flaking", repeats=4),
    SOUND,
    Scripted("rebuilt", {"goes": Kind.MISSING}, 3, gone=True),
    SOUND,
    Scripted("refusing", {"refuses": NEW}, 1, 1),  # it is back
    Scripted("rebuilt", {"refuses": FIXED}),
    Scripted("rebuilt", dict.fromkeys(ALL, Kind.INFRASTRUCTURE), 3, lab_is_down=True),
    SOUND,
    Scripted("miscounting", {"miscounts": Kind.KNOWN}, expires=1),
    Scripted("miscounting", {"miscounts": Kind.KNOWN}, expires=0),
    Scripted("miscounting", {"miscounts": Kind.EXPIRED}, 1, 1, expires=-1),
    Scripted("rebuilt", {"miscounts": FIXED, "KS-7": Kind.ISSUE_GONE}, expires=-1),
    SOUND,
    Scripted("refusing", {"refuses": Kind.ELSEWHERE}, 1, 1, suite=OTHER),  # the kernel, and the driver
    Scripted("rebuilt", {"refuses": FIXED}, suite=OTHER),
    Scripted("rebuilt", suite=OTHER),
    SOUND,  # the first kernel again: held against the nights on it
    Scripted("refusing", {"refuses": NEW}, 1, 1),
    Scripted("rebuilt", {"refuses": FIXED}),
)
ISSUE = """
schema = 1

[[issue]]
id = "KS-7"
scenario = "relay.miscounts"
signature = "*argument1*"
link = "https://tracker.example/KS-7"
owner = "ana"
opened = {opened}
expires = {expires}
"""


class Lab:
    """A project with a store, and the nights that were played in it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "scenarios").mkdir()
        for name, (changes, stamp) in PACKAGES.items():
            archived.archive(place / "archive" / name, changes, stamp)

    def play(self, number: int, night: Scripted) -> tuple[int, str, list[dict[str, Any]]]:
        """Exit code, what was printed, and the cells on record."""
        text = archived.SCENARIOS + ("" if night.gone else archived.GOES)
        (self.place / "scenarios" / "relay.toml").write_text(text)
        (self.place / "relay.toml").write_text(archived.TARGET.format(package=f"archive/{night.package}"))
        suite = f'suite = "{night.suite or host_suite()}"\n'
        down = "connect_timeout = 0.01\n" if night.lab_is_down else ""
        (self.place / "kshs.toml").write_text(
            f'[store]\nurl = "nights.db"\n[targets]\nrelay = "relay.toml"\n'
            f"[vm]\nkeep_templates = 24\n{suite}{down}"
            f'[limits]\nlease_tries = 1\n[nights.lab]\ntargets = ["relay"]\nrepeats = {night.repeats}\n'
            'suites.ours = { paths = ["scenarios"] }\n'
        )
        known = self.place / "known-issues.toml"
        known.unlink(missing_ok=True)
        if night.expires is not None:
            today = datetime.now(UTC).date()
            # What passed since an issue was opened is taken as fixed, and all nights are played on one day.
            opened = today if night.expires >= 0 else today - timedelta(days=9)
            expires = today + timedelta(days=night.expires)
            known.write_text(ISSUE.format(opened=opened, expires=expires))
        out = self.place / f"night{number:02d}"
        done = subprocess.run(
            command_line("nightly", "lab", "--out", out),
            cwd=self.place,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        cells = json.loads((out / "night.json").read_text())["cells"]
        return done.returncode, done.stdout, cells


def failed(folder: Path, scenario: str) -> int:
    """In how many of a night's runs it failed, by what the runs themselves have on record."""
    count = 0
    for results in folder.glob("*/results.jsonl"):
        for line in results.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if record["kind"] == "scenario" and record["id"] == scenario:
                count += record["verdict"] != "passed"
    return count


def test_thirty_nights(tmp_path: Path) -> None:
    assert len(SCRIPT) == 30
    lab = Lab(tmp_path)
    flaked: list[int] = []
    for number, night in enumerate(SCRIPT):
        code, said, cells = lab.play(number, night)
        print(f"night {number}: {night.package}: {cells[-1]['more'].get('summary')}", flush=True)
        folder = tmp_path / f"night{number:02d}"
        if night.package == "flaking":
            flaked.append(failed(folder, "relay.flakes"))
            check_flake(cells, flaked, code)
            continue
        wanted = {
            f"relay.toml::relay.{name}" if name in ALL else name: kind for name, kind in night.said.items()
        }
        if number == SCRIPT.index(SOUND, 11) and any(flaked):
            wanted["relay.toml::relay.flakes"] = Kind.FLAKY
        check(folder, night, wanted, cells, said)
        assert code == night.code, said
    check_store(tmp_path, flaked)


def check(
    folder: Path, night: Scripted, wanted: Mapping[str, Kind], cells: list[dict[str, Any]], said: str
) -> None:
    """Counts, alarms, and the summary for a merge request."""
    (cell,) = cells
    more = cell["more"]
    counts: dict[str, int] = {}
    for kind in wanted.values():
        counts[kind.value] = counts.get(kind.value, 0) + 1
    assert more["counts"] == counts, said
    assert more["alarms"] == night.alarms, said
    loud = {one["key"]: one["kind"] for one in more["new"]}
    assert loud == {key: kind.value for key, kind in wanted.items() if key in loud}
    assert len(loud) == night.alarms
    summary = (folder / "summary.md").read_text(encoding="utf-8")
    head = f"{night.alarms} new" if night.alarms else "nothing new"
    assert summary.startswith(f"## Night `lab`: {head}\n")
    for key, kind in loud.items():
        assert summary.count(f"- **{kind}** `{key}`: ") == 1
    for kind, count in counts.items():
        assert f"{count} {kind}" in summary
    if night.suite is not None and Kind.ELSEWHERE in wanted.values():
        assert any(one.startswith("kernel changed: ") for one in more["changed"]), more
        assert "kernel changed: " in summary


def check_flake(cells: list[dict[str, Any]], flaked: list[int], code: int) -> None:
    """By what the runs have on record: a new failure is claimed only where it failed four times in a row."""
    more = cells[-1]["more"]
    now, before = flaked[-1], sum(flaked[:-1])
    kinds = set(more["counts"]) - {Kind.VARIES.value}
    if now == 4:
        assert kinds == {Kind.NEW_FAILURE.value} and code == 1
    elif now or before:
        assert kinds in ({Kind.FLAKY.value}, {Kind.TOO_SMALL.value}), more
        assert more["alarms"] == 0 and code in (0, 3)
    else:
        assert not kinds and code == 0


def check_store(place: Path, flaked: list[int]) -> None:
    """All that was played is kept, with every verdict."""
    with Store(str(place / "nights.db")) as store, store.reading() as connection:
        runs = queries.runs(connection)
        counts = queries.verdict_counts(connection)
    assert len(runs) == sum(night.repeats for night in SCRIPT)
    assert len({run.conditions.kernel for run in runs if run.conditions.kernel}) == 2
    rows = [(night, counts[run.id]) for run, night in zip(runs, _each_run(), strict=True)]
    for night, count in rows:
        if night.lab_is_down:
            assert count == {"error": 5}
        elif night.package != "flaking":
            bad = night.package in ("refusing", "miscounting")
            assert count == {"passed": 5 - bad - night.gone} | ({"failed": 1} if bad else {})
    assert sum(count.get("failed", 0) for night, count in rows if night.package == "flaking") == sum(flaked)


def _each_run() -> list[Scripted]:
    return [night for night in SCRIPT for _ in range(night.repeats)]
