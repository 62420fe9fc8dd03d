# SPDX-License-Identifier: Apache-2.0
"""Traces as scenarios that ask for leaks: what is done over and over, on what, and what is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from drivers import abi
from harness.capsule.traced.folding import folded
from harness.capsule.traced.importing import leaks_scenario_of
from harness.capsule.traced.leaking import Leaks, leaks_of
from harness.errors import UsageError
from harness.guests.package import LoadedTarget
from harness.language import target as targets
from harness.language.model.check import check
from harness.planning.plan import plan
from harness.verdict import Verdict
from tests.harness.capsule.traced.traces import DECLINED, SIZE_ERROR, UNKNOWN, Recorder, avshs

OWN = str(abi.load().guids["KSPROPSETID_Kshs"])


def leaks(recorder: Recorder) -> Leaks:
    return leaks_of(recorder.trace(), avshs())


def series(found: Leaks) -> list[list[dict[str, Any]]]:
    """The steps up to each count, the count with them."""
    parts: list[list[dict[str, Any]]] = [[]]
    for step in found.steps:
        parts[-1].append(dict(step))
        if step["do"] == "counters":
            parts.append([])
    return parts


def kinds(steps: list[dict[str, Any]]) -> Counter[str]:
    return Counter(step["do"] for step in steps)


def lives(recorder: Recorder, count: int, ask: Callable[[str, int], object]) -> None:
    """A pin that is opened, asked and closed so often."""
    for number in range(1, count + 1):
        key = f"o{number}"
        recorder.pin(key)
        ask(key, number)
        recorder.add("cleanup", object=key)
        recorder.add("close", object=key)


def test_each_kind_of_handshake_is_sent_thousands_of_times_between_three_counts() -> None:
    recorder = Recorder()
    recorder.pin()
    for number in range(3):
        recorder.handshake(one=number)
        recorder.handshake(protocol=UNKNOWN, status=DECLINED)
    found = leaks(recorder)
    assert found.open == ("source", "filter")
    first, second, third, *_ = series(found)
    asked = {"do": "handshake", "on": "source", "route": "irp"}
    both = [{**asked, "protocol": "a", "repeat": 2000}, {**asked, "protocol": "unknown", "repeat": 2000}]
    assert [step["repeat"] for step in first[:2]] == [200, 200]
    assert first[2:] == [{"do": "counters", "on": "source"}]
    assert second == third == [*both, {"do": "counters", "on": "source", "events": 2000}]
    assert found.remarks[0] == (
        "2 kinds of handshakes, each sent 2,000 times between each two of three counts"
    )


def test_then_everything_is_done_twelve_times_with_opens_and_closes() -> None:
    recorder = Recorder()
    recorder.pin()
    for number in range(30):
        recorder.handshake(one=7 + number // 30)
    _, _, _, first, second, third, rest = series(leaks(recorder))
    assert first[0] == {"do": "close", "on": "source"}, "the first series lets go of its pin"
    assert kinds(first[1:]) == {"open_pin": 2, "handshake": 2, "close": 2, "counters": 1}
    assert kinds(second) == kinds(third) == {"open_pin": 12, "handshake": 12, "close": 12, "counters": 1}
    assert second[-1] == third[-1] == {"do": "counters", "on": "filter", "events": 12}
    assert not rest and all("repeat" not in step for step in second)
    names = [step["name"] for part in (first, second, third) for step in part if "name" in step]
    assert len(names) == len(set(names)) == 26


def test_what_was_done_over_and_over_is_one_round() -> None:
    """As an application opens a pin, asks it something and closes it, twenty times."""
    recorder = Recorder()
    lives(recorder, 20, lambda key, number: recorder.handshake(key, one=number))
    _, _, _, _, second, *_ = series(leaks(recorder))
    assert kinds(second) == {"open_pin": 12, "handshake": 12, "close": 12, "counters": 1}


def test_what_was_open_at_the_same_time_stays_several() -> None:
    recorder = Recorder()
    for key in ("o1", "o2"):
        recorder.pin(key)
    for key in ("o1", "o2"):
        recorder.handshake(key)
    found = leaks(recorder)
    assert found.open == ("source", "source_2 = source", "filter")
    assert kinds(series(found)[4])["open_pin"] == 24


def test_opens_that_are_refused_are_asked_over_and_over() -> None:
    """Nothing else was recorded: no handshake, and no answer that is wrong."""
    recorder = Recorder()
    for number in range(5):
        recorder.pin(f"o{number + 1}", status="0xc0000225", returned="0xc0000225")
    found = leaks(recorder)
    assert "it has no handshake that can be sent thousands of times" in found.remarks
    assert found.open == ("filter",)
    first, second, third, _ = series(found)
    assert [len(part) for part in (first, second, third)] == [3, 13, 13]
    assert {step.get("expect", "-") for step in second[:-1]} == {"record"}


def test_what_user_mode_had_open_is_shared_with_it_to_be_counted() -> None:
    recorder = Recorder()
    user = {"requestor": "user", "previous": "user", "irp_flags": "0x5"}
    recorder.pin(**user)
    recorder.handshake(status=DECLINED, **user)
    recorder.handshake(status=DECLINED, pending=True, marked_pending=True, **user)
    found = leaks(recorder)
    first, *_, last, _ = series(found)
    assert first[0] == {"do": "share", "on": "source", "name": "source_user"}
    assert first[1] == {
        "do": "handshake",
        "on": "source_user",
        "route": "sync",
        "protocol": "a",
        "repeat": 200,
    }
    assert first[-1] == {"do": "counters", "on": "source"}
    assert kinds(last)["close"] == 24, "the handle of user mode, too"
    assert any("is opened by the client and shared with it" in remark for remark in found.remarks)


def test_what_is_wrong_is_recorded_and_what_was_lost_is_left_out() -> None:
    recorder = Recorder()
    recorder.pin()
    recorder.handshake(in_length=31, status="0xc00000bb")
    recorder.handshake(out_length=31, status=SIZE_ERROR)
    lost = recorder.handshake(one=3)
    recorder.events[lost - 1] |= {"came_back": False}
    for key in ("status", "information", "took_ns"):
        del recorder.events[lost - 1][key]
    found = leaks(recorder)
    asked = [step for step in series(found)[1] if step["do"] == "handshake"]
    assert [step.get("expect") for step in asked] == ["record", None]
    assert "answers that the contract forbids are put on record only: import it without --leaks" in (
        found.remarks
    )
    assert "requests that never came back are left out, with what waits for them" in found.remarks


def test_states_go_with_it_and_back() -> None:
    """What comes before the first handshake is done once; what changes in between, each time."""
    recorder = Recorder()
    recorder.pin()
    recorder.add("state", object="o1", to="run")
    recorder.handshake()
    recorder.add("state", object="o1", to="stop")
    first, second, *_ = series(leaks(recorder))
    assert first[0] == {"do": "state", "on": "source", "to": "run"}
    assert kinds(second) == {"handshake": 1, "counters": 1}
    recorder.add("state", object="o1", to="pause")
    recorder.handshake()
    first, second, *_ = series(leaks(recorder))
    told = [step.get("to", step["do"]) for step in second]
    assert told == ["run", "handshake", "stop", "pause", "handshake", "stop", "counters"]


def test_of_many_kinds_sixteen_are_sent_thousands_of_times() -> None:
    recorder = Recorder()
    recorder.pin()
    for number in range(20):
        recorder.add("state", object="o1", to="stop" if number % 2 else "acquire")
        recorder.handshake(in_length=100 + number * number, status=SIZE_ERROR)
    found = leaks(recorder)
    steps = series(found)[1]
    assert kinds(steps)["handshake"] == 16
    assert [step["to"] for step in steps if step["do"] == "state"][-1] == "stop"
    assert "4 more kinds of handshakes, not sent so often" in found.remarks
    assert len(found.steps) <= 200


def test_a_callback_that_takes_its_time_does_not_take_it_thousands_of_times() -> None:
    recorder = Recorder()
    recorder.pin()
    recorder.handshake()
    value = (0).to_bytes(4, "little") + (5).to_bytes(4, "little") + bytes(4) + (50).to_bytes(4, "little")
    recorder.add(
        "property", object="o1", set=OWN, id=1, type="0x2", instance="", value=(value + bytes(16)).hex()
    )
    recorder.handshake(protocol=UNKNOWN, status=DECLINED)
    found = leaks(recorder)
    assert [step.get("protocol") for step in series(found)[1]] == ["a", None]
    assert any(step["do"] == "behaviour" for step in series(found)[4])
    assert any("overlap or take their time" in remark for remark in found.remarks)


def test_a_filter_that_user_mode_asks_itself_is_open_while_it_is_asked() -> None:
    recorder = Recorder()
    user = {"requestor": "user", "previous": "user"}
    recorder.add("open", object="o1", name="", **user)
    recorder.handshake("o1", **user)
    recorder.pin("o2", below="o1", **user)
    recorder.handshake("o2", **user)
    found = leaks(recorder)
    first, *_ = series(found)
    assert [(step["do"], step.get("name")) for step in first[:4]] == [
        ("open_filter", "filter_1"),
        ("share", "filter_1_user"),
        ("open_pin", "source"),
        ("share", "source_user"),
    ]
    assert not [remark for remark in found.remarks if "left out" in remark]


@pytest.mark.parametrize("asked", [1, 90])
def test_of_many_pins_that_are_open_those_that_are_asked_are_open(asked: int) -> None:
    recorder = Recorder()
    for number in range(1, 91):
        recorder.pin(f"o{number}")
    for number in range(1, asked + 1):
        recorder.handshake(f"o{number}")
    found = leaks(recorder)
    assert len(found.open) == min(16, asked)
    assert f"{90 - min(16, asked)} objects, not open while handshakes are counted" in found.remarks
    assert len(found.steps) <= 190


def test_what_has_too_many_steps_between_counts_is_said() -> None:
    recorder = Recorder()
    for number in range(1, 16):
        recorder.pin(f"o{number}")
        for to in ("acquire", "pause", "run", "pause", "acquire"):
            recorder.add("state", object=f"o{number}", to=to)
            recorder.handshake(f"o{number}")
    with pytest.raises(UsageError, match="steps are too many to be done between three counts"):
        leaks(recorder)


def test_what_is_too_long_to_be_repeated_is_said() -> None:
    recorder = Recorder()
    recorder.pin()
    for number in range(12):
        recorder.handshake(in_length=100 + number * number, status=SIZE_ERROR)
    found = leaks(recorder)
    assert kinds(series(found)[1])["handshake"] == 12
    assert any("what opens and closes leave behind is not asked" in remark for remark in found.remarks)
    assert all(step["do"] != "open_pin" for step in found.steps)


def test_a_filter_is_opened_each_time_where_there_is_room_and_else_once() -> None:
    for asked, often in ((1, 12), (6, 0)):
        recorder = Recorder()
        recorder.add("open", object="o1", name="")
        recorder.pin("o2", below="o1")
        for number in range(asked):
            recorder.handshake("o2", in_length=100 + number * number, status=SIZE_ERROR)
        found = leaks(recorder)
        assert kinds(series(found)[4])["open_filter"] == often
        assert kinds(series(found)[4])["open_pin"] >= 8


@pytest.mark.parametrize("count", [1, 3, 9])
def test_whatever_it_makes_can_be_played(count: int) -> None:
    recorder = Recorder()

    def ask(key: str, number: int) -> None:
        recorder.handshake(key, one=number, in_length=20 + number, status=SIZE_ERROR)

    lives(recorder, count, ask)
    loaded = LoadedTarget(*targets.find("avshs"))
    made = leaks_scenario_of(recorder.trace(), loaded, "Some Field.capsule")
    assert not check(made.scenario) and len(made.scenario.steps) <= 200
    assert plan(made.scenario, loaded.target).steps
    assert made.scenario.id == "field.some-field-capsule.leaks" and "leaks" in made.scenario.tags
    assert made.result.verdict is Verdict.PASSED and len(made.result.steps) == len(made.scenario.steps)
    assert made.reason.startswith("a trace shows no leak")


def test_a_trace_without_anything_to_repeat() -> None:
    recorder = Recorder()
    recorder.add("device", change="start")
    with pytest.raises(UsageError, match="nothing in the trace can be played"):
        leaks(recorder)


# ---- folding ---------------------------------------------------------------------------------------


def life(name: str, *asked: dict[str, Any], closes: bool = True) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [{"do": "open_pin", "name": name, "pin": "source"}]
    steps += [{"do": "handshake", "on": name, **one} for one in asked]
    return [*steps, *([{"do": "close", "on": name}] if closes else [])]


def test_blocks_that_repeat_are_folded() -> None:
    one, two = {"argument1": 1}, {"argument1": 2, "repeat": 9}
    assert folded([*life("a", one), *life("b", two), *life("c", one)]) == life("a", one)
    assert len(folded([*life("a", one), *life("b", {"protocol": "unknown"})])) == 6
    pair = [*life("a", one), *life("b", {"protocol": "unknown"})]
    again = [*life("c", one), *life("d", {"protocol": "unknown"})]
    assert folded([*pair, *again]) == pair


def test_a_block_whose_object_is_used_later_stays() -> None:
    steps = [*life("a", closes=False), *life("b", closes=False)]
    used = [{"do": "handshake", "on": name} for name in ("a", "b")]
    assert folded([*steps, *used]) == [*steps, *used]


def test_the_same_steps_about_other_objects_are_no_repetition() -> None:
    """The second block asks what the first one opened."""
    opened = life("a", closes=False)
    asked = [{"do": "handshake", "on": "a"}, {"do": "state", "on": "a", "to": "run"}]
    other = [{"do": "handshake", "on": "b"}, {"do": "state", "on": "b", "to": "run"}]
    steps = [*opened, *life("b", closes=False), *asked, *other, *asked]
    assert folded(steps) == steps
    assert folded([*opened, *asked, *asked]) == [*opened, *asked]
