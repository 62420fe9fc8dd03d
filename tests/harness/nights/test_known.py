# SPDX-License-Identifier: Apache-2.0
"""Known issues and quarantines: known, gone, changed, expired, returned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.language.toml_file import TomlFileError
from harness.nights.findings import Kind, Night
from harness.nights.known_file import KnownFile, load
from tests.harness.nights.conftest import Compare
from tests.harness.nights.folders import Case, Results

Take = Callable[..., str]
ISSUE = """
schema = 1

[[issue]]
id = "KS-12"
scenario = "x"
{what}
link = "https://tracker.example/KS-12"
owner = "ana"
opened = 2026-01-02
expires = 2026-02-01
"""
REST = ISSUE.partition("[[issue]]")[2].format(what='signature = "y"')
BY_SIGNATURE = 'signature = "H6: answer is *"'
WRONG = Case("x", "failed", reason="H6: answer is wrong")


@pytest.fixture
def known(tmp_path: Path) -> Callable[[str], KnownFile]:
    def written(text: str) -> KnownFile:
        (tmp_path / "known-issues.toml").write_text(text)
        return load(tmp_path / "known-issues.toml")

    return written


def run(night: int, *cases: Case, **changes: object) -> Results:
    return Results(night=night, cases=[Case("a"), *cases], package=f"{night:064x}").but(**changes)


def said(night: Night) -> dict[str, tuple[Kind, bool]]:
    return {one.key.rpartition("::")[2]: (one.kind, one.alarm) for one in night.findings}


def test_a_known_failure_is_no_alarm(take: Take, compare: Compare, known: Callable[[str], KnownFile]) -> None:
    take(run(0, Case("x")), run(1, WRONG), run(2, WRONG))
    issue = known(ISSUE.format(what=BY_SIGNATURE))
    assert said(compare("night00", "night01")) == {"x": (Kind.NEW_FAILURE, True)}
    first = compare("night00", "night01", issue)
    assert said(first) == {"x": (Kind.KNOWN, False)} and first.alarms == 0
    assert first.findings[0].issue == "KS-12, ana, https://tracker.example/KS-12"
    assert said(compare("night01", "night02", issue)) == {"x": (Kind.KNOWN, False)}


def test_one_that_changes_its_signature_is_new(
    take: Take, compare: Compare, known: Callable[[str], KnownFile]
) -> None:
    take(run(0, WRONG), run(1, Case("x", "crashed", reason="crash in relay.sys+0x10")))
    night = compare("night00", "night01", known(ISSUE.format(what=BY_SIGNATURE)))
    assert said(night)["x"] == (Kind.NEW_FAILURE, True)
    assert night.findings[0].words.endswith("(not as KS-12 says)")


def test_one_that_stops_failing_is_reported(
    take: Take, compare: Compare, known: Callable[[str], KnownFile]
) -> None:
    take(run(0, WRONG), run(1, Case("x")), run(2, Case("x", "skipped")))
    issue = known(ISSUE.format(what=BY_SIGNATURE))
    assert said(compare("night00", "night01", issue)) == {
        "x": (Kind.FIXED, False),
        "KS-12": (Kind.ISSUE_GONE, False),
    }
    assert "KS-12" not in said(compare("night01", "night02", issue)), "nothing of it ran"


def test_an_expired_one_fails(take: Take, compare: Compare, known: Callable[[str], KnownFile]) -> None:
    take(run(30, WRONG), run(31, WRONG), run(32, WRONG))
    issue = known(ISSUE.format(what=BY_SIGNATURE))
    assert said(compare("night30", "night31", issue)) == {"x": (Kind.KNOWN, False)}
    night = compare("night31", "night32", issue)
    assert said(night) == {"x": (Kind.EXPIRED, True)}
    assert night.findings[0].words.startswith("expired on 2026-02-01: ")


def test_that_the_last_release_passes_is_no_fix_of_the_candidate(
    take: Take, compare: Compare, known: Callable[[str], KnownFile]
) -> None:
    ours, theirs = ({"command": f"kshs run --target {name} -n 2"} for name in ("relay", "released"))
    take(run(0, Case("x")), run(2, WRONG).but(**ours))
    take(run(3, Case("x")).but(**theirs, id="released", package="e" * 64), run(4, WRONG).but(**ours))
    issue = known(ISSUE.format(what=BY_SIGNATURE))
    assert said(compare("night00", "night04", issue)) == {"x": (Kind.KNOWN, False)}
    take(run(5, Case("x")).but(**ours), run(6, WRONG).but(**ours))
    assert said(compare("night00", "night06", issue)) == {"x": (Kind.NEW_FAILURE, True)}


def test_one_that_was_fixed_and_returns_is_new(
    take: Take, compare: Compare, known: Callable[[str], KnownFile]
) -> None:
    take(run(0, Case("x")), run(2, WRONG), run(3, Case("x")), run(4, WRONG))
    issue = known(ISSUE.format(what=BY_SIGNATURE))
    assert said(compare("night00", "night02", issue)) == {"x": (Kind.KNOWN, False)}, (
        "it passed before it was opened"
    )
    night = compare("night03", "night04", issue)
    assert said(night) == {"x": (Kind.NEW_FAILURE, True)}
    assert "was fixed (it passed in run night03 of 2026-01-04) and is back" in night.findings[0].words
    flaky = known(ISSUE.format(what=BY_SIGNATURE + "\nflaky = true"))
    assert said(compare("night03", "night04", flaky)) == {"x": (Kind.KNOWN, False)}


def test_a_value_of_a_field_is_known_and_no_other(
    take: Take, compare: Compare, known: Callable[[str], KnownFile]
) -> None:
    both = Case("x", requests=[{"information": 0, "answer": 0xC0000010}])
    take(run(0, Case("x")), run(1, Case("x", requests=[{"information": 0}])), run(2, both))
    issue = known(ISSUE.format(what='field = "information"\nvalue = 0'))
    assert said(compare("night00", "night01", issue)) == {"x": (Kind.KNOWN, False)}
    night = compare("night00", "night02", issue)
    assert [(one.kind, [c.field for c in one.changes]) for one in night.findings] == [
        (Kind.CHANGED, ["answer"]),
        (Kind.KNOWN, ["information"]),
    ]
    status = known(ISSUE.format(what='field = "answer"\nvalue = "STATUS_INVALID_DEVICE_REQUEST"'))
    kinds = [one.kind for one in compare("night01", "night02", status).findings]
    assert kinds == [Kind.KNOWN]


@pytest.mark.parametrize("place", ['guest = "lab*"', 'target = "other"'])
def test_an_issue_of_another_guest_or_target_hides_nothing(
    take: Take, compare: Compare, known: Callable[[str], KnownFile], place: str
) -> None:
    take(run(0, Case("x")), run(1, WRONG))
    night = compare("night00", "night01", known(ISSUE.format(what=f"{BY_SIGNATURE}\n{place}")))
    assert said(night) == {"x": (Kind.NEW_FAILURE, True)}


@pytest.mark.parametrize(
    ("field", "now", "value"),
    [
        ("argument1", 0xD5, '"0xD5"'),
        ("argument1", 0xD5, '"0xd5"'),
        ("argument1", 0xD5, "0xD5"),
        ("answer", 0xC0000010, '"STATUS_INVALID_DEVICE_REQUEST (0xC0000010)"'),
        ("answer", 0xC0000010, '"0xC0000010"'),
        ("answer", 0xC0000010, "3221225488"),
        ("answer", None, '"nothing"'),
    ],
)
def test_a_value_may_stand_as_reports_show_it(
    take: Take, compare: Compare, known: Callable[[str], KnownFile], field: str, now: int | None, value: str
) -> None:
    take(run(0, Case("x")), run(1, Case("x", requests=[{field: now}])))
    issue = known(ISSUE.format(what=f'field = "{field}"\nvalue = {value}'))
    assert said(compare("night00", "night01", issue)) == {"x": (Kind.KNOWN, False)}


def test_a_value_that_is_still_there_when_its_issue_expires_is_told(
    take: Take, compare: Compare, known: Callable[[str], KnownFile]
) -> None:
    """Nothing came otherwise since the night before: all the same somebody has to look."""
    wrong = [Case(name, requests=[{"information": 0}]) for name in ("x", "y")]
    take(run(30, *wrong), run(31, *wrong), run(32, *wrong), run(33, Case("x"), Case("y")))
    issue = known(
        ISSUE.format(what='field = "information"\nvalue = 0').replace('scenario = "x"', 'scenario = "[xy]"')
    )
    assert said(compare("night30", "night31", issue)) == {}
    night = compare("night31", "night32", issue)
    assert said(night) == {"KS-12": (Kind.EXPIRED, True)} and night.alarms == 1
    assert night.findings[0].words == ("expired on 2026-02-01: information is 0 in basic.toml::x and 1 more")
    gone = said(compare("night32", "night33", issue))
    assert gone["KS-12"] == (Kind.ISSUE_GONE, False) and gone["x"] == (Kind.CHANGED, True)


QUARANTINE = """
schema = 1

