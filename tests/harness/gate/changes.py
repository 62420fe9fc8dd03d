# SPDX-License-Identifier: Apache-2.0
"""What tests change in a scene, and how they say what must come of it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from drivers import catalogue, signing
from harness.gate.rule_names import RuleName
from harness.language.model.values import Strict
from harness.nights.known_file import Issue, KnownFile, Quarantine
from harness.results import seal
from harness.store.provenance import rows_digest
from tests.drivers.pe import driver_image
from tests.harness.gate.scene import NOW, WRONG, Scene

Act = Callable[[Scene], object]
CANDIDATE, CLOCK, COVERAGE, EVIDENCE = (
    RuleName.CANDIDATE,
    RuleName.CLOCK,
    RuleName.COVERAGE,
    RuleName.EVIDENCE,
)
SELFTEST, IMAGES, FAILURES, COMPARISON = (
    RuleName.SELFTEST,
    RuleName.IMAGES,
    RuleName.FAILURES,
    RuleName.COMPARISON,
)
FLAKES, KNOWN, WAIVERS = RuleName.FLAKES, RuleName.KNOWN, RuleName.WAIVERS
#: Where no run counts, nothing can be said of these either.
NOTHING = {COVERAGE, SELFTEST, IMAGES, COMPARISON, FLAKES}


@dataclass(frozen=True)
class No:
    """What is changed before runs go into the store and after it, the rules that then fail, and words."""

    name: str
    rules: set[RuleName]
    words: str
    before: Act = lambda scene: None
    after: Act = lambda scene: None


def edit(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def tamper(statement: str) -> Act:
    def act(scene: Scene) -> None:
        with scene.store.writing() as connection:
            assert connection.execute(text(statement)).rowcount

    return act


def known(*entries: Strict) -> Act:
    issues = [one for one in entries if isinstance(one, Issue)]
    quarantines = [one for one in entries if isinstance(one, Quarantine)]
    file = KnownFile(schema=1, issue=issues, quarantine=quarantines)
    return lambda scene: scene.known.append(file)


def quarantined(**changes: object) -> Quarantine:
    said = {"scenario": "relay.two", "owner": "bo", "reason": "slow", "expires": NOW.date()}
    return Quarantine.model_validate({**said, **changes})


def piped(path: Path) -> None:
    """Nobody writes into it: who opens it waits."""
    path.unlink()
    os.mkfifo(path)


def linked(scene: Scene) -> None:
    """The driver's file lies beside itself, under another name."""
    path = scene.candidate / "relay.sys"
    path.rename(path.with_name("real.sys"))
    path.symlink_to("real.sys")


def rebuilt(scene: Scene) -> None:
    """The package is built and signed anew: the same version, other bytes."""
    (scene.candidate / "relay.sys").write_bytes(driver_image({"ks.sys": ["KsInitializeDriver"]}, b"again"))
    catalogue.make(scene.candidate, signing.identity(scene.folder / "identity"))


def other_content(scene: Scene) -> None:
    scene.suite.write_text(scene.suite.read_text().replace("argument1 = 7", "argument1 = 8"))


def fewer(*names: str) -> Act:
    def act(scene: Scene) -> None:
        for name in names:
            run = scene.runs[name]
            scene.runs[name] = replace(run, cases=run.cases[:-1])

    return act


def drop(*names: str) -> Act:
    return lambda scene: [scene.runs.pop(name) for name in names]


def changed(*names: str, **values: object) -> Act:
    return lambda scene: scene.change(*names, **values)


def failing(*names: str, **wrong: dict[str, object]) -> Act:
    return lambda scene: scene.fail(*names, **wrong)


def selftest(**values: object) -> Act:
    def act(scene: Scene) -> None:
        assert scene.selftest is not None
        scene.selftest |= values

    return act


def no_selftest(scene: Scene) -> None:
    scene.selftest = None


def wrong_case(scene: Scene) -> None:
    assert scene.selftest is not None
    scene.selftest["cases"][1] |= {"verdict": "passed"}


def policy(old: str, new: str) -> Act:
    return lambda scene: scene.edit(old, new)


def set_now(**past: float) -> Act:
    def act(scene: Scene) -> None:
        scene.now = NOW + timedelta(**past)

    return act


def touched(scene: Scene) -> None:
    scene.touched[scene.candidate / "relay.sys"] = NOW.replace(tzinfo=None) + timedelta(hours=1)


def issue(**changes: object) -> Issue:
    said = {"id": "KS-1", "link": "x", "scenario": "relay.two", "owner": "ana", "signature": "*"}
    dates = {"opened": (NOW - timedelta(days=1)).date(), "expires": (NOW + timedelta(days=9)).date()}
    return Issue.model_validate({**said, **dates, **changes})


def forge(scene: Scene, name: str) -> None:
    """Somebody who knows what a seal is."""
    edit(scene.results(name) / "results.jsonl", b"the title of relay.two", b"the title of nothing")
    seal.write(scene.results(name), name)


def forge_store(scene: Scene) -> None:
    tamper("UPDATE attempt SET verdict = 'passed', reason = NULL, signature_id = NULL")(scene)
    with scene.store.writing() as connection:
        number = connection.execute(text("SELECT id FROM run WHERE name = 'new1'")).scalar_one()
        rows = rows_digest(connection, number)
        connection.execute(text("UPDATE run SET rows = :rows WHERE name = 'new1'"), {"rows": rows})


def partial_failure(scene: Scene) -> None:
    scene.fail("new1", two=WRONG)
    scene.change("new1", problem="interrupted")


def elsewhere(scene: Scene) -> None:
    run = replace(scene.runs["new2"], id="else", recipe="server2025", hours=3)
    scene.runs["else"] = replace(run, cases=scene.cases(two=WRONG))


def damaged(scene: Scene) -> None:
    """A line of a run's results is torn, and sealed so."""

    def torn(folder: Path) -> None:
        with (folder / "results.jsonl").open("ab") as file:
            file.write(b'{"kind":"scenario","id":\n')
        seal.write(folder, "new1")

    scene.behind["new1"] = torn


def edited(scene: Scene) -> None:
    """Somebody makes a failure a pass behind the run's end, and before anybody has imported it."""
    scene.fail("new1", two=WRONG)

    def better(folder: Path) -> None:
        path = folder / "results.jsonl"
        path.write_bytes(path.read_bytes().replace(b'"failed"', b'"passed"'))

    scene.behind["new1"] = better


def is_no(scene: Scene, case: No) -> None:
    """That the gate says no, by these rules and no others, in such words."""
    case.before(scene)
    scene.take()
    case.after(scene)
    said = scene.judge()
    assert not said.yes
    wrong = {one.rule: list(one.said) for one in said.rules if not one.ok}
    assert set(wrong) == case.rules, json.dumps(wrong, indent=1)
    lines = [line for lines in wrong.values() for line in lines]
    assert any(re.search(case.words, line) for line in lines), "\n".join(lines)
    assert [one.rule for one in said.rules] == list(RuleName)
