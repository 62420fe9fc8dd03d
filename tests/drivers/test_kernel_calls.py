# SPDX-License-Identifier: Apache-2.0
"""The tables of what kernel calls do on Wine, and which drivers they concern."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from drivers import imports, kernel_calls
from drivers.import_rewrite import Rewritten
from drivers.kernel_calls import Answer, Calls
from drivers.wdmsup_exports import KERNEL_MODULES, supplied
from tests.drivers.pe import driver_image

TABLES = sorted(kernel_calls.DATA.glob("calls-*.json"))


def answers(**texts: str) -> Mapping[str, Answer]:
    return {probe: Answer.of(probe, text) for probe, text in texts.items()}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """A table of one's own for every version."""
    made = Calls(
        "Wine 8.0",
        "somewhere",
        {
            **answers(KeSetEvent="right", KeCancelTimer="right", IoCsqInitialize="stub"),
            "KeCancelTimer: under a lock": Answer("KeCancelTimer: under a lock", "wedges", "every driver"),
            "KeCancelTimer: late": Answer("KeCancelTimer: late", "wrong", "answers TRUE"),
            "KeSetEvent: twice": Answer("KeSetEvent: twice", "minor", "does not mind"),
        },
        answers(KeSetTimer="wrong: is late", KeCancelTimer="right"),
    )
    monkeypatch.setattr(kernel_calls, "known", lambda version: made)
    imports.wine.cache_clear()
    yield made
    imports.wine.cache_clear()


def doubts(data: bytes) -> list[str]:
    return [str(one) for one in kernel_calls.doubts(Rewritten("relay.sys", data, ()), "8.0")]


# ---- sentences -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probe", "text", "sentence"),
    [
        ("KeSetEvent", "right", "KeSetEvent does what its page says"),
        ("KeCancelTimer: late", "wrong: answers TRUE", "KeCancelTimer, late, answers TRUE"),
        ("KeX", "wedges: its thread", "KeX never returns"),
        ("KeX", "wedges: every driver", "KeX never returns, and every driver of the guest stands still"),
        ("KeX", "throws: exception 0xc0000005", "KeX ends the process of all drivers (exception 0xc0000005)"),
        ("KeX", "stub", "KeX is only a stub, which ends the process of all drivers"),
        ("KeX", "missing", "KeX is not there, and a call of it ends the process of all drivers"),
    ],
)
def test_an_answer_in_words(probe: str, text: str, sentence: str) -> None:
    answer = Answer.of(probe, text)
    assert (answer.sentence, answer.text) == (sentence, text)


def test_the_worst_answer_stands_for_a_function(table: Calls) -> None:
    assert [one.kind for one in table.bad("KeCancelTimer")] == ["wedges", "wrong"]
    worst = "KeCancelTimer, under a lock, never returns, and every driver of the guest stands still"
    assert table.reasons() == {"KeCancelTimer": worst}


# ---- tables -------------------------------------------------------------------------------------------


def test_there_is_a_table_of_each_wine_whose_exports_are_known() -> None:
    assert {path.stem.removeprefix("calls-") for path in TABLES} == set(imports.wine_versions())


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_table_agrees_with_the_exports_of_its_wine(path: Path) -> None:
    calls = kernel_calls.load(path)
    snapshot = json.loads((kernel_calls.DATA / path.name.replace("calls", "wine")).read_text("utf-8"))
    functions, stubs = set(), set()
    for module in KERNEL_MODULES:
        functions |= set(snapshot["modules"][module]["functions"])
        stubs |= set(snapshot["modules"][module]["stubs"])
    for answer in calls.wine.values():
        if answer.kind == "missing":
            assert answer.call not in functions | stubs, answer
        elif answer.kind == "stub":
            assert answer.call in stubs, f"{answer}: it is there, but what it calls is a stub"
        elif not answer.probe.partition(": ")[2].startswith("inline"):
            assert answer.call in functions, answer


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_what_the_library_supplies_is_right(path: Path) -> None:
    calls = kernel_calls.load(path)
    assert calls.wine.keys() == calls.deployed.keys()
    ours = supplied().kernel
    supplied_ones = [one for one in calls.deployed.values() if one.call in ours]
    assert [one.text for one in supplied_ones if one.kind not in ("right", "minor")] == []


def test_a_wine_that_is_not_known_is_taken_for_the_next_older_one() -> None:
    assert kernel_calls.known("9.7").version == "Wine 8.0"
    assert kernel_calls.known("wine-11.0 (Debian 11.0-1)").version == "Wine 10.0"
    assert kernel_calls.known("5.0").version == "Wine 8.0"


def test_an_answer_of_no_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "calls-1.0.json"
    path.write_text('{"version": "Wine 1.0", "asked": "", "wine": {"KeX": "maybe"}, "deployed": {}}')
    with pytest.raises(ValueError, match="'maybe' is no kind of answer"):
        kernel_calls.load(path)


# ---- drivers ---------------------------------------------------------------------------------------------


def test_an_import_that_wine_gets_wrong_is_in_doubt(table: Calls) -> None:
    said = doubts(driver_image({"ntoskrnl.exe": ["KeSetEvent", "KeCancelTimer"]}))
    assert said == [
        "relay.sys imports KeCancelTimer: on Wine 8.0 KeCancelTimer, under a lock, never returns, and every"
        " driver of the guest stands still; KeCancelTimer, late, answers TRUE"
    ]


def test_what_the_library_supplies_is_judged_by_what_it_does(table: Calls) -> None:
    said = doubts(driver_image({"wdmsup.sys": ["KeCancelTimer", "KeSetTimer"]}))
    assert said == ["relay.sys imports KeSetTimer: on Wine 8.0 KeSetTimer is late"]


def test_stubs_and_what_is_not_there_are_in_doubt_whether_asked_for_or_not(table: Calls) -> None:
    data = driver_image({"ntoskrnl.exe": ["IoCsqInitialize", "IoAssignResources", "KeSetNothing"]})
    found = kernel_calls.doubts(Rewritten("relay.sys", data, ()), "8.0")
    assert [(one.call, one.kind) for one in found] == [
        ("IoCsqInitialize", "stub"),
        ("IoAssignResources", "stub"),
        ("KeSetNothing", "missing"),
    ]


def test_a_name_that_is_looked_up_counts_and_a_longer_one_does_not(table: Calls) -> None:
    text = "KeCancelTimer\0".encode("utf-16-le")
    looks_up = {"ntoskrnl.exe": ["MmGetSystemRoutineAddress"]}
    (said,) = doubts(driver_image(looks_up, data=text))
    assert said.startswith("relay.sys looks up KeCancelTimer: on Wine 8.0 KeCancelTimer")
    assert doubts(driver_image(looks_up, data="My".encode("utf-16-le") + text)) == []
    assert doubts(driver_image({"ntoskrnl.exe": ["KeSetEvent"]}, data=text)) == []


def test_modules_that_are_not_the_kernels_are_not_judged(table: Calls) -> None:
    assert doubts(driver_image({"ks.sys": ["KeCancelTimer"]})) == []
