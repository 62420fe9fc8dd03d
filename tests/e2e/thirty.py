# SPDX-License-Identifier: Apache-2.0
"""The script of thirty nights: what the driver and the lab do in each, and what has to be said of it.

`tests.harness.commands.test_thirty_nights` plays it with made results, `tests.e2e.test_thirty_nights` with
drivers that are built for it, on real guests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.nights.findings import Kind
from harness.site.strips import NOT_RUN
from harness.store import queries
from harness.store.database import Store
from tests.e2e.thirty_site import Shown, Told, letter
from vm.debian import SUITES, host_suite

OTHER = next(suite for suite in SUITES if suite != host_suite())
KEY = "relay.toml::relay."
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


def settings(night: Scripted) -> str:
    """kshs.toml of a night."""
    down = "connect_timeout = 0.01\n" if night.lab_is_down else ""
    return (
        '[store]\nurl = "nights.db"\n[targets]\nrelay = "relay.toml"\n'
        f'[vm]\nkeep_templates = 24\nsuite = "{night.suite or host_suite()}"\n{down}'
        f'[limits]\nlease_tries = 1\n[nights.lab]\ntargets = ["relay"]\nrepeats = {night.repeats}\n'
        'suites.ours = { paths = ["scenarios"] }\n'
    )


def issues(night: Scripted) -> str | None:
    """known-issues.toml of a night, where all are played on one day."""
    if night.expires is None:
        return None
    today = datetime.now(UTC).date()
    # What passed since an issue was opened is taken as fixed.
    opened = today if night.expires >= 0 else today - timedelta(days=9)
    return ISSUE.format(opened=opened, expires=today + timedelta(days=night.expires))


def issues_apart(night: Scripted) -> str | None:
    """The same where the nights are a day apart: opened on the first day on which it fails."""
    if night.expires is None:
        return None
    days = [number for number, one in enumerate(SCRIPT) if one.expires is not None]
    last = next(number for number in days if SCRIPT[number].expires == 0)
    return ISSUE.format(opened=Shown.day(days[0]).date(), expires=Shown.day(last).date())


def tonight(number: int) -> datetime:
    """When a night began, where all are played at once: today, one behind the other."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=number, microsecond=0)


def played(place: Path, play: Callable[[int, Scripted], tuple[int, str]]) -> None:
    """Plays all nights, and looks at what is said of each.

    Args:
        place: the project; the folder of each night is in it.
        play: gives the exit code of a night, and what was printed.
    """
    assert len(SCRIPT) == 30
    flaked: list[int] = []
    shown = Shown(place / "apart")
    for number, night in enumerate(SCRIPT):
        code, said = play(number, night)
        folder = place / f"night{number:02d}"
        cells = json.loads((folder / "night.json").read_text())["cells"]
        print(f"night {number}, {night.package}: {cells[-1]['more'].get('summary')}", flush=True)
        if night.package == "flaking":
            flaked.append(failed(folder, "relay.flakes"))
            check_flake(cells, flaked, code)
            told = {f"{KEY}flakes": Kind(kind) for kind in cells[-1]["more"]["counts"]}
            shown.night(number, folder, issues_apart(night), Told(told, cells[-1]["more"]["alarms"]))
            continue
        wanted = {
            f"relay.toml::relay.{name}" if name in ALL else name: kind for name, kind in night.said.items()
        }
        if SCRIPT[number - 1].package == "flaking" and any(flaked):
            wanted[f"{KEY}flakes"] = Kind.FLAKY
        assert code == night.code, said
        check(folder, night, wanted, cells, said)
        shown.night(number, folder, issues_apart(night), Told(wanted, night.alarms))
    check_store(place, flaked)
    shown.end(strips(place, flaked))


def strips(place: Path, flaked: list[int]) -> dict[str, dict[str, str]]:
    """By scenario and kernel what each night has of it, as a letter (`harness.site.strips`)."""
    with Store(str(place / "nights.db")) as store, store.reading() as connection:
        kernels = list(dict.fromkeys(run.conditions.kernel for run in queries.runs(connection)))
    first, other = (kernel for kernel in kernels if kernel is not None)
    found = {f"{KEY}{name}": {first: "", other: "", "no guest was had": ""} for name in ALL}
    failures = iter(flaked)
    for night in SCRIPT:
        kernel = "no guest was had" if night.lab_is_down else other if night.suite else first
        flakes = next(failures) if night.package == "flaking" else 0
        for name in ALL:
            bad = {"refusing": "refuses", "miscounting": "miscounts"}.get(night.package) == name
            failed = flakes if name == "flakes" else night.repeats * bad
            here = (
                "e"
                if night.lab_is_down
                else letter(failed, 0 if night.gone and name == "goes" else night.repeats)
            )
            for each, strip in found[f"{KEY}{name}"].items():
                found[f"{KEY}{name}"][each] = strip + (here if each == kernel else NOT_RUN)
    return found


def failed(folder: Path, scenario: str) -> int:
    """In how many of a night's runs it failed, by what the runs themselves have on record."""
    count = 0
    for results in folder.glob("*/results.jsonl"):
        for line in results.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if record["kind"] == "scenario" and record["id"] == scenario:
                count += record["verdict"] != "passed"
    return count


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
    assert bool(more["changed"]) == (Kind.ELSEWHERE in wanted.values()), more
    loud = {one["key"]: one["kind"] for one in more["new"]}
    assert loud == {key: kind.value for key, kind in wanted.items() if key in loud}
    assert len(loud) == night.alarms
    summary = (folder / "summary.md").read_text(encoding="utf-8")
    head = f"{night.alarms} new" if night.alarms else "nothing new"
    assert summary.startswith(f"## Night `lab`: {head}\n")
    for key, kind in loud.items():
        assert summary.count(f"- **{kind}** `{key}`: ") == 1
    for name, count in counts.items():
        assert f"{count} {name}" in summary
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
