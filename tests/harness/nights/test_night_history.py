# SPDX-License-Identifier: Apache-2.0
"""A night against all nights before it: what each scenario is held against, and what is said of it then."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.nights import history
from harness.nights.findings import Kind, Night
from harness.nights.history import compare_night
from harness.nights.known_file import load
from harness.store import queries
from harness.store.database import Store
from harness.store.importing import Importer
from tests.harness.nights.folders import Case, Results

Nights = Callable[..., list[Night]]
ISSUE = """
schema = 1

[[issue]]
id = "KS-1"
scenario = "issue"
signature = "H4: *"
link = "l"
owner = "ana"
opened = 2026-01-01
expires = 2026-03-01
"""


@pytest.fixture
def nights(store: Store, tmp_path: Path) -> Nights:
    """Plays nights; what is said of each, the repeats of one as one side."""

    def played(*all_nights: Results | list[Results], issues: str | None = None) -> list[Night]:
        known = []
        if issues is not None:
            (tmp_path / "known-issues.toml").write_text(issues)
            known = [load(tmp_path / "known-issues.toml")]
        importer, said = Importer(store), []
        for one in all_nights:
            runs = one if isinstance(one, list) else [one]
            names = [importer.take(run.write(tmp_path)).run for run in runs]
            with store.reading() as connection:
                every = queries.runs(connection)
                own = [run for run in every if run.name in names]
                earlier = [run for run in every if run.name not in names]
                said.append(compare_night(connection, own, earlier, known))
        return said

    return played


def night(number: int, *cases: Case, **changes: object) -> Results:
    """A night with another package than the ones before it."""
    run = Results(night=number, cases=[*cases, Case("steady")], package=f"{number:064x}")
    return run.but(**changes)


def kinds(found: Night) -> dict[str, Kind]:
    return {one.key.rpartition("::")[2]: one.kind for one in found.findings}


def bad(name: str, reason: str = "H6: answer is wrong") -> Case:
    return Case(name, "failed", reason=reason)


def test_a_failure_is_new_once_and_an_alarm_until_it_is_fixed(nights: Nights) -> None:
    row = [Case("a"), bad("a"), bad("a"), bad("a"), Case("a"), bad("a")]
    said = nights(*(night(number, case) for number, case in enumerate(row)))
    assert [kinds(one).get("a") for one in said] == [
        Kind.NEW_SCENARIO,
        Kind.NEW_FAILURE,
        Kind.STILL_FAILING,
        Kind.STILL_FAILING,
        Kind.FIXED,
        Kind.NEW_FAILURE,
    ]
    assert [one.alarms for one in said] == [0, 1, 1, 1, 0, 1]
    assert said[3].findings[0].words == "since run night01, 3 runs in a row: H6: answer is wrong"
    assert said[4].findings[0].words == "failed since run night01, in 3 in a row: H6: answer is wrong"
    assert [one.same for one in said[1:]] == [1, 1, 1, 1, 1]


def test_another_signature_is_new(nights: Nights) -> None:
    said = nights(night(0, Case("a")), night(1, bad("a")), night(2, bad("a", "H4: length")))
    assert kinds(said[2]) == {"a": Kind.NEW_FAILURE}


def test_a_known_failure_keeps_nothing_from_being_compared(nights: Nights) -> None:
    """No run in it is good as a whole: what changes beside it is told, and told once."""
    row = [32, 32, 0, 0, 32]
    said = nights(
        *(
            night(number, bad("issue", "H4: length"), Case("b", requests=[{"information": value}]))
            for number, value in enumerate(row)
        ),
        issues=ISSUE,
    )
    assert [kinds(one).get("b") for one in said[1:]] == [None, Kind.CHANGED, None, Kind.CHANGED]
    assert {kinds(one)["issue"] for one in said[1:]} == {Kind.KNOWN}
    assert [one.alarms for one in said[1:]] == [0, 1, 0, 1]


def test_behind_a_night_of_which_nothing_is_known(nights: Nights) -> None:
    lost = Results(night=1, cases=[Case("a", "error"), Case("steady", "error")], problem="no guest")
    said = nights(night(0, Case("a")), lost, night(2, bad("a")), night(3, Case("a")))
    assert kinds(said[1]) == {"a": Kind.INFRASTRUCTURE, "steady": Kind.INFRASTRUCTURE}
    assert kinds(said[2]) == {"a": Kind.NEW_FAILURE}
    assert kinds(said[3]) == {"a": Kind.FIXED}


def test_what_is_gone_is_missing_once_and_is_as_before_when_it_comes_back(nights: Nights) -> None:
    said = nights(night(0, Case("a")), night(1), night(2), night(3, Case("a")))
    assert [kinds(one) for one in said[1:]] == [{"a": Kind.MISSING}, {}, {}]


def test_another_content_is_another_scenario(nights: Nights) -> None:
    said = nights(
        night(0, Case("a")),
        night(1, Case("a", content="c2")),
        night(2, Case("a", content="c2", requests=[{"information": 0}])),
    )
    assert kinds(said[1]) == {"a": Kind.NEW_SCENARIO}
    assert kinds(said[2]) == {"a": Kind.CHANGED}


def test_both_outcomes_on_the_same_inputs_are_flaky_also_over_nights(nights: Nights) -> None:
    """The package is the same for ten nights, and fails in one of five; then it is too few to say more."""
    row = [bad("a") if number % 5 == 3 else Case("a") for number in range(10)]
    said = nights(*(night(number, case, package="1" * 64) for number, case in enumerate(row)))
    assert [kinds(one).get("a") for one in said[1:]] == [
        None,
        None,
        Kind.NEW_FAILURE,  # nobody can know it yet
        *[Kind.FLAKY] * 4,
        Kind.TOO_SMALL,
        Kind.FLAKY,
    ]
    assert said[8].findings[0].words.startswith("failed in 1 of 8 before, in 1 of 1 now")
    assert [one.alarms for one in said[1:]] == [0, 0, 1, *[0] * 6]


def test_repeats_of_a_night_say_flaky_at_once(nights: Nights) -> None:
    before = [night(0, Case("a"), id=f"n0-{number}") for number in range(4)]
    now = [night(1, bad("a") if number == 2 else Case("a"), id=f"n1-{number}") for number in range(4)]
    always = [night(2, bad("a"), id=f"n2-{number}") for number in range(4)]
    said = nights(before, now, always)
    assert kinds(said[1]) == {"a": Kind.FLAKY} and said[1].alarms == 0
    found = said[2].findings[0]
    assert (found.kind, found.before.failed, found.before.n, found.now.n) == (Kind.NEW_FAILURE, 1, 4, 4)
    assert found.p is not None and found.p == pytest.approx(0.0714, abs=1e-4)


def test_another_kernel_is_told_as_such(nights: Nights) -> None:
    before = [Case(f"s{number}") for number in range(30)]
    after = [bad(f"s{number}", "H9: the kernel declines") for number in range(30)]
    said = nights(
        night(0, *before),
        night(1, *after, kernel="Windows 26200", build="26200"),
        night(2, *after, kernel="Windows 26200", build="26200"),
        night(3, *before, kernel="Windows 26200", build="26200"),
    )
    assert [one.what for one in said[1].differences if one.matters] == ["kernel"]
    assert {one.kind for one in said[1].findings} == {Kind.ELSEWHERE}
    assert said[2].alike and {one.kind for one in said[2].findings} == {Kind.STILL_FAILING}
    assert {one.kind for one in said[3].findings} == {Kind.FIXED} and len(said[3].findings) == 30


def test_runs_of_another_target_or_selection_are_no_history(nights: Nights) -> None:
    said = nights(
        night(0, Case("a"), target="other"),
        night(1, Case("a"), command="kshs run --id b"),
        night(2, bad("a")),
    )
    assert kinds(said[2]) == {"a": Kind.NEW_SCENARIO, "steady": Kind.NEW_SCENARIO}
    assert said[2].before.runs == () and said[2].alarms == 1


def test_what_the_last_runs_say_is_what_all_say(
    nights: Nights, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier runs are read only where they count; it may not show."""
    dice = random.Random(5)
    verdicts = ("passed", "passed", "passed", "failed", "skipped", "error")

    def cases(number: int) -> list[Case]:
        made = [Case("steady", requests=[{"information": number // 6}])]
        made += [Case(f"s{n}", dice.choice(verdicts[: 3 + n % 4])) for n in range(8) if dice.random() > 0.1]
        made.append(Case("moved", content=f"c{number // 9}"))
        made.append(bad("stuck") if number in range(15, 22) else Case("stuck"))
        return [*made, Case("later")] if number > 20 else made

    lost = {9: "no guest", 10: "no guest", 11: "no guest", 12: "no guest"}
    runs = [
        Results(night=number, cases=cases(number), package=f"{number // 3:064x}", problem=lost.get(number))
        for number in range(40)
    ]
    nights(*runs)
    said: dict[int, list[Night]] = {}
    for near in (1, 3, history.BACK):
        monkeypatch.setattr(history, "_NEAR", near)
        with store.reading() as connection:
            every = queries.runs(connection)
            said[near] = [
                compare_night(connection, [run], every[:number]) for number, run in enumerate(every) if number
            ]
    for number, whole in enumerate(said[history.BACK], start=1):
        for near in (1, 3):
            found = said[near][number - 1]
            order = {finding: place for place, finding in enumerate(whole.findings)}
            assert sorted(found.findings, key=lambda one: order.get(one, -1)) == whole.findings, number
            assert (found.same, found.alarms, found.unknowns) == (whole.same, whole.alarms, whole.unknowns)
            assert found.before == whole.before
    assert {one.kind for night in said[3] for one in night.findings} >= {
        Kind.FIXED, Kind.STILL_FAILING, Kind.NEW_FAILURE, Kind.FLAKY, Kind.MISSING, Kind.CHANGED
    }  # fmt: skip
