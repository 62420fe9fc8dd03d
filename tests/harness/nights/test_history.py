# SPDX-License-Identifier: Apache-2.0
"""Thirty nights of a scripted history: every verdict and count is as the script says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.nights.findings import Kind
from harness.nights.known_file import load
from harness.store import queries
from harness.store.database import Store
from tests.harness.nights.conftest import Compare
from tests.harness.nights.folders import Case, Results

#: All scenarios; before its night `new` is not there.
NAMES = ("defect", "silent", "flaky", "new", "gone", "issue")
#: Night: what is said of it against the night before, by scenario; all other nights are as the one before.
#: From the 24th on it is another kernel, on which all fails.
SCRIPT: dict[int, dict[str, Kind]] = {
    3: {"defect": Kind.NEW_FAILURE},
    4: {"defect": Kind.STILL_FAILING},
    5: {"defect": Kind.STILL_FAILING},
    6: {"defect": Kind.FIXED},
    8: {"silent": Kind.CHANGED},
    9: {"silent": Kind.CHANGED},
    10: {"flaky": Kind.NEW_FAILURE},
    11: {"flaky": Kind.FIXED},
    12: {"new": Kind.NEW_SCENARIO},
    14: {"defect": Kind.NEW_FAILURE},
    15: {"defect": Kind.FIXED},
    16: {"gone": Kind.MISSING},
    18: dict.fromkeys(NAMES, Kind.INFRASTRUCTURE),
    20: {"issue": Kind.KNOWN},
    21: {"issue": Kind.KNOWN},
    22: {"issue": Kind.EXPIRED},
    23: {"issue": Kind.FIXED},
    24: dict.fromkeys(NAMES, Kind.ELSEWHERE),
    **dict.fromkeys(range(25, 30), dict.fromkeys(NAMES, Kind.STILL_FAILING)),
}
#: Where only the night before counts, what was gone is new when it comes back: the run before it had none.
AGAINST_THE_NIGHT_BEFORE = {17: {"gone": Kind.NEW_SCENARIO}}
ISSUE = """
schema = 1

[[issue]]
id = "KS-1"
scenario = "issue"
signature = "H4: *"
link = "https://tracker.example/1"
owner = "ana"
opened = 2026-01-21
expires = 2026-01-22
"""


def night(number: int) -> Results:
    """The script's other side: what the driver and the lab do in a night."""
    cases = {
        "defect": Case("defect", "failed" if number in (3, 4, 5, 14) else "passed"),
        "silent": Case("silent", requests=[{"information": 0 if number == 8 else 32}]),
        "flaky": Case("flaky", "failed" if number == 10 else "passed"),
        "gone": Case("gone"),
        "issue": Case("issue", "failed" if number in (20, 21, 22) else "passed", reason="H4: length"),
    }
    if number >= 12:
        cases["new"] = Case("new")
    if number == 16:
        del cases["gone"]
    if number == 18:
        cases = {name: Case(name, "error") for name in cases}
    run = Results(night=number, cases=list(cases.values()), package=f"{number:064x}")
    if number >= 24:
        broken = {name: Case(name, "failed", reason="H9: the kernel declines") for name in cases}
        run = run.but(kernel="Windows 26200", build="26200", ours=False, cases=list(broken.values()))
    return run


def test_thirty_nights(store: Store, take: Callable[..., str], compare: Compare, tmp_path: Path) -> None:
    (tmp_path / "known-issues.toml").write_text(ISSUE)
    known = load(tmp_path / "known-issues.toml")
    take(*(night(number) for number in range(30)))
    for number in range(1, 30):
        before = 17 if number == 19 else number - 1  # nobody compares with a night of which nothing is known
        found = compare(f"night{before:02d}", f"night{number:02d}", known)
        said = {one.key.rpartition("::")[2]: one.kind for one in found.findings if one.key != "KS-1"}
        wanted = SCRIPT.get(number, {}) | AGAINST_THE_NIGHT_BEFORE.get(number, {})
        assert said == wanted, number
        scenarios = len(night(number).cases) + (number == 16)
        assert found.same + len(said) == scenarios, number
        alarms = {Kind.NEW_FAILURE, Kind.CHANGED, Kind.EXPIRED, Kind.ELSEWHERE}
        assert found.alarms == sum(kind in alarms for kind in wanted.values()), number
    with store.reading() as connection:
        counts = queries.verdict_counts(connection)
    assert sum(counts[1].values()) == 5 and counts[19] == {"error": 6} and counts[30] == {"failed": 6}


def test_the_issue_is_told_gone_in_every_night_without_it(
    store: Store, take: Callable[..., str], compare: Compare, tmp_path: Path
) -> None:
    (tmp_path / "known-issues.toml").write_text(ISSUE)
    take(night(21), night(22), night(23))
    found = compare("night22", "night23", load(tmp_path / "known-issues.toml"))
    assert {one.key: one.kind for one in found.findings}["KS-1"] is Kind.ISSUE_GONE
