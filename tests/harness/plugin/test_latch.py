# SPDX-License-Identifier: Apache-2.0
"""What is broken on our side: tried again a bounded number of times, then said once for all that is left."""

from __future__ import annotations

import pytest

from tests.harness.plugin.test_plugin import KILL, Run, junit, records, run  # noqa: F401


def test_a_guest_that_cannot_be_had_is_said_once_and_latched(pytester: pytest.Pytester, run: Run) -> None:  # noqa: F811
    result = run(
        "--kshs-out=out",
        "--tb=short",
        options='fail="no space for the template"',
        test_it="def test_it(handshake): handshake()",
    )
    result.assert_outcomes(errors=1)
    text = "no space for the template (kshs doctor)"
    rows = [r for r in records(pytester) if r["kind"] == "scenario"]
    unrun = ("error", f"not run: {text}")
    assert [(r["verdict"], r["reason"]) for r in rows] == [("error", text), unrun, unrun, unrun]
    assert [(r["try"], r["of"]) for r in records(pytester) if r["kind"] == "infrastructure"] == [
        (1, 3),
        (2, 3),
        (3, 3),
    ]
    assert "Traceback" not in result.stdout.str()
    result.stdout.fnmatch_lines(["kshs: 4 of 5 that were selected did not run", "4 scenarios: 4 error"])
    assert "pluggy" not in result.stdout.str().split("ERRORS")[1], "one line each, no stack"
    assert records(pytester)[0]["problem"] == text


def test_what_a_failed_deployment_left_lies_in_the_runs_folder(pytester: pytest.Pytester, run: Run) -> None:  # noqa: F811
    options = 'fail="not signed", artefacts={"setupapi.dev.log": "!!!  sto: no\\n"}'
    run("--kshs-out=out", options=options).assert_outcomes(errors=1)
    log = pytester.path / "out" / "setupapi.dev.log"
    assert log.read_text() == "!!!  sto: no\n"
    said = f"deploy: install-device: not signed; all of it: {log}"
    assert {r["reason"] for r in records(pytester) if r["kind"] == "scenario"} == {said, f"not run: {said}"}
    assert not [r for r in records(pytester) if r["kind"] == "infrastructure"], (
        "another try would say the same"
    )


def test_the_latch_holds_after_the_first_lease_too(pytester: pytest.Pytester, run: Run) -> None:  # noqa: F811
    options = KILL + ', fail="no more guests", fail_from=1'
    run("--kshs-out=out", "--junitxml=junit.xml", options=options).assert_outcomes(errors=1)
    first, *others = [r["reason"] for r in records(pytester) if r["kind"] == "scenario"]
    assert "the agent is gone" in first
    assert set(others) == {"not run: no more guests (kshs doctor)"}
    told = {c.get("name"): [e.get("message") for e in c.iter("error")] for c in junit(pytester)}
    assert told.pop("h4.short") and len(told) == 3
    assert all(messages == ["not run: no more guests (kshs doctor)"] for messages in told.values()), told


def test_scenarios_in_a_row_that_are_lost_on_our_side_end_the_rest(
    pytester: pytest.Pytester,
    run: Run,  # noqa: F811
) -> None:
    (pytester.path / "kshs.toml").write_text("[limits]\nin_a_row = 2\n")
    options = "bend=lambda s, step, data: Answer(die=137) if OPS[int(step.op)] == 'REQUEST' else None"
    result = run("--kshs-out=out", options=options)
    result.assert_outcomes(errors=2)
    rows = [r for r in records(pytester) if r["kind"] == "scenario"]
    assert [[a["verdict"] for a in r.get("attempts", ())] for r in rows] == [["error"] * 2] * 2 + [[], []]
    said = "the guest, the image or the host is broken: 2 scenarios in a row ended on our side, each tried 2"
    assert all(str(r["reason"]).startswith(f"not run: {said}") for r in rows[2:])
    assert result.stdout.str().count("ERROR 2 scenarios - not run: ") == 1
    assert result.ret != 0


def test_what_was_lost_on_our_side_is_tried_again_and_both_tries_are_on_record(
    pytester: pytest.Pytester,
    run: Run,  # noqa: F811
) -> None:
    first = "len(provider.guests) == 1 and OPS[int(step.op)] == 'REQUEST'"
    options = f"bend=lambda s, step, data: Answer(die=137) if {first} else None"
    result = run("--kshs-out=out", "--junitxml=junit.xml", options=options)
    result.assert_outcomes(passed=3, skipped=1)
    result.stdout.fnmatch_lines(["  1 scenario tried more than once, every attempt is on record"])
    (row,) = [r for r in records(pytester) if "attempts" in r]
    assert [attempt["verdict"] for attempt in row["attempts"]] == ["error", "passed"]
    (case,) = [c for c in junit(pytester) if c.get("name") == row["id"]]
    tried = [str(p.get("value")) for p in case.iter("property") if p.get("name") == "attempt"]
    assert tried[0].startswith("error: ") and "the agent is gone" in tried[0] and tried[1] == "passed"


def test_the_latch_reaches_both_workers(pytester: pytest.Pytester, run: Run) -> None:  # noqa: F811
    pytest.importorskip("xdist")
    result = run("-n2", "--kshs-out=out", options='fail="no template"')
    assert 1 <= result.parseoutcomes()["errors"] <= 2, "each worker finds it out at most once"
    result.stdout.fnmatch_lines(["kshs: [23] of 4 that were selected did not run"])
    assert {r["reason"] for r in records(pytester) if r["kind"] == "scenario"} == {
        "no template (kshs doctor)",
        "not run: no template (kshs doctor)",
    }
    result.stdout.re_match_lines([r"ERROR [23] scenarios? - not run: no template \(kshs doctor\)"])
