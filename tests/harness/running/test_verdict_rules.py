# SPDX-License-Identifier: Apache-2.0
"""The table of verdicts: what each combination of oracles means, in a runner and in the documents, too."""

from __future__ import annotations

import itertools
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from harness.guests import Evidence
from harness.running.ended import ended_by
from harness.running.verdict_rules import RULES, Seen, Signal, decide, table
from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import C, FakeProvider
from tests.harness.running.conftest import MakeRunner
from tests.harness.running.scenarios import bend_op, scenario

ROOT = Path(__file__).parents[3]
E, H, X = Verdict.ERROR, Verdict.HUNG, Verdict.CRASHED
LOST, OVERDUE, SAYS_LOST, SAYS_HUNG, LIMIT, BEHIND = Signal
_FLAGS = [field.name for field in fields(Seen) if field.name != "signal"]


@pytest.mark.parametrize(
    ("seen", "rule", "verdict", "again"),
    [
        (Seen(LOST), "session-lost", E, True),
        (Seen(LOST, gone=True), "session-lost", E, True),
        (Seen(LOST, standstill=True), "session-lost", E, True),
        (Seen(LOST, crash=True), "crash-shown", X, False),
        (Seen(LOST, crash=True, standstill=True), "crash-shown", X, False),
        (Seen(OVERDUE), "overdue", H, False),
        (Seen(OVERDUE, crash=True, begun=False), "crash-shown", X, False),
        (Seen(OVERDUE, gone=True), "overdue-gone", E, True),
        (Seen(OVERDUE, standstill=True), "overdue-standstill", E, True),
        (Seen(OVERDUE, begun=False), "overdue-not-begun", E, True),
        (Seen(OVERDUE, agents=True), "overdue-agent", E, True),
        (Seen(SAYS_LOST), "vanished", X, False),
        (Seen(SAYS_LOST, gone=True), "vanished-gone", E, True),
        (Seen(SAYS_LOST, standstill=True), "vanished-standstill", E, True),
        (Seen(SAYS_HUNG), "hung", H, False),
        (Seen(SAYS_HUNG, crash=True), "crash-shown", X, False),
        (Seen(SAYS_HUNG, standstill=True), "hung-standstill", E, True),
        (Seen(SAYS_HUNG, crowded=True), "crowded", E, False),
        (Seen(LIMIT), "limit", E, False),
        (Seen(LIMIT, gone=True), "limit-gone", E, True),
        (Seen(LIMIT, standstill=True), "limit-standstill", E, True),
        (Seen(LIMIT, crash=True), "crash-shown", X, False),
        (Seen(BEHIND, crash=True), "crash-shown", X, False),
    ],
    ids=str,
)
def test_what_the_oracles_say_together(seen: Seen, rule: str, verdict: Verdict, again: bool) -> None:
    found = decide(seen)
    assert (found.name, found.verdict, found.again) == (rule, verdict, again)


def every() -> list[Seen]:
    flags = itertools.product((False, True), repeat=len(_FLAGS))
    return [Seen(signal, **dict(zip(_FLAGS, values, strict=True))) for values in flags for signal in Signal]


def test_every_combination_has_a_rule_and_every_rule_decides_some() -> None:
    assert {decide(seen).name for seen in every()} == {rule.name for rule in RULES}
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_no_combination_blames_a_driver_for_what_is_not_its_doing() -> None:
    for seen in every():
        verdict = decide(seen).verdict
        if seen.crash:
            assert verdict is X, seen
        elif seen.signal in (LOST, LIMIT) or seen.standstill:
            assert verdict in (E, None), seen
        elif verdict is H:
            assert seen.signal is SAYS_HUNG or (seen.begun and not seen.agents and not seen.gone), seen


def test_only_faults_of_ours_are_tried_again() -> None:
    assert {rule.verdict for rule in RULES if rule.again} == {E}


def test_what_has_not_ended_cannot_be_said_to_have() -> None:
    with pytest.raises(ValueError, match="nothing-shown"):
        ended_by(decide(Seen(BEHIND)), "", ())


def test_the_documents_have_the_same_table() -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert "\n".join(table()) in text


DEAD, SILENT = Answer(die=9), Answer(silent=True)
NEVER_BEGUN = Answer(silent=True, begin=False)
SAYS = {name: Answer(record={"outcome": C[f"KSHS_OUTCOME_{name}"]}) for name in ("LOST", "HUNG")}
BUGCHECK = Evidence(driver=("bugcheck 0xd1 in avshs.sys",))
VERIFIER = Evidence(driver=("bugcheck 0xc4 (DRIVER_VERIFIER_DETECTED_VIOLATION)",))
HYPERVISOR = Evidence(driver=("the hypervisor reports: panicked",))
GONE, STILL = Evidence(gone=True), Evidence(standstill="QEMU is stopped")


@pytest.mark.parametrize(
    ("answer", "evidence", "verdict"),
    [
        (DEAD, Evidence(), E),
        (DEAD, GONE, E),
        (DEAD, BUGCHECK, X),
        (DEAD, VERIFIER, X),
        (DEAD, HYPERVISOR, X),
        (SILENT, Evidence(), H),
        (SILENT, VERIFIER, X),
        (SILENT, GONE, E),
        (SILENT, STILL, E),
        (NEVER_BEGUN, Evidence(), E),
        (SAYS["LOST"], Evidence(), X),
        (SAYS["LOST"], GONE, E),
        (SAYS["LOST"], STILL, E),
        (SAYS["HUNG"], Evidence(), H),
        (SAYS["HUNG"], HYPERVISOR, X),
        (SAYS["HUNG"], STILL, E),
        (Answer(raw=b"garbage that is no frame", begin=False), Evidence(), E),
    ],
)
def test_a_runner_decides_by_the_table(
    make_runner: MakeRunner, answer: Answer, evidence: Evidence, verdict: Verdict
) -> None:
    provider = FakeProvider(bend=bend_op("REQUEST", {0: answer}), evidence=evidence)
    result = make_runner(provider, margin=0.2).run(scenario(timeout_ms=100), file="t.toml")
    assert result.verdict is verdict, result.reason
    assert result.ended in {rule.name for rule in RULES if rule.verdict is verdict}


def test_records_say_by_which_rule(make_runner: MakeRunner) -> None:
    from harness.results.record import scenario_records

    provider = FakeProvider(bend=bend_op("REQUEST", {0: SILENT}))
    result: Any = make_runner(provider).run(scenario(timeout_ms=100), file="t.toml")
    head, *_ = scenario_records(result, order=0, worker="main")
    assert json.loads(json.dumps(head))["ended"] == "overdue"
