# SPDX-License-Identifier: Apache-2.0
"""Waivers: for one failure, by one owner, until a day; and which of them do nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from harness.gate.keys import signer
from harness.gate.rule_names import RuleName
from harness.gate.verdict import GateVerdict
from harness.gate.verifying import verify
from harness.gate.waivers import write
from tests.harness.gate.changes import piped
from tests.harness.gate.scene import NOW, WRONG, Scene


def said(verdict: GateVerdict, rule: RuleName) -> str:
    return "\n".join(next(one.said for one in verdict.rules if one.rule is rule))


def failing(scene: Scene, **wrong: object) -> None:
    """The candidate fails; nothing was released, so that no waiver is the second in a row."""
    scene.edit('package = "released"\nrun = "released"', "first = true")
    scene.fail(two={**WRONG, **wrong})
    scene.take()


def test_a_failure_is_waived_and_told(scene: Scene) -> None:
    failing(scene)
    assert not scene.judge().yes
    scene.waive()
    verdict = scene.judge()
    assert verdict.yes
    assert "waived by one: basic.toml::relay.two failed in run new1" in said(verdict, RuleName.FAILURES)
    assert "one of ana, until" in said(verdict, RuleName.WAIVERS)
    assert verdict.counts["failed"] == 2
    assert [(key, file.name) for key, _, file in verdict.waived] == [("basic.toml::relay.two", "one")] * 2


OTHERS = {
    "another status": {"requests": ({"answer": 1, "status": 1},)},
    "another value behind the first": {"requests": ({}, {"information": 5})},
    "another reason": {"reason": "H6: answer is STATUS_TIMEOUT (0x00000102), expected another"},
    "another verdict": {"verdict": "crashed"},
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_failure_of_the_same_scenario_is_not_covered(scene: Scene, other: str) -> None:
    failing(scene)
    scene.waive()
    changed = {**WRONG, **OTHERS[other]}
    scene.runs = {"new3": replace(scene.runs["new1"], id="new3", hours=4, cases=scene.cases(two=changed))}
    scene.selftest = None
    scene.take()
    verdict = scene.judge()
    assert not verdict.yes
    assert "in run new3" in said(verdict, RuleName.FAILURES)
    assert "is for another failure, driver or guest" in said(verdict, RuleName.FAILURES)


def test_the_same_failure_of_another_driver_or_guest_is_not_covered(scene: Scene) -> None:
    failing(scene)
    others = ({"package": "9" * 64}, {"guest": "server2025"}, {"target": "x"}, {"scenario": "b.toml::x"})
    for number, other in enumerate(others):
        scene.waive(file=f"w{number}", change=lambda waiver, other=other: waiver.model_copy(update=other))
    verdict = scene.judge()
    assert not verdict.yes
    assert list(verdict.idle) == [f"waiver w{number} matches nothing" for number in range(4)]


def test_a_waiver_for_versions_covers_them_alone(scene: Scene) -> None:
    failing(scene)
    scene.waive(package=None, versions=["1.9", "2.1"])
    assert not scene.judge().yes
    scene.waive(package=None, versions=["2.0"])
    assert scene.judge().yes


PROBLEMS: dict[str, tuple[Callable[[Scene], object], str]] = {
    "expired": (
        lambda s: s.waive(expires=(NOW - timedelta(days=1)).date(), made=NOW - timedelta(days=9)),
        "it expired on",
    ),
    "made later": (lambda s: s.waive(made=NOW + timedelta(minutes=2)), "still to come"),
    "too long": (
        lambda s: s.waive(expires=(NOW + timedelta(days=91)).date()),
        "lasts longer than the 90 days",
    ),
    "signed by somebody else": (
        lambda s: s.waive(signer="eve"),
        "not signed by its owner ana: signed by a key",
    ),
    "its owner may not": (lambda s: s.waive(by="bo"), "not signed by its owner bo"),
    "signed by the second alone": (lambda s: s.waive(signer="bo"), "not signed by its owner ana"),
    "its signer was revoked": (
        lambda s: (s.waive(), s.edit('may = ["waive", "release"]', 'may = ["waive"]\nrevoked = 2026-01-01')),
        "ana counts no more since 2026-01-01",
    ),
    "altered": (
        lambda s: s.waive().write_bytes(s.waive().read_bytes().replace(b'"payload": "ey', b'"payload": "fy')),
        "",
    ),
    "respelt": (lambda s: s.waive().write_bytes(s.waive().read_bytes() + b"\n"), "somebody has changed it"),
    "no waiver": (lambda s: (s.waive().parent / "one.waiver.json").write_text("{}"), "no DSSE envelope"),
    "a pipe": (lambda s: piped(s.waive()), "is no file"),
    "twice": (lambda s: (s.waive(), s.waive(file="two", id="one")), "its id stands in several files"),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_what_is_wrong_with_a_waiver_is_told_and_it_does_not_count(scene: Scene, problem: str) -> None:
    failing(scene)
    act, words = PROBLEMS[problem]
    act(scene)
    verdict = scene.judge()
    assert not verdict.yes
    assert any("does not count" in line and words in line for line in verdict.idle), verdict.idle


def test_a_waiver_is_of_its_time_in_whatever_zone_that_is_written(scene: Scene) -> None:
    failing(scene)
    made = (NOW - timedelta(hours=1)).astimezone(timezone(timedelta(hours=14)))
    assert made.replace(tzinfo=None) > NOW.replace(tzinfo=None)
    scene.waive(made=made)
    verdict = scene.judge()
    assert verdict.yes, [one.said for one in verdict.rules if not one.ok]


def test_a_waiver_never_covers_what_is_missing_or_an_error(scene: Scene) -> None:
    scene.edit('package = "released"\nrun = "released"', "first = true")
    scene.fail(two=WRONG)
    scene.fail("new2", two={"verdict": "error", "reason": WRONG["reason"]})
    scene.take()
    scene.waive()
    verdict = scene.judge()
    assert not verdict.yes
    assert "error of ours" in said(verdict, RuleName.COVERAGE)
    assert next(one.ok for one in verdict.rules if one.rule is RuleName.FAILURES)


def test_a_pass_by_a_retry_cannot_be_waived(scene: Scene) -> None:
    failing(scene)
    scene.waive()
    retried = {"verdict": "passed", "attempts": ("failed", "passed")}
    scene.runs = {"new3": replace(scene.runs["new1"], id="new3", hours=4, cases=scene.cases(two=retried))}
    scene.selftest = None
    scene.take()
    assert "what is not wholly on record cannot be waived" in said(scene.judge(), RuleName.FAILURES)


def test_a_waiver_that_is_not_needed_is_said_and_harms_nothing(scene: Scene) -> None:
    failing(scene)
    scene.waive()
    scene.waive(file="idle", failure="0" * 64)
    verdict = scene.judge()
    assert verdict.yes and list(verdict.idle) == ["waiver idle matches nothing"]


def test_a_failure_of_many_words_is_stated_cut(scene: Scene) -> None:
    failing(scene, reason="x" * 8000)
    scene.waive(reason="much")
    assert verify(scene.state(), scene.trusted(), NOW + timedelta(hours=1)).good
    assert max(len(line) for rule in scene.judge().rules for line in rule.said) > 8000


def test_a_policy_that_takes_none(scene: Scene) -> None:
    failing(scene)
    scene.waive()
    scene.policy += "\n[waivers]\nallowed = false\n"
    verdict = scene.judge()
    assert not verdict.yes
    assert "the policy takes no waivers" in said(verdict, RuleName.FAILURES)


def test_a_changed_characteristic_is_accepted_or_waived_and_then_no_other(scene: Scene) -> None:
    scene.edit('package = "released"\nrun = "released"', 'statement = "last.json"')
    (scene.folder / "last.json").write_text("{}")
    scene.fail(two={"requests": ({"information": 64},)})
    scene.take()
    state_of_released(scene)
    assert "information 32 -> 64" in said(scene.judge(), RuleName.COMPARISON)
    scene.waive()
    assert scene.judge().yes
    scene.waive(failure="0" * 64)
    assert not scene.judge().yes


def state_of_released(scene: Scene, path: Path | None = None) -> None:
    """The statement of the released package, made as it was released: with nothing before it."""
    now, candidate = scene.candidate, scene.policy
    scene.candidate, scene.policy = (
        scene.released,
        candidate.replace('statement = "last.json"', "first = true"),
    )
    scene.state(path or scene.folder / "last.json")
    scene.candidate, scene.policy = now, candidate


def in_a_row(scene: Scene) -> None:
    """Both packages fail alike, and the released one has its waiver and its statement."""
    scene.edit('package = "released"\nrun = "released"', 'statement = "last.json"')
    (scene.folder / "last.json").write_text("{}")
    scene.fail("old1", "old2", "new1", "new2", two=WRONG)
    scene.take()
    now, text = scene.candidate, scene.policy
    scene.candidate, scene.policy = scene.released, text.replace('statement = "last.json"', "first = true")
    scene.waive(file="last")
    scene.candidate, scene.policy = now, text
    state_of_released(scene)


def test_a_second_release_in_a_row_wants_the_second_signer(scene: Scene) -> None:
    in_a_row(scene)
    path = scene.waive()
    verdict = scene.judge()
    assert {one.rule for one in verdict.rules if not one.ok} == {RuleName.WAIVERS}
    assert "one: the same was waived in the last release" in said(verdict, RuleName.WAIVERS)
    scene.sign_again(path, "ana")
    assert not scene.judge().yes
    scene.sign_again(path, "eve")
    assert not scene.judge().yes
    scene.sign_again(path, "bo")
    assert scene.judge().yes


def test_whether_it_is_the_second_must_be_known(scene: Scene) -> None:
    in_a_row(scene)
    scene.waive()
    scene.edit('statement = "last.json"', 'package = "released"')
    assert "name its statement" in said(scene.judge(), RuleName.WAIVERS)


def test_a_last_statement_that_cannot_be_relied_on_is_a_no(scene: Scene) -> None:
    in_a_row(scene)
    scene.waive(second="bo")
    assert scene.judge().yes
    path = scene.folder / "last.json"
    path.write_bytes(path.read_bytes().replace(b'"sig": "', b'"sig": "A'))
    verdict = scene.judge()
    assert not verdict.yes
    assert "last.json" in said(verdict, RuleName.COMPARISON)


def test_a_waiver_is_bytes_of_one_key(scene: Scene) -> None:
    """ed25519 is deterministic: the same waiver is the same file."""
    failing(scene)
    path = scene.waive()
    from harness.gate import waivers

    found = waivers.load(path, scene.trusted(), NOW, 90)
    assert found.waiver is not None
    assert write(found.waiver, signer(str(scene.folder / "ana.key"))) == path.read_bytes()


def test_the_policy_may_let_known_issues_and_old_failures_through(scene: Scene) -> None:
    scene.fail("old1", "old2", "new1", "new2", two=WRONG)
    scene.take()
    assert not scene.judge().yes
    scene.policy += "\n[failures]\nas_released = true\n"
    verdict = scene.judge()
    assert verdict.yes and "let through by the policy" in said(verdict, RuleName.FAILURES)


def test_another_failure_than_the_released_ones_is_not_let_through(scene: Scene) -> None:
    scene.fail("old1", "old2", "new1", two=WRONG)
    scene.fail("new2", two={**WRONG, "reason": "H6: answer is STATUS_TIMEOUT (0x00000102)"})
    scene.take()
    scene.policy += "\n[failures]\nas_released = true\n"
    verdict = scene.judge()
    assert not verdict.yes
    assert "in run new2" in said(verdict, RuleName.FAILURES)
    assert "in run new1" not in said(verdict, RuleName.FAILURES)
