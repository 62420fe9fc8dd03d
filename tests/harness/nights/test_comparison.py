# SPDX-License-Identifier: Apache-2.0
"""Two runs compared: every verdict of a night, like with like, and what varies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.commands.nightly_keeper import _loud
from harness.errors import UsageError
from harness.nights import words
from harness.nights.findings import Kind, Night
from harness.store.database import Store
from harness.store.importing import Importer
from tests.harness.nights.conftest import Compare
from tests.harness.nights.folders import DECLINED, Case, Results

Take = Callable[..., str]
GOOD = Results(cases=[Case("a"), Case("b")])
NEXT = GOOD.but(night=1, package="2" * 64)


def kinds(night: Night) -> dict[str, Kind]:
    return {finding.key.rpartition("::")[2]: finding.kind for finding in night.findings}


def test_the_same_again_is_nothing_new(take: Take, compare: Compare) -> None:
    take(GOOD, NEXT)
    night = compare("night00", "night01")
    assert (night.findings, night.same, night.alarms, night.unknowns) == ([], 2, 0, 0)
    assert [difference.what for difference in night.differences] == ["package"]
    assert list(words.lines(night))[-1] == "nothing new; 2 scenarios as before"


#: How one scenario was before, how it is now, what is said of it, and whether that is an alarm.
VERDICTS: list[tuple[Case | None, Case | None, Kind, bool]] = [
    (Case("x"), Case("x", "failed"), Kind.NEW_FAILURE, True),
    (Case("x"), Case("x", "crashed"), Kind.NEW_FAILURE, True),
    (Case("x", "failed"), Case("x"), Kind.FIXED, False),
    (Case("x", "failed"), Case("x", "failed"), Kind.STILL_FAILING, False),
    (Case("x", "failed"), Case("x", "failed", reason="H5: another thing"), Kind.NEW_FAILURE, True),
    (Case("x", "failed"), Case("x", "hung"), Kind.NEW_FAILURE, True),
    (Case("x"), Case("x", requests=[{"information": 0}]), Kind.CHANGED, True),
    (Case("x"), Case("x", requests=[{}, {}]), Kind.CHANGED, True),
    (None, Case("x"), Kind.NEW_SCENARIO, False),
    (None, Case("x", "failed"), Kind.NEW_SCENARIO, True),
    (Case("x"), Case("x", "failed", content="c2"), Kind.NEW_SCENARIO, True),
    (Case("x"), Case("x", requests=[{"information": 0}], content="c2"), Kind.NEW_SCENARIO, False),
    (Case("x"), None, Kind.MISSING, False),
    (Case("x"), Case("x", "skipped"), Kind.MISSING, False),
    (Case("x"), Case("x", "error"), Kind.INFRASTRUCTURE, False),
    (Case("x", "failed"), Case("x", "error"), Kind.INFRASTRUCTURE, False),
    (Case("x", "error"), Case("x", "failed"), Kind.TOO_SMALL, True),
    (Case("x"), Case("x", "failed", attempts=("failed", "passed")), Kind.FLAKY, False),
]


@pytest.mark.parametrize(("before", "now", "kind", "alarm"), VERDICTS)
def test_what_is_said_of_a_scenario(
    take: Take, compare: Compare, before: Case | None, now: Case | None, kind: Kind, alarm: bool
) -> None:
    take(GOOD.but(cases=[Case("a"), *([before] if before else [])]))
    take(NEXT.but(cases=[Case("a"), *([now] if now else [])]))
    night = compare("night00", "night01")
    (finding,) = night.findings
    assert (finding.key, finding.kind, finding.alarm) == ("basic.toml::x", kind, alarm)
    assert night.same == 1
    assert night.alarms == alarm and night.unknowns == (
        kind in (Kind.MISSING, Kind.INFRASTRUCTURE, Kind.TOO_SMALL)
    )
    assert any("basic.toml::x" in line for line in words.lines(night))
    assert words.as_json(night)["findings"][0]["kind"] == kind.value


def test_what_could_not_be_compared_is_not_called_the_same(
    take: Take, compare: Compare, tmp_path: Path
) -> None:
    folder = GOOD.write(tmp_path / "torn")
    lines = (folder / "results.jsonl").read_text().splitlines(keepends=True)
    (folder / "results.jsonl").write_text("".join(lines[:3] + lines[4:]))  # without the step of a
    with Store(str(tmp_path / "store.db"), make=True) as store:
        Importer(store).take(folder)
    take(NEXT.but(cases=[Case("a", requests=[{"information": 0}]), Case("b")]))
    night = compare("night00", "night01")
    assert (night.findings, night.same, night.uncompared, night.unknowns) == ([], 2, 1, 1)
    assert "the fields of 1 scenario could not be compared" in words.summary(night)


def test_skipped_on_both_sides_is_no_news(take: Take, compare: Compare) -> None:
    take(GOOD.but(cases=[Case("a", "skipped")]), NEXT.but(cases=[Case("a", "skipped")]))
    assert compare("night00", "night01").findings == []


def test_a_changed_field_is_named_with_both_values(take: Take, compare: Compare) -> None:
    take(GOOD.but(cases=[Case("a", requests=[{}, {"answer": DECLINED}])]))
    take(NEXT.but(cases=[Case("a", requests=[{}, {"answer": 0, "information": 0}])]))
    night = compare("night00", "night01")
    assert (
        night.findings[0].words == 'step 2, "handshake source by irp from kernel mode": answer'
        " STATUS_INVALID_DEVICE_REQUEST (0xC0000010) -> STATUS_SUCCESS (0x00000000) and 1 more"
    )
    assert [c.field for c in night.findings[0].changes] == ["answer", "information"]


def test_the_same_change_in_many_scenarios_is_said_once(take: Take, compare: Compare) -> None:
    names = [f"s{number}" for number in range(40)]
    take(GOOD.but(cases=[Case(name) for name in names]))
    take(NEXT.but(cases=[Case(name, requests=[{"information": 0}]) for name in names]))
    said = list(words.lines(compare("night00", "night01")))
    assert len([line for line in said if "information 32 -> 0" in line]) == 1
    assert any(line.startswith("    the same in 39 more: basic.toml::s1,") for line in said)


# ---- like with like ---------------------------------------------------------------------------------------

OTHER: dict[str, dict[str, Any]] = {
    "kernel": {"kernel": "Wine 10.0 as NT 10.0.19045", "build": "19045"},
    "ks.sys": {"ks": "b" * 64, "ours": False},
    "Driver Verifier": {"verifier": "rule classes 1, 2"},
    "image family": {"recipe": "lab"},
    "target": {"target": "other"},
}


@pytest.mark.parametrize("what", OTHER)
def test_no_regression_is_claimed_across_another_guest(take: Take, compare: Compare, what: str) -> None:
    names = [f"s{number}" for number in range(30)]
    take(GOOD.but(cases=[Case(name) for name in names], ours=False))
    take(NEXT.but(cases=[Case(name, "failed") for name in names], **{"ours": False, **OTHER[what]}))
    night = compare("night00", "night01")
    assert not night.alike and what in [d.what for d in night.differences if d.matters]
    assert set(night.counts) == {Kind.ELSEWHERE} and night.alarms == 30
    said = list(words.lines(night))
    assert len(said) < 12 and any("and 29 more alike" in line for line in said)
    assert not any("new failure" in line for line in said)


def test_the_reference_class_driver_is_under_test_as_the_target_is(take: Take, compare: Compare) -> None:
    take(GOOD, NEXT.but(ks="b" * 64, cases=[Case("a", "failed"), Case("b")]))
    night = compare("night00", "night01")
    assert night.alike and kinds(night) == {"a": Kind.NEW_FAILURE}
    assert str(night.differences[0]) == "ks.sys changed: aaaaaaaaaaaa -> bbbbbbbbbbbb"


def test_a_pass_on_another_kernel_fixes_nothing(take: Take, compare: Compare) -> None:
    take(GOOD.but(cases=[Case("a", "failed")]), NEXT.but(kernel="another", cases=[Case("a")]))
    night = compare("night00", "night01")
    assert kinds(night) == {"a": Kind.ELSEWHERE} and night.alarms == 0


def test_another_image_of_the_same_family_is_told_and_compared(take: Take, compare: Compare) -> None:
    take(GOOD, NEXT.but(image="e" * 64, cases=[Case("a", "failed"), Case("b")]))
    night = compare("night00", "night01")
    assert [d.what for d in night.differences] == ["image", "package"]
    assert kinds(night) == {"a": Kind.NEW_FAILURE}


def test_runs_of_one_side_must_be_alike(take: Take, compare: Compare) -> None:
    take(GOOD, NEXT.but(verifier="on"), GOOD.but(night=2))
    with pytest.raises(UsageError, match="runs night00 and night01 cannot stand together: Driver Verifier"):
        compare("night00,night01", "night02")


# ---- what varies ------------------------------------------------------------------------------------------


def test_what_differs_on_identical_inputs_is_told_once_and_then_known(take: Take, compare: Compare) -> None:
    def night(number: int, changed: int, package: str = "1") -> Results:
        requests = [{"changed_bytes": changed}]
        return GOOD.but(night=number, package=package * 64, cases=[Case("a", requests=requests), Case("b")])

    take(night(0, 5), night(1, 7))
    first = compare("night00", "night01")
    assert kinds(first) == {"a": Kind.VARIES} and first.alarms == 0
    assert first.findings[0].words == "step 1, changed_bytes: 5 or 7 on identical inputs"
    take(night(2, 5))
    again = compare("night01", "night02")
    assert again.findings == [] and again.varied == 1
    take(night(3, 7, "2"))
    assert compare("night02", "night03").findings == [], "the next package may have either value"
    take(night(4, 9, "3"))
    assert kinds(compare("night03", "night04")) == {"a": Kind.CHANGED}, "but not one that was never seen"


def test_another_build_of_our_own_drivers_teaches_nothing(take: Take, compare: Compare) -> None:
    """The agent or the client may be what makes the difference: no field of the driver varies by that."""
    other = [Case("a", requests=[{"information": 0}]), Case("b")]
    take(GOOD, GOOD.but(night=1, cases=other, drivers="9" * 64))
    night = compare("night00", "night01")
    assert kinds(night) == {"a": Kind.CHANGED}
    assert night.notes == ["the drivers of kshs itself were built anew: client, agent, or the sample target"]


def test_a_failure_teaches_nothing_of_what_varies(take: Take, compare: Compare) -> None:
    take(GOOD, GOOD.but(night=1, cases=[Case("a", "failed", requests=[{"information": 1}]), Case("b")]))
    take(NEXT.but(night=2, cases=[Case("a", requests=[{"information": 1}]), Case("b")]))
    assert kinds(compare("night00", "night02")) == {"a": Kind.CHANGED}


# ---- several runs ------------------------------------------------------------------------------------------


def nights(verdicts: str, first: int = 0, package: str = "1") -> list[Results]:
    """One run a letter: p passed, f failed."""
    long = {"p": "passed", "f": "failed"}
    return [
        GOOD.but(night=first + number, package=package * 64, cases=[Case("x", long[letter])])
        for number, letter in enumerate(verdicts)
    ]


@pytest.mark.parametrize(
    ("before", "now", "kind", "p"),
    [
        ("pppp", "f", Kind.NEW_FAILURE, 0.2),
        ("ppppppp", "ff", Kind.NEW_FAILURE, 0.0278),
        ("ppppppp", "pf", Kind.FLAKY, 0.222),
        ("pfppppppfp", "f", Kind.TOO_SMALL, 0.273),
        ("pfppppppfp", "fp" * 3, Kind.FLAKY, 0.242),
        ("pfpppppppp", "fffff", Kind.NEW_FAILURE, 0.002),
        ("pfpfp", "ffff", Kind.NEW_FAILURE, 0.119),
        ("pfpfp", "p", Kind.FLAKY, None),
        ("ffffff", "p", Kind.FIXED, None),
        ("ffffff", "f", Kind.STILL_FAILING, None),
        ("ffffff", "pf", Kind.FLAKY, 1.0),
    ],
)
def test_counts_and_chance_where_more_than_one_run_is_behind_it(
    take: Take, compare: Compare, before: str, now: str, kind: Kind, p: float | None
) -> None:
    earlier, later = nights(before), nights(now, len(before), "2")
    take(*earlier, *later)
    night = compare(",".join(run.name for run in earlier), ",".join(run.name for run in later))
    (finding,) = night.findings
    assert finding.kind is kind
    assert (finding.before.failed, finding.before.n) == (before.count("f"), len(before))
    assert (finding.now.failed, finding.now.n) == (now.count("f"), len(now))
    assert finding.p == (None if p is None else pytest.approx(p, abs=0.001))


def test_a_field_counts_as_changed_only_if_it_never_came_so(take: Take, compare: Compare) -> None:
    def run(number: int, package: str, value: int) -> Results:
        cases = [Case("a", requests=[{"information": value}])]
        return GOOD.but(night=number, package=package * 64, cases=cases)

    take(run(0, "1", 32), run(1, "2", 16), run(2, "3", 16))
    assert compare("night00,night01", "night02").findings == []
    assert kinds(compare("night00", "night02")) == {"a": Kind.CHANGED}


# ---- which runs -----------------------------------------------------------------------------------------


def test_the_last_good_run_is_the_last_on_the_same_guest_in_which_nothing_failed(
    take: Take, compare: Compare
) -> None:
    bad = [Case("a"), Case("b", "failed")]
    take(GOOD.but(night=0), GOOD.but(night=1), GOOD.but(night=2, cases=bad))
    take(GOOD.but(night=3, problem="interrupted"), GOOD.but(night=4, kernel="another"), NEXT.but(night=5))
    assert compare("last-good", "night05").before.names == "night01"
    assert compare("last-good", "last").now.names == "night05"
    with pytest.raises(UsageError, match="before run night00 there is no good one on the same guest"):
        compare("last-good", "night00")


def test_a_run_is_named_by_the_beginning_of_its_id(take: Take, compare: Compare) -> None:
    take(GOOD.but(id="abc1"), GOOD.but(id="abd2", night=1))
    assert compare("abc", "abd").same == 2
    with pytest.raises(UsageError, match="ab begins several runs: abc1, abd2"):
        compare("ab", "abd2")
    with pytest.raises(UsageError, match="zz is no run of the store"):
        compare("zz", "abd2")


RETRIED = Case("x", attempts=("failed", "passed"))
DIFFERENT = [{"information": 0}]


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        (Case("x"), Case("x", attempts=("failed", "passed"), requests=DIFFERENT), Kind.FLAKY),
        (RETRIED, Case("x", requests=DIFFERENT), Kind.FLAKY),
        (RETRIED, Case("x", attempts=("failed", "passed"), requests=DIFFERENT), Kind.TOO_SMALL),
    ],
)
def test_what_flakes_hides_no_changed_characteristic(
    take: Take, compare: Compare, before: Case, now: Case, kind: Kind
) -> None:
    """The next night is held against this one: what is not said now is never said."""
    take(GOOD.but(cases=[Case("a"), before]), NEXT.but(cases=[Case("a"), now]))
    night = compare("night00", "night01")
    assert [(one.kind, one.alarm) for one in night.findings] == [(Kind.CHANGED, True), (kind, False)]
    assert [change.field for change in night.findings[0].changes] == ["information"]
    assert (night.same, night.uncompared) == (1, 0)


def test_what_comes_otherwise_on_another_kernel_is_one_thing_for_each_change(
    take: Take, compare: Compare
) -> None:
    cases = [Case(f"s{number}") for number in range(30)]
    moved = [Case(f"s{number}", requests=DIFFERENT) for number in range(29)]
    moved.append(Case("s29", requests=[{"information": 0, "answer": DECLINED}]))
    kernel = {"kernel": "Windows 26200", "build": "26200", "ours": False}
    take(GOOD.but(cases=cases), NEXT.but(cases=moved), NEXT.but(night=2, id="other", cases=moved, **kernel))
    for name, ways in (("night01", 30), ("other", 2)):
        night = compare("night00", name)
        assert {one.kind for one in night.findings} == {Kind.CHANGED} and night.alarms == 30
        kept = _loud(night)
        assert len(kept) == ways and all(one["kind"] == "changed characteristic" for one in kept)
        assert any(one["words"].endswith("; and 28 more alike") for one in kept) == (name == "other")