[[quarantine]]
scenario = "x"
owner = "bo"
reason = "the lab's clock"
expires = 2026-01-03
"""


def test_a_quarantined_one_runs_is_told_and_expires(
    take: Take, compare: Compare, known: Callable[[str], KnownFile]
) -> None:
    take(run(0, Case("x")), run(1, WRONG), run(2, WRONG), run(3, WRONG))
    aside = known(QUARANTINE)
    night = compare("night00", "night01", aside)
    assert said(night) == {"x": (Kind.QUARANTINED, False)}
    assert night.findings[0].issue == "bo: the lab's clock"
    assert said(compare("night02", "night03", aside)) == {"x": (Kind.EXPIRED, True)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ISSUE.format(what=""), "say signature, or field and value: else it would hide every failure there"),
        (ISSUE.format(what='field = "answer"'), "field and value go together"),
        (ISSUE.format(what=BY_SIGNATURE + "\nexpiry = 2026-01-01"), "expiry"),
        (ISSUE.format(what=BY_SIGNATURE).replace("expires = 2026-02-01", ""), "expires"),
        (
            ISSUE.format(what=BY_SIGNATURE).replace("[[issue]]", "[[issue]]\n" + REST + "\n[[issue]]"),
            "is there twice",
        ),
        ("schema = 2", "schema"),
        ("", "'schema' is missing"),
        (ISSUE.format(what=BY_SIGNATURE).replace('owner = "ana"', 'owner = " "'), "owner: is empty"),
        (ISSUE.format(what=BY_SIGNATURE).replace('id = "KS-12"', 'id = "\\t"'), "id: is empty"),
        (ISSUE.format(what=BY_SIGNATURE).replace('owner = "ana"', ""), "'owner' is missing"),
        (
            ISSUE.format(what=BY_SIGNATURE).replace("2026-02-01", "20260201"),
            "expires: is no date, as in 2026",
        ),
        (
            ISSUE.format(what=BY_SIGNATURE).replace("2026-02-01", "1769904000"),
            "expires: is no date, as in 2026",
        ),
        (ISSUE.format(what=BY_SIGNATURE).replace("2026-02-01", "2026-02-30"), "no valid TOML"),
        (ISSUE.format(what=BY_SIGNATURE).replace("2026-02-01", '"soon"'), "expires"),
        (
            ISSUE.format(what=BY_SIGNATURE).replace("2026-02-01", "2025-02-01"),
            "it expires on 2025-02-01, before it is opened on 2026-01-02",
        ),
        (ISSUE.format(what=BY_SIGNATURE + '\nid = "again"'), "no valid TOML: Cannot overwrite a value"),
        (
            ISSUE.format(what='field = "informatoin"\nvalue = 0'),
            "no status block has a field informatoin; did you mean 'information'?",
        ),
        (
            ISSUE.format(what='field = "step"\nvalue = "sent"'),
            "no status block has a field step; known: outcome",
        ),
        (ISSUE.format(what='field = "information"\nvalue = true'), "value"),
        (QUARANTINE.replace('reason = "the lab\'s clock"', ""), "'reason' is missing"),
        (QUARANTINE.replace('owner = "bo"', 'owner = ""'), "owner: is empty"),
    ],
)
def test_a_wrong_file_is_told_with_its_line(
    known: Callable[[str], KnownFile], tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(TomlFileError) as caught:
        known(text)
    assert told in str(caught.value) and f"{tmp_path / 'known-issues.toml'}:" in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_as_windows_saves_it(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "known-issues.toml"
    path.write_bytes(ISSUE.format(what=BY_SIGNATURE).replace("\n", "\r\n").encode(encoding))
    if encoding == "utf-16":
        with pytest.raises(TomlFileError, match="is UTF-16, where UTF-8 is needed"):
            load(path)
    else:
        assert [issue.id for issue in load(path).issue] == ["KS-12"]
