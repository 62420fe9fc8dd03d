# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.results import parts, record, report, summary, tally
from harness.results.record import Comparison, ScenarioResult, StepResult
from harness.results.rule_outcome import rule_outcome
from harness.verdict import Verdict

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)> & \"quotes\" 'too'"

BLOCK = {
    "op": "request",
    "outcome": "done",
    "answer": "STATUS_SUCCESS (0x00000000)",
    "status": "untouched",
    "information": None,
    "pending": False,
    "output": "cc" * 32,
    "handshake": {"protocol": "6b2f7a12-52d3-4c0e-9e1b-0b9c1b7d5a01", "argument1": "0x1", "argument2": "0x2"},
    "flags": ["IOSB_VISIBLE", EVIL],
}


def step(index: int, verdict: Verdict, route: str | None = "irp", **more: Any) -> StepResult:
    return StepResult(
        index=index,
        name=f"handshake on source {index}",
        do="handshake",
        verdict=verdict,
        route=route,
        mode="kernel" if route else None,
        rule="H4",
        status_block=BLOCK,
        **more,
    )


WRONG = Comparison(
    "answer",
    "STATUS_INVALID_BUFFER_SIZE (0xC0000206)",
    "STATUS_SUCCESS (0x00000000)",
    ok=False,
    rule="H4",
    clause="If the lengths are not both sizeof(KSHANDSHAKE)",
)
FINE = Comparison("information", "32", "32", ok=True, rule="H6")
NOTED = Comparison("answer", "", "STATUS_NOT_FOUND (0xC0000225)", ok=True, characteristic=True)


def scenario(name: str, verdict: Verdict, *steps: StepResult, **more: Any) -> ScenarioResult:
    return ScenarioResult(
        id=name,
        title=f"title of {name}",
        rules=more.pop("rules", ("H4",)),
        verdict=verdict,
        file="catalogue/h4.toml",
        line=3,
        steps=steps,
        seconds=0.25,
        lease="lease-1",
        **more,
    )


SCENARIOS = [
    scenario("h4.short", Verdict.FAILED, step(0, Verdict.FAILED, comparisons=(WRONG, FINE))),
    scenario(
        "h6.output",
        Verdict.PASSED,
        step(0, Verdict.PASSED, "call", comparisons=(FINE,)),
        step(1, Verdict.PASSED),
        rules=("H6", "H3"),
    ),
    scenario(
        "h10.layout", Verdict.PASSED, step(0, Verdict.PASSED, "apc", comparisons=(NOTED,)), rules=("H10",)
    ),
    scenario("h5.raw", Verdict.SKIPPED, reason="raw pointers never reach a driver under Wine", rules=("H5",)),
    scenario(
        "h8.fault",
        Verdict.CRASHED,
        step(0, Verdict.CRASHED, reason="0xC0000005 at avshs.sys+0x1234"),
        evidence=("exception 0xC0000005", EVIL),
        rules=("H8",),
    ),
    scenario("h9.evil", Verdict.HUNG, step(0, Verdict.HUNG, notes=(EVIL,)), reason=EVIL, rules=("H9",)),
]
RUN = {
    "id": "r1",
    "started": "2026-01-02T03:04:05Z",
    "seconds": 12.5,
    "version": "0.1.0",
    "command": f"kshs run -k {EVIL}",
    "guest": "wine",
    "selection": None,
    "problem": None,
    "target": {"name": "avshs", "title": "sample", "digest": "ab" * 32},
    "host": {"qemu": "7.2.0", "libvirt": "9.0.0", "accelerator": "tcg"},
}
ENVIRONMENT = {
    "kind": "environment",
    "guest": {"family": "wine", "kernel": "Wine 8.0 as NT 10.0.19043", "note": EVIL},
}


def make(tmp_path: Path, scenarios: list[ScenarioResult] = SCENARIOS) -> list[dict[str, Any]]:
    """The records of a run of two workers."""
    for worker in ("gw0", "gw1"):
        part = parts.PartWriter(tmp_path / f"part-{worker}.jsonl")
        part.write(ENVIRONMENT)
        for order, result in enumerate(scenarios):
            if order % 2 == int(worker[-1]):
                part.write_scenario(result, order=order, worker=worker)
        part.close()
    return parts.write(RUN, parts.gather(list(tmp_path.glob("part-*"))), tmp_path / "results.jsonl")


def kept(html: str) -> dict[str, str]:
    """The packed bodies of a page by anchor, unpacked without a browser."""
    found = re.search(r'<template id="kept">([A-Za-z0-9+/=]+)</template>', html)
    assert found
    bodies: dict[str, str] = json.loads(gzip.decompress(base64.b64decode(found[1])))
    return bodies


