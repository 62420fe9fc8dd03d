# SPDX-License-Identifier: Apache-2.0
"""What a guest says may be anything: it is typed, bounded and harmless, or counts as not said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.contract import capabilities
from harness.guest_info import CrashRecord, DeviceFacts, GuestInfo
from harness.guest_text import MAX_TEXT, GuestJsonError, clean, lines, load, load_object, one_line
from harness.guests import verifier
from harness.guests.crash_record import crash_sentence, crashes_in
from harness.guests.windows_deploy import problem_text
from harness.results import missing_calls

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def shuffled(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Tables whose keys are those that are looked at, with values of any kind."""
    return st.dictionaries(st.sampled_from(names) | st.text(max_size=6), JSON, max_size=8)


INFO = shuffled(
    [
        "family",
        "kernel",
        "agent",
        "client",
        "ks",
        "drivers",
        "verifier",
        "hvci",
        "secure_boot",
        "test_signing",
    ]
)


@given(INFO)
def test_any_info_is_judged_without_an_exception(said: dict[str, Any]) -> None:
    info = GuestInfo.of(said)
    assert GuestInfo.of(info) is info
    lacking = capabilities.absent(said)
    assert all(one_line(reason) == reason for reason in lacking.values())
    assert (
        verifier.summary(said.get("verifier")) is None or len(verifier.summary(said["verifier"]) or "") < 1e6
    )
    assert isinstance(missing_calls.of_info(said), list)


@given(
    shuffled(
        ["code", "kind", "process", "fault", "module", "offset", "address", "access", "driver", "target"]
    )
)
def test_any_crash_record_is_one_harmless_sentence(said: dict[str, Any]) -> None:
    sentence = crash_sentence(said)
    assert 0 < len(sentence) <= 500
    assert one_line(sentence) == sentence


@given(shuffled([*DeviceFacts.model_fields]))
def test_any_device_facts_are_judged(said: dict[str, Any]) -> None:
    text = problem_text(said)
    assert text is None or one_line(text, 10_000) == text


@given(st.text() | JSON.map(json.dumps))
def test_any_line_of_the_crash_file_is_evidence(text: str) -> None:
    crashes = crashes_in(text)
    found = (*crashes.driver, *crashes.other)
    assert len(found) <= 201
    assert bool(found) == any(line.strip() for line in text.split("\n"))
    assert all(one_line(line) == line for line in found)


@pytest.mark.parametrize(
    "line",
    ["5", "true", "null", '"text"', "[" * 100_000, "{" * 5, '{"code": ' + "9" * 5000 + "}", '{"code": NaN}'],
    ids=["number", "truth", "null", "text", "deep", "torn", "huge", "nan"],
)
def test_a_crash_record_of_another_kind_is_kept_as_evidence(line: str) -> None:
    (found,) = crashes_in(line).driver
    assert found
    assert len(found) <= 500


def test_the_status_of_a_problem_that_is_no_number_is_not_said() -> None:
    text = problem_text({"problem": 39, "problem_status": "0xZZ"})
    assert text is not None
    assert "0xZZ" not in text
    assert "0xC0000263" in (problem_text({"problem": 39, "problem_status": "0xc0000263"}) or "")
    for odd in ("39", True, 39.0, None, {}, -1.5):
        assert problem_text({"problem": odd}) is None


def test_members_of_another_type_count_as_not_said() -> None:
    info = GuestInfo.of(
        {
            "family": 7,
            "kernel": "Windows",
            "agent": {"pointer_size": True},
            "client": {"loaded": 1},
            "ks": ["present"],
            "drivers": [3, {"service": "avshs", "state": []}, None],
            "hvci": "yes",
            "verifier": "off",
        }
    )
    assert (info.family, info.kernel.build, info.agent.pointer_size, info.client.loaded) == (None,) * 4
    assert [(driver.service, driver.state) for driver in info.drivers] == [("avshs", None)]
    assert (info.ks.present, info.hvci, info.verifier) == (None, None, None)
    assert "ksclient.sys is not loaded" in capabilities.absent({"client": {"loaded": 1}})["client"]


ESCAPES = ["\x1b[31m", "\x07", "\x9b1m", "\u202e", "\u2028", "\ud800", "\x00", "\x7f"]


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_escape_passes(escape: str) -> None:
    for made in (one_line(f"a{escape}b"), lines(f"a{escape}b"), clean({"k" + escape: [escape]})):
        assert escape[0] not in json.dumps(made, ensure_ascii=False)
    assert escape[0] not in crash_sentence({"code": "0x1", "module": f"x{escape}.sys", "offset": "0x1"})
    assert one_line("a\nb\tc  d") == "a b c d"
    assert lines("a\r\nb\tc\n") == "a\nb\tc"


def test_what_is_visible_stays() -> None:
    text = "Gerät für Ton – 한국어 日本語 \N{ROCKET}"
    assert one_line(text) == text
    assert lines(text) == text


def test_bounds() -> None:
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    assert len(json.dumps(clean(deep))) < 100
    assert len(clean("x" * 10**6)) == MAX_TEXT
    assert len(clean(list(range(10**5)))) == 4096
    assert clean(10**30) == hex(10**30)
    assert clean(float("inf")) is None
    with pytest.raises(GuestJsonError, match="nested too deeply"):
        load("[" * 10**6)
    with pytest.raises(GuestJsonError, match="a JSON list instead of an object"):
        load_object("[]")
    assert load('{"a": ' + "1" * 10_000 + "}")["a"].endswith("(10000 digits)")


def test_addresses_are_numbers_whatever_way_they_came() -> None:
    assert (
        CrashRecord.of({"code": "0xC0000005"}).code == CrashRecord.of({"code": 0xC0000005}).code == 0xC0000005
    )
    for odd in ("0x1" + "0" * 16, "-0x1", "12", "0x", "zz", 1.5, True):
        assert CrashRecord.of({"code": odd}).code is None
    assert DeviceFacts.of(None) == DeviceFacts()
