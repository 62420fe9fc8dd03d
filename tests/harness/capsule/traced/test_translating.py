# SPDX-License-Identifier: Apache-2.0
"""Traces as scenarios: order, concurrency, sides, pointers, and what is said of the rest."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from drivers import abi
from harness.capsule.traced.compacting import rows
from harness.capsule.traced.events import Event
from harness.capsule.traced.timeline import moments
from harness.capsule.traced.translating import Translated, translate
from harness.errors import UsageError
from harness.language.model import Route
from tests.harness.capsule.traced.traces import DECLINED, SIZE_ERROR, UNKNOWN, Recorder, avshs

OWN = str(abi.load().guids["KSPROPSETID_Kshs"])


def steps(recorder: Recorder, route: Route = Route.IRP) -> list[dict[str, Any]]:
    return list(translate(recorder.trace(), avshs(), route).steps)


def compact(recorder: Recorder) -> list[dict[str, Any]]:
    made, _ = rows(translate(recorder.trace(), avshs()), avshs())
    return [row.step for row in made]


def translated(recorder: Recorder) -> Translated:
    return translate(recorder.trace(), avshs())


def test_pins_and_protocols_get_the_names_of_the_target_file() -> None:
    recorder = Recorder()
    recorder.pin("o1", 0)
    recorder.pin("o2", 0)
    recorder.handshake("o2", one=5)
    recorder.handshake("o1", UNKNOWN, status=DECLINED)
    assert steps(recorder) == [
        {"do": "open_pin", "name": "source", "pin": "source"},
        {"do": "open_pin", "name": "source_2", "pin": "source"},
        {"do": "handshake", "on": "source_2", "route": "irp", "protocol": "a", "argument1": 5},
        {"do": "handshake", "on": "source", "route": "irp", "protocol": "unknown"},
    ]


def test_lengths_are_told_in_terms_of_the_structure_and_buffers_by_their_kind() -> None:
    recorder = Recorder()
    recorder.pin()
    recorder.handshake(in_length=31, out_length=64, status=SIZE_ERROR)
    recorder.handshake(in_buffer="null", out_buffer="alias", status=SIZE_ERROR)
    first, second = steps(recorder)[1:]
    assert (first["in_length"], first["out_length"]) == ("size-1", 64)
    assert (second["in_buffer"], second["out_buffer"]) == ("null", "alias")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"requestor": "kernel"}, {"route": "irp"}),
        ({"requestor": "user", "previous": "kernel"}, {"route": "irp", "mode": "user"}),
        ({"requestor": "user", "previous": "user"}, {"route": "sync"}),
        ({"requestor": "user", "previous": "user", "pending": True}, {"route": "event"}),
    ],
)
def test_who_sent_it_decides_the_route(keys: dict[str, Any], expected: dict[str, Any]) -> None:
    recorder = Recorder()
    recorder.pin()
    recorder.handshake(status=DECLINED, **keys)
    last = steps(recorder)[-1]
    assert {key: last[key] for key in ("route", "mode") if key in last} == expected


def test_on_wine_an_irp_of_user_mode_has_flags() -> None:
    recorder = Recorder(wine=True)
    recorder.add("open", object="o1", requestor="user", tid=100, name="")
    recorder.pin("o1", made=True, tid=8)
    recorder.handshake(requestor="user", status=DECLINED)
    recorder.handshake(requestor="user", irp_flags="0x30", status=DECLINED)
    made = steps(recorder)
    assert [step["do"] for step in made] == ["open_pin", "handshake", "share", "handshake"]
    assert (made[1]["route"], made[1]["mode"]) == ("irp", "user")
    assert (made[3]["route"], made[3]["on"]) == ("sync", "source_user")


def test_a_request_during_which_another_came_is_started_and_waited_for() -> None:
    recorder = Recorder()
    recorder.pin()
    recorder.handshake(one=1, took_ns=5_000, tid=20, pending=True, returned="0x103")
    recorder.handshake(one=2, tid=21)
    recorder.add("state", object="o1", to="run", tid=21)
    recorder.add("close", object="o1", tid=21, at_ns=90_000)
    assert [(step["do"], step.get("start") or step.get("request")) for step in steps(recorder)[1:]] == [
        ("handshake", "r2"),
        ("handshake", None),
        ("state", None),
        ("wait", "r2"),
    ]


def test_what_would_have_been_answered_is_not_known_of_what_never_came_back() -> None:
    """With a sound driver it comes back, with whatever that answers: nothing but that is asked for."""
    recorder = Recorder()
    recorder.pin()
    first = recorder.add("state", object="o1", to="run", tid=20, took_ns=1)
    recorder.add("state", object="o1", to="acquire", tid=21)
    lost = recorder.events[first - 1]
    lost["came_back"] = False
    for key in ("status", "information", "took_ns"):
        del lost[key]
    made = [step for step in steps(recorder) if step["do"] == "state"]
    assert [(step["to"], step.get("expect")) for step in made] == [("run", "record"), ("acquire", None)]


def test_what_a_driver_sends_while_it_is_asked_is_left_to_it() -> None:
    recorder = Recorder()
    recorder.pin("o1", 0)
    recorder.pin("o2", 1)
    recorder.handshake("o1", took_ns=50_000, tid=20)
    recorder.handshake("o2", tid=20)
    found = translated(recorder)
    assert [step["do"] for step in found.steps] == ["open_pin", "open_pin", "handshake"]
    assert any("1 requests that the driver sent itself" in text for text in found.remarks)


def test_a_cancelled_request_is_cancelled_before_it_is_waited_for() -> None:
    recorder = Recorder()
    recorder.pin()
    recorder.handshake(cancelled=True, pending=True, returned="0x103", status="0xc0000120")
    assert [step["do"] for step in steps(recorder)[1:]] == ["handshake", "cancel", "wait"]


def test_one_that_never_came_back_is_waited_for_at_the_end() -> None:
    recorder = Recorder()
    recorder.pin()
    number = recorder.handshake(one=1, tid=20)
    for key in ("status", "information", "took_ns", "returned", "output"):
        del recorder.events[number - 1][key]
    recorder.events[number - 1]["came_back"] = False
    recorder.handshake(one=2, tid=21)
    assert [step["do"] for step in steps(recorder)[1:]] == ["handshake", "handshake", "wait"]


def test_an_address_becomes_what_the_target_file_says_and_that_is_said() -> None:
    recorder = Recorder()
    recorder.pin()
    recorder.handshake(
        input={"protocol": UNKNOWN, "argument1": "pointer:1", "argument2": "0x5"}, status=DECLINED
    )
    found = translated(recorder)
    assert found.steps[-1] == {
        "do": "handshake",
        "on": "source",
        "route": "irp",
        "protocol": "unknown",
        "argument2": 5,
    }
    assert any("argument 1 of some requests was an address" in text for text in found.remarks)


def test_pauses_are_kept_while_something_is_under_way_and_only_then() -> None:
    recorder = Recorder()
    recorder.pin()
    recorder.handshake(one=1, at_ns=10_000_000_000)
    recorder.handshake(one=2, at_ns=20_000_000_000, took_ns=900_000_000, pending=True, tid=20)
    recorder.handshake(one=3, at_ns=20_400_000_000, tid=21)
    kinds = [(step["do"], step.get("ms")) for step in steps(recorder)[1:]]
    assert kinds == [
        ("handshake", None),
        ("handshake", None),
        ("sleep", 400),
        ("handshake", None),
        ("sleep", 500),
        ("wait", None),
    ]


def test_a_connected_pin_names_its_sink_and_a_closed_one_that_is_asked_is_kept() -> None:
    recorder = Recorder()
    recorder.pin("o1", 1)
    recorder.pin("o2", 0, sink="o1")
    recorder.events[-1]["connects"] = True
    recorder.add("cleanup", object="o2")
    recorder.handshake("o2", status=DECLINED)
    made = steps(recorder)
    assert made[1]["connect_to"] == "sink"
    assert made[2] == {"do": "close", "on": "source", "keep": True}


#: KSPROPSETID_Topology.
SETS = "720D4AC0-7533-11D0-A5D6-28DB04C10000"


def test_the_samples_own_property_set_becomes_its_own_steps() -> None:
    recorder = Recorder(wine=True)
    recorder.add("open", object="o1", requestor="user", tid=100, name="")
    recorder.pin("o2", 0)
    value = struct.pack("<IIIIQQ", 0, 3, 0xC00000BB, 0, 0, 0)
    recorder.add("property", object="o1", set=OWN, id=1, type="0x2", value=value.hex(), in_length=24)
    recorder.handshake("o2", status="0xc00000bb")
    recorder.add("property", object="o1", set=OWN, id=3, type="0x2", value="00000000", in_length=24)
    recorder.handshake("o2", one=9)
    made = steps(recorder)
    assert [step["do"] for step in made] == ["open_pin", "behaviour", "handshake", "reset", "handshake"]
    assert made[1] == {"do": "behaviour", "pin": "source", "kind": "decline", "status": "0xC00000BB"}


def test_a_property_keeps_the_verb_that_it_was_asked_with() -> None:
    recorder = Recorder()
    recorder.pin()
    for kind in ("0x1", "0x10000001", "0x200"):
        recorder.add("property", object="o1", set=SETS, id=3, type=kind, in_length=24, out_length=40)
    recorder.add("property", object="o1", set=SETS, id=3, type="0x10000002", value="05", in_length=24)
    recorder.handshake()
    asked = steps(recorder)[1:-1]
    assert [step["do"] for step in asked] == ["property_get"] * 3 + ["property_set"]
    assert [step.get("flags") for step in asked] == [None, 0x10000001, 0x200, 0x10000002]


def test_another_format_than_the_files_is_said_in_the_step() -> None:
    from tests.harness.capsule.traced.traces import SUB, connect

    recorder = Recorder()
    recorder.pin()
    recorder.events[0]["connect"] = connect(0, major=SUB)
    recorder.handshake()
    assert steps(recorder)[0]["format"] == {"major": str(SUB)}


def test_rows_of_requests_become_repeats() -> None:
    recorder = Recorder()
    recorder.pin()
    for _ in range(20):
        recorder.handshake(one=1)
    for length in range(32):
        recorder.handshake(in_length=length, input=None, status=SIZE_ERROR)
    for event in recorder.events:
        if event.get("input") is None:
            event.pop("input", None)
    made = compact(recorder)
    assert [(step["do"], step.get("repeat")) for step in made] == [
        ("open_pin", None),
        ("handshake", 20),
        ("handshake", 32),
    ]
    assert (made[2]["in_length"], made[2]["in_stride"]) == (0, 1)


def test_what_is_too_long_loses_what_was_asked_and_answered_before() -> None:
    recorder = Recorder()
    recorder.pin()
    for number in range(400):
        recorder.handshake(one=number % 7 * 3)
    made, remarks = rows(translated(recorder), avshs())
    assert len(made) == 8
    assert remarks == ["393 requests that were asked and answered before are left out"]


@pytest.mark.parametrize("lost", [False, True])
def test_of_many_requests_at_once_the_first_are_sent_and_waited_for(lost: bool) -> None:
    recorder = Recorder()
    recorder.pin()
    never: dict[str, Any] = {"came_back": False, "took_ns": None, "status": None, "information": None}
    ends: dict[str, Any] = never if lost else {"took_ns": 1_000_000}
    for number in range(300):
        recorder.handshake(one=number, pending=True, returned="0x103", tid=100 + number, **ends)
    made, remarks = rows(translated(recorder), avshs())
    kinds = [row.step["do"] for row in made]
    assert kinds == ["open_pin", *["handshake"] * 94, *["wait"] * 94]
    assert remarks[-1].endswith(f"the last {601 - 1 - len(made)} are left out")


@pytest.mark.parametrize("events", [0, 1])
def test_a_trace_without_requests_cannot_be_played(events: int) -> None:
    recorder = Recorder()
    for _ in range(events):
        recorder.add("open", object="o1", name="")
    with pytest.raises(UsageError, match="nothing in the trace can be played"):
        steps(recorder)


def test_what_was_open_before_is_said_to_be_left_out() -> None:
    recorder = Recorder()
    recorder.pin("o2")
    recorder.handshake("o2")
    recorder.handshake("o7")
    found = translated(recorder)
    assert [step["do"] for step in found.steps] == ["open_pin", "handshake"]
    assert any("1 events of 1 objects that were open before" in text for text in found.remarks)


def test_several_devices_and_another_number_of_events_than_it_says_are_said() -> None:
    recorder = Recorder()
    recorder.head = {"events": 400}
    recorder.pin()
    recorder.pin("o2", 1, device=2)
    recorder.handshake()
    remarks = translate(recorder.trace(), avshs()).remarks
    assert "the trace says that it has 400 events, and has 3" in remarks
    assert any("of 2 devices" in remark for remark in remarks)


def test_what_is_under_way_by_the_thousand_takes_no_longer_each() -> None:
    recorder = Recorder()
    recorder.pin()
    lost: dict[str, Any] = {"came_back": False, "took_ns": None, "status": None, "information": None}
    for number in range(500):
        recorder.handshake(pending=True, returned="0x103", tid=100 + number, **lost)
    compared: list[int] = []

    class Counted(Event):
        @property
        def end_ns(self) -> int | None:
            compared.append(self.n)
            return super().end_ns

    events = [Counted.model_construct(**dict(event)) for event in recorder.trace().events]
    assert len(moments(events, events)) == 2 * (len(events) - 1), "all but the pin and the last have two"
    assert len(compared) < 5 * len(events)
