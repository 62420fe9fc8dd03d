# SPDX-License-Identifier: Apache-2.0
"""What a yes says, and what it does not hide."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from harness.gate import page
from harness.gate.rule_names import RuleName
from tests.harness.gate.scene import NOW, Scene


def test_all_is_as_it_must_be(scene: Scene) -> None:
    scene.take()
    said = scene.judge()
    assert {one.rule: (one.ok, one.said) for one in said.rules if not one.ok} == {}
    assert said.yes and [one.rule for one in said.rules] == list(RuleName)
    assert said.counts == {"passed": 6, "failed": 0, "crashed": 0, "hung": 0, "skipped": 0, "error": 0}
    assert said.todo == []
    assert [one.run.name for one in said.runs if one.counted] == ["new1", "new2"]


def test_what_varies_with_the_released_package_too_is_known(scene: Scene) -> None:
    for name in ("old2", "new2"):
        scene.fail(name, two={"requests": ({"information": 64},)})
    scene.take()
    said = scene.judge()
    assert said.yes, [one.said for one in said.rules if not one.ok]


def test_texts_that_no_database_takes_are_those_of_the_results(scene: Scene) -> None:
    scene.fail("old1", "old2", "new1", "new2", three={"verdict": "skipped", "reason": "nul \0 half \ud800"})
    scene.take()
    said = scene.judge()
    assert said.yes, [one.said for one in said.rules if not one.ok]
    assert said.not_covered.skipped == [("basic.toml::relay.three", "nul \ufffd half ?")]


def test_behind_a_self_test_that_failed_both_are_made_anew(scene: Scene) -> None:
    assert scene.selftest is not None
    scene.selftest["cases"][0] |= {"verdict": "passed"}
    scene.take()
    said = scene.judge()
    assert not said.yes
    assert [words[0] for words in said.todo] == ["run", "run", "selftest"]
    good = {**scene.selftest, "started": f"{NOW - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"}
    good["cases"] = [{**case, "verdict": "crashed"} for case in good["cases"]]
    scene.runs = {name: replace(scene.runs["new1"], id=name, hours=2) for name in ("new3", "new4")}
    scene.selftest = good
    scene.selftest_folder = "second"
    scene.take()
    said = scene.judge()
    assert said.yes, [one.said for one in said.rules if not one.ok]
    assert [one.folder for one in said.selftests] == [str(scene.folder / "out" / "second")]


def test_the_verdict_is_shown_and_nothing_of_it_is_markup(scene: Scene) -> None:
    scene.fail(two={"verdict": "failed", "reason": "<img src=x onerror=alert(1)> `|` \x1b[31m"})
    scene.take()
    made = page.data(scene.judge())
    assert made["verdict"] == "no" and made["statement"] is None
    html = page.html(made).decode()
    assert "<img" not in html and "&lt;img src=x" in html and "\x1b" not in html
    assert "\x1b" not in page.markdown(made) and "| failures | **no** |" in page.markdown(made)
    assert {one["rule"] for one in made["rules"]} == set(RuleName)
