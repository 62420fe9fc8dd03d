# SPDX-License-Identifier: Apache-2.0
"""What a run says at its end: a block a cause, a line a failure, skips once, and reasons first."""

from __future__ import annotations

import base64
import gzip
import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.harness.plugin.test_plugin import KILL, WRONG_SIZE, Run, run  # noqa: F401 - a fixture

pytest_plugins = ["pytester"]

_SCENARIO = """
[[scenario]]
id = "{id}"
title = "{title}"
rule = "H4"
open = ["source"]
timeout_ms = 300
steps = [{{ do = "handshake", on = "source", {length} = "size-1", route = "{route}" }}]
"""
#: Ten with one cause, and one with another, between others that pass or are skipped.
MANY = "schema = 1\n" + "".join(
    _SCENARIO.format(id=f"h4.in.{n}", title=f"Short input {n}", length="in_length", route="irp")
    for n in range(10)
) + """
[[scenario]]
id = "h6.output"
title = "output holds the answer"
rule = "H6"
open = ["source"]
steps = [{ do = "handshake", on = "source", argument1 = 5, route = "call" }]
""" + "".join(
    f"""
[[scenario]]
id = "h9.native.{n}"
title = "needs what Wine has not"
rule = "H9"
needs = ["bugcheck"]
open = ["source"]
steps = [{{ do = "handshake", on = "source" }}]
"""
    for n in range(3)
)  # fmt: skip
REASON = (
    "H4: answer is STATUS_SUCCESS (0x00000000), expected STATUS_INVALID_BUFFER_SIZE (0xC0000206)"
    ' (step 6, "handshake source by irp from kernel mode")'
)


@pytest.fixture
def wrong(run: Run, pytester: pytest.Pytester) -> Any:  # noqa: F811
    """A driver that takes every length, told with `-ra`."""
    return run("--kshs-out=out", "-ra", "--junitxml=junit.xml", options=WRONG_SIZE, scenarios=MANY)


def lines(result: Any, pattern: str) -> list[str]:
    return [line for line in result.outlines if re.search(pattern, line)]


def test_failures_of_one_cause_are_one_block(wrong: Any) -> None:
    wrong.assert_outcomes(passed=1, failed=10, skipped=3)
    assert len(lines(wrong, r"^__+ ")) == 1, "one heading"
    (heading,) = lines(wrong, r"^_+ 10 scenarios failed _+$")
    at = wrong.outlines.index(heading)
    assert wrong.outlines[at + 1].endswith("basic.toml::h4.in.0")
    assert wrong.outlines[at + 2] == REASON, "the reason, not the title, which reads like a success"
    assert "The same in 9 more: h4.in.1, " in wrong.stdout.str()
    assert len(lines(wrong, r"^  > ")) == 1, "fields of the first alone"


def test_a_failure_is_a_line_with_node_id_and_the_whole_reason(wrong: Any) -> None:
    told = lines(wrong, r"^FAILED ")
    assert len(told) == 10
    for number, line in enumerate(told):
        assert re.match(rf"FAILED \S*basic\.toml::h4\.in\.{number} - {re.escape(REASON)}", line), line
    assert len(lines(wrong, "^=+ short test summary info =+$")) == 1


def test_skips_are_said_once_with_their_number(wrong: Any) -> None:
    assert len(lines(wrong, "bugcheck")) == 1
    (line,) = lines(wrong, "bugcheck")
    assert line.startswith("  3 x ")
    assert not lines(wrong, "^SKIPPED")


def test_messages_of_junit_begin_with_the_reason(wrong: Any, pytester: pytest.Pytester) -> None:
    found = list(ElementTree.parse(pytester.path / "junit.xml").iter("failure"))
    assert len(found) == 10
    for failure in found:
        assert str(failure.get("message")).startswith(REASON)
        assert str(failure.text).startswith(REASON) and "expected" in str(failure.text)


def test_errors_are_grouped_and_begin_with_the_reason_as_well(
    run: Run,  # noqa: F811
    pytester: pytest.Pytester,
) -> None:
    (pytester.path / "kshs.toml").write_text("[limits]\nin_a_row = 100\n")
    result = run("--kshs-out=out", "--junitxml=junit.xml", options=KILL, scenarios=MANY)
    errors = list(ElementTree.parse(pytester.path / "junit.xml").iter("error"))
    assert len(errors) == 10
    assert not any(str(e.get("message")).startswith("failed on setup") for e in errors)
    assert all("the agent is gone" in str(e.get("message")) for e in errors)
    assert len(lines(result, r"^_+ 10 scenarios error _+$")) == 1
    assert len(lines(result, r"^ERROR \S+::h4\.in\.\d - .*the agent is gone")) == 10


def test_what_python_tests_show_is_pytests_and_in_the_results(
    run: Run,  # noqa: F811
    pytester: pytest.Pytester,
) -> None:
    test = """
def test_short(handshake):
    assert handshake("source", in_length="size-1", route="irp").answer == 0xC0000206
"""
    result = run("--kshs-out=out", options=WRONG_SIZE, scenarios=MANY, test_x=test)
    assert len(lines(result, "^_+ test_short _+$")) == 1, "as always"
    assert len(lines(result, "^=+ short test summary info =+$")) == 1
    assert len(lines(result, "^FAILED ")) == 11
    records = [json.loads(s) for s in (pytester.path / "out/results.jsonl").read_text().splitlines()]
    (record,) = [r for r in records if r["kind"] == "test"]
    assert "test_x.py" in record["traceback"] and "0xC0000206" in record["traceback"]
    (request,) = record["requests"]
    assert request["title"] == "handshake 1 on source"
    assert "in_length: size-1" in request["text"] and "answer: STATUS_SUCCESS" in request["text"]
    page = (pytester.path / "out/report.html").read_text()
    assert page.index("handshake 1 on source") < page.index("Verdicts by rule"), "what failed comes first"


def test_without_tracebacks_there_are_no_blocks(run: Run) -> None:  # noqa: F811
    result = run("--tb=no", "-rN", options=WRONG_SIZE, scenarios=MANY)
    assert not lines(result, "^_+ ") and not lines(result, "^FAILED ")
    assert lines(result, "^14 scenarios: 1 passed, 10 failed, 3 skipped$")


def test_the_command_to_run_one_again_has_the_options_of_the_run(
    run: Run,  # noqa: F811
    pytester: pytest.Pytester,
) -> None:
    run("--kshs-out=out", "--kshs-guest=win11", "--kshs-target=avshs", scenarios=MANY)
    head = json.loads((pytester.path / "out/results.jsonl").read_text().splitlines()[0])
    assert head["options"] == {"guest": "win11"}, "what is usual need not be said"
    again = "kshs run --guest win11 --id h4.in.0 scenarios/basic.toml"
    page = (pytester.path / "out/report.html").read_text()
    packed = re.search(r'<template id="kept">([A-Za-z0-9+/=]+)<', page)
    assert packed is not None
    assert again in gzip.decompress(base64.b64decode(packed[1])).decode()