class Page(HTMLParser):
    """Collects what matters: tags, ids, links, unbalanced elements."""

    VOID = frozenset({"meta", "link", "input", "img", "br", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()


def parse(html: str) -> Page:
    page = Page()
    page.feed(html)
    page.close()
    return page


def test_the_matrix_counts_a_scenario_in_each_of_its_rules_and_routes(tmp_path: Path) -> None:
    matrix = tally.matrix(make(tmp_path))
    assert list(matrix) == ["H3", "H4", "H5", "H6", "H8", "H9", "H10"]
    assert matrix["H6"] == {"call": {"passed": 1}, "irp": {"passed": 1}} == matrix["H3"]
    assert matrix["H5"] == {"-": {"skipped": 1}}


@pytest.mark.parametrize(
    ("rules", "comparisons", "judged"),
    [
        (("H4",), (), []),
        (("H4", "H5"), (WRONG,), ["H4"]),
        (("H6",), (NOTED,), []),
        (("H4",), (FINE,), []),
        # What a request has to be like shows in its answer.
        (("H1", "H2", "H3", "H8", "H10", "H6"), (FINE,), ["H1", "H2", "H3", "H8", "H10", "H6"]),
        # ... but not in that of another request of a scenario about which the contract is silent.
        (("characteristic", "H2", "H6"), (FINE,), ["H6"]),
    ],
)
def test_a_rule_by_which_nothing_was_judged_has_not_passed(
    rules: tuple[str, ...], comparisons: tuple[Comparison, ...], judged: list[str]
) -> None:
    result = scenario("x", Verdict.PASSED, step(0, Verdict.PASSED, comparisons=comparisons), rules=rules)
    line = next(record.scenario_records(result, order=0, worker="main"))
    assert line["judged"] == judged
    for rule in rules:
        assert rule_outcome(line, rule) == ("passed" if rule in judged else "recorded")
        assert rule_outcome({**line, "verdict": "failed"}, rule) == "failed"
    del line["judged"]
    assert {rule_outcome(line, rule) for rule in rules} == {"passed"}, "earlier runs did not say"


def test_the_summary_says_what_was_recorded_only(tmp_path: Path) -> None:
    told = summary.lines(make(tmp_path))
    assert any(line.split() == ["H10", "1", "recorded,", "not", "judged"] for line in told), told
    assert any(line.split() == ["H3", "1", "passed"] for line in told), told


TEST = {"kind": "test", "id": "test_x.py::test_it", "verdict": "failed", "reason": EVIL, "seconds": 0.1}


@pytest.mark.parametrize(
    ("verdict", "problem", "word"),
    [
        ("passed", None, "passed"),
        ("failed", None, "failed"),
        ("error", None, "error"),
        ("passed", "interrupted", "error"),
    ],
)
def test_the_headline_is_never_better_than_a_test_in_python_or_the_run(
    tmp_path: Path, verdict: str, problem: str | None, word: str
) -> None:
    part = parts.PartWriter(tmp_path / "part.jsonl")
    part.write_scenario(SCENARIOS[1], order=0, worker="main")
    part.close()
    run = {**RUN, "problem": problem}
    test = {**TEST, "verdict": verdict}
    found = parts.write(run, parts.gather([tmp_path / "part.jsonl"]), tmp_path / "results.jsonl", [test])
    assert found[-1] == test == parts.read(tmp_path / "results.jsonl")[-1]
    html = report.render(found)
    parse(html)
    assert f"<title>kshs: {word}" in html
    assert "test_x.py::test_it" in html and EVIL not in html
    assert f"tests in Python: 1 {verdict}" in summary.lines(found)


def test_the_page_is_well_formed_and_fetches_nothing(tmp_path: Path) -> None:
    html = report.render(make(tmp_path))
    page = parse(html)
    assert page.open == []
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on") or name == "style"], (tag, attrs)
        for name in ("src", "href"):
            value = attrs.get(name) or ""
            assert value in ("", "data:,") or (value.startswith("#") and value[1:] in ids), (tag, value)
    assert not re.findall(r"url\(|@import|https?://", html)


def test_text_of_a_guest_stays_text(tmp_path: Path) -> None:
    html = report.render(make(tmp_path))
    page = parse(html)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "img" not in [tag for tag, _ in page.tags]
    assert html.count("&lt;/script&gt;") >= 5


def test_packed_text_of_a_guest_stays_text(tmp_path: Path) -> None:
    noted = step(0, Verdict.PASSED, comparisons=(FINE,), notes=(EVIL,))
    html = report.render(make(tmp_path, [scenario("h6.noted", Verdict.PASSED, noted)]))
    body = kept(html)["s0"]
    page = parse(body)
    assert page.open == []
    assert {tag for tag, _ in page.tags} <= {
        "div", "span", "p", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "a", "code", "button",
    }  # fmt: skip
    assert body.count("&lt;/script&gt;") == 2 * EVIL.count("</script>"), "in a flag and in a note"


def test_what_needs_reading_is_in_the_page_itself(tmp_path: Path) -> None:
    mixed = [
        *SCENARIOS,
        scenario("h6.evidence", Verdict.PASSED, step(0, Verdict.PASSED), evidence=("a crash record",)),
        scenario("h6.partly", Verdict.SKIPPED, step(0, Verdict.ERROR, reason="odd")),
    ]
    html = report.render(make(tmp_path, mixed))
    assert sorted(kept(html)) == ["s1", "s2", "s3"]
    bodies = dict(
        re.findall(r'id="(s\d+)".*?<div class="body(?: kept)?">(.*?)</div></details>', html, re.DOTALL)
    )
    assert sorted(anchor for anchor, body in bodies.items() if not body) == ["s1", "s2", "s3"]
    for anchor, text in (("s0", "sizeof(KSHANDSHAKE)"), ("s6", "a crash record"), ("s7", "odd")):
        assert text in bodies[anchor]


def test_equal_values_of_different_types_read_differently(tmp_path: Path) -> None:
    steps = [
        StepResult(0, "n", "handshake", Verdict.PASSED, status_block={"count": value, "seen": [value]})
        for value in (True, 1, 1.0, "1", None)
    ]
    body = kept(report.render(make(tmp_path, [scenario("h6.one", Verdict.PASSED, *steps)])))["s0"]
    assert re.findall(r">(?:count|seen)</th><td>(.*?)</td>", body) == [
        "yes", "yes", "1", "1", "1.0", "1.0", "1", "1", "–", "–",
    ]  # fmt: skip


def test_characteristics_stand_beside_their_scenario_and_step_once(tmp_path: Path) -> None:
    more = Comparison("pending", "", "no", ok=True, characteristic=True)
    steps = [step(n, Verdict.PASSED, comparisons=(NOTED, FINE, more)) for n in range(2)]
    html = report.render(make(tmp_path, [scenario("h10.two", Verdict.PASSED, *steps)]))
    table = html[html.index('id="h-characteristics"') : html.index('id="h-skipped"')]
    rows = [
        re.findall(r"<td(?: rowspan=\"(\d+)\")?>(?:<a[^>]*>)?(.*?)</", row) for row in table.split("<tr>")[2:]
    ]
    one, two = ("", "STATUS_NOT_FOUND (0xC0000225)"), ("", "no")
    assert rows == [
        [("4", "h10.two"), ("2", "handshake on source 0"), ("", "answer"), one],
        [("", "pending"), two],
        [("2", "handshake on source 1"), ("", "answer"), one],
        [("", "pending"), two],
    ]


def test_the_policy_names_the_one_style_and_script(tmp_path: Path) -> None:
    html = report.render(make(tmp_path))
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)
    assert style and script
    assert report._hash(style[1]) in html and report._hash(script[1]) in html


def test_what_was_expected_and_what_came_is_there(tmp_path: Path) -> None:
    html = report.render(make(tmp_path))
    wrong = re.search(r'<tr class="wrong">(.*?)</tr>', html, re.DOTALL)
    assert wrong
    for text in ("STATUS_INVALID_BUFFER_SIZE (0xC0000206)", "STATUS_SUCCESS (0x00000000)", "H4", "sizeof"):
        assert text in wrong[1]
    assert "raw pointers never reach a driver under Wine" in html
    assert "STATUS_NOT_FOUND (0xC0000225)" in html
    assert "Wine 8.0 as NT 10.0.19043" in html


def test_a_run_of_nothing_still_renders(tmp_path: Path) -> None:
    html = report.render(make(tmp_path, []))
    assert "No scenario has run." in html
    assert parse(html).open == []


def test_results_of_a_newer_schema_are_refused(tmp_path: Path) -> None:
    records = make(tmp_path)
    records[0]["schema"] = 99
    with pytest.raises(HarnessError, match="schema 99"):
        report.render(records)


def test_durations_for_people() -> None:
    assert [report.seconds(s) for s in (None, 0.0000123, 0.25, 12.34, 130)] == [
        "–", "12 µs", "250 ms", "12.3 s", "2 min 10 s",
    ]  # fmt: skip


def test_the_verdicts_in_the_page_are_those_of_the_summary(tmp_path: Path) -> None:
    records = make(tmp_path)
    html = report.render(records)
    totals = tally.counts(records)
    for verdict, count in totals.items():
        assert len(re.findall(rf'<details [^>]*data-verdict="{verdict}"', html)) == count
        assert f'<b class="c-{verdict}">{count}</b>{verdict}' in html
    assert f"{len(SCENARIOS)} scenarios: {summary.in_words(totals)}" in summary.lines(records)


def test_what_was_judged_stands_before_what_was_recorded(tmp_path: Path) -> None:
    mixed = step(0, Verdict.FAILED, comparisons=(NOTED, FINE, WRONG))
    html = report.render(make(tmp_path, [scenario("h4.mixed", Verdict.FAILED, mixed)]))
    body = html[html.index('class="step"') :]
    places = [body.index(text) for text in (">32<", ">STATUS_INVALID_BUFFER_SIZE", ">recorded, not judged<")]
    assert places == sorted(places)
