# SPDX-License-Identifier: Apache-2.0
"""Plans of what is in flight beside handshakes, of closed handles and of handles to the client's own pins."""

from __future__ import annotations

from typing import Any

import pytest

from harness.agent.encode import CONNECTION_PROPERTY_SET
from harness.contract.handshake_data import HandshakeData
from harness.contract.prediction import PredictionKind
from harness.errors import UsageError
from harness.language.model import Rule
from harness.planning.planned import Answer, PlannedStep
from tests.harness.planning.test_plan import ABI, HANDSHAKE, C, data, of_kind, planned, prediction_of, sent

PAIR = ("source -> sink",)
OWN = {"do": "pin_handshake", "on": "source", "argument1": 5, "start": "own"}
WAIT = {"do": "wait", "request": "own"}
CLOSED = {"do": "close", "on": "source", "keep": True}
SHARED = {"do": "share", "on": "source", "name": "theirs"}
THEIRS = {"do": "handshake", "on": "theirs", "route": "sync"}


def wanted(item: PlannedStep) -> dict[str, tuple[Any, ...]]:
    return {wanted.field: wanted.values for wanted in item.expected_fields}


def properties(made: Any, number: str) -> list[PlannedStep]:
    return [item for item in of_kind(made, "PROPERTY") if sent(item).value == C[f"KSHS_PROP_{number}"]]


# ---- KsPinHandshake in flight


def test_a_started_pin_handshake_is_a_property_in_flight_and_judged_where_it_is_waited_for() -> None:
    made = planned(OWN, WAIT, opened=PAIR)
    start, wait = properties(made, "PIN_HANDSHAKE")[0], of_kind(made, "WAIT")[0]
    assert (start.answer, start.expected_fields) == (Answer.STARTED, ())
    assert (sent(start).flags, sent(start).token) == (C["KSHS_STEP_ASYNC"], sent(wait).token)
    assert wait.answer is Answer.PIN_HANDSHAKE
    assert wanted(wait).items() >= {"returned": (0,), "argument1": (6,), "completions": (1,)}.items()
    assert next(wanted.rule for wanted in wait.expected_fields if wanted.field == "completions") is Rule.IO


def test_threads_of_pin_handshakes_have_arguments_and_answers_of_their_own() -> None:
    made = planned({"do": "pin_handshake", "on": "source", "argument1": 7, "threads": 3}, opened=PAIR)
    starts, waits = properties(made, "PIN_HANDSHAKE"), of_kind(made, "WAIT")
    assert [sent(item).token for item in starts] == [sent(item).token for item in waits] == [0, 1, 2]
    assert [HandshakeData.unpack(data(item), 8).argument1 for item in starts] == [7, 8, 9]  # type: ignore[union-attr]
    assert [wanted(item)["argument1"] for item in waits] == [(8,), (9,), (10,)]


def test_handshakes_and_pin_handshakes_in_flight_have_different_tokens() -> None:
    stranger = HANDSHAKE | {"route": "irp", "threads": 2, "start": "stranger"}
    made = planned(OWN, stranger, {"do": "wait", "request": "stranger"}, WAIT, opened=PAIR)
    assert [sent(item).token for item in of_kind(made, "WAIT")] == [1, 2, 0]


@pytest.mark.parametrize(
    ("between", "disturbs"),
    [
        ({"do": "close", "on": "source"}, True),
        ({"do": "close", "on": "sink"}, True),
        ({"do": "close", "on": "sink", "keep": True}, True),
        ({"do": "cancel", "request": "own"}, True),
        ({"do": "device", "action": "remove"}, True),
        ({"do": "behaviour", "pin": "sink", "kind": "echo"}, True),
        ({"do": "reset", "pin": "sink"}, True),
        ({"do": "behaviour", "pin": "source", "kind": "decline"}, False),
        ({"do": "state", "on": "sink", "to": "run"}, False),
        ({"do": "handshake", "on": "sink", "route": "irp"}, False),
        ({"do": "unblock", "pin": "sink"}, False),
        ({"do": "sleep", "ms": 1}, False),
    ],
)
def test_what_takes_the_prediction_from_a_pin_handshake_in_flight(
    between: dict[str, Any], disturbs: bool
) -> None:
    made = planned(OWN, between, WAIT, opened=PAIR)
    wait = of_kind(made, "WAIT")[-1]
    assert wait.prediction is not None
    assert (wait.prediction.kind is PredictionKind.CHARACTERISTIC) == disturbs
    assert ("returned" in wanted(wait)) == ("answer" in wanted(wait)) == (not disturbs)
    assert wanted(wait)["completions"] == (1,)


def test_a_broken_connection_predicts_nothing_until_it_is_made_again() -> None:
    pin_handshake = {"do": "pin_handshake", "on": "source"}
    broken = planned({"do": "close", "on": "sink"}, pin_handshake, opened=PAIR)
    assert prediction_of(broken).kind is PredictionKind.CHARACTERISTIC
    again = planned(
        {"do": "close", "on": "source"},
        {"do": "open_pin", "name": "again", "pin": "source", "connect_to": "sink"},
        pin_handshake | {"on": "again"},
        opened=PAIR,
    )
    assert prediction_of(again).kind is PredictionKind.EXPECTED


# ---- changes of state in flight


def test_a_started_change_of_state_is_fetched_like_a_request() -> None:
    change = {"do": "state", "on": "source", "to": "run", "start": "change"}
    made = planned(change, HANDSHAKE, {"do": "wait", "request": "change"})
    start = next(item for item in of_kind(made, "PROPERTY") if item.answer is Answer.STARTED)
    assert bytes(sent(start).guid.dumps()) == CONNECTION_PROPERTY_SET.bytes_le
    assert sent(start).flags == C["KSHS_STEP_ASYNC"]
    wait = of_kind(made, "WAIT")[0]
    assert (wait.answer, wanted(wait)) == (Answer.STATUS, {"answer": ("success",)})
    assert of_kind(made, "REQUEST")[0].prediction.kind is PredictionKind.EXPECTED  # type: ignore[union-attr]
    closed = planned(change, {"do": "close", "on": "source"}, {"do": "wait", "request": "change"})
    assert of_kind(closed, "WAIT")[0].expected_fields == ()


def test_the_user_side_starts_changes_of_state_too_and_sends_their_data() -> None:
    change = {"do": "state", "on": "source", "to": "run", "start": "change"}
    made = planned(change, HANDSHAKE | {"route": "sync"}, {"do": "wait", "request": "change"})
    start = next(item for item in of_kind(made, "PROPERTY") if item.answer is Answer.STARTED)
    assert (sent(start).side, sent(start).flags) == (C["KSHS_SIDE_USER"], C["KSHS_STEP_ASYNC"])
    assert (data(start), sent(start).in_length, sent(start).out_length) == (b"\x03\0\0\0", 0, 4)


# ---- waiting until something is inside the driver


INSIDE = {"do": "wait_inside", "pin": "source", "count": 2, "within_ms": 700}


def test_what_is_waited_for_is_asked_of_the_target_by_a_filter_of_the_harness_s_own() -> None:
    made = planned(INSIDE | {"what": "state"})
    item = of_kind(made, "WAIT_INSIDE")[0]
    asked = sent(item)
    assert (asked.value, asked.value2, asked.repeat) == (0, 2, 700)
    assert (asked.mode, asked.side) == (C["KSHS_INSIDE_STATE"], C["KSHS_SIDE_KERNEL"])
    assert bytes(asked.guid.dumps()) == ABI.guids["KSPROPSETID_Kshs"].bytes_le
    control = next(open_ for open_ in of_kind(made, "OPEN_FILTER") if "@control" in open_.what)
    assert asked.slot == sent(control).slot
    assert item.answer is Answer.SEEN
    assert wanted(item) == {"answer": ("success",), "inside": (True,)}


def test_it_has_more_time_than_it_looks_for_so_that_only_a_lost_question_hangs() -> None:
    short = sent(of_kind(planned(INSIDE | {"timeout_ms": 100}), "WAIT_INSIDE")[0])
    assert short.timeout_ms > short.repeat == 700
    long = sent(of_kind(planned(INSIDE | {"within_ms": 60000}), "WAIT_INSIDE")[0])
    assert long.timeout_ms > long.repeat == 60000


def test_a_scenario_may_ask_for_more_or_for_nothing() -> None:
    more = of_kind(planned(INSIDE | {"expect": {"argument1": 5}}), "WAIT_INSIDE")[0]
    assert wanted(more) == {"answer": ("success",), "inside": (True,), "argument1": (5,)}
    assert {wanted.rule for wanted in more.expected_fields if wanted.field == "inside"} != {Rule.SETUP}
    nothing = of_kind(planned(INSIDE | {"expect": "record"}), "WAIT_INSIDE")[0]
    assert wanted(nothing) == {"answer": ("success",)}


# ---- closed handles


@pytest.mark.parametrize("step", [HANDSHAKE, HANDSHAKE | {"route": "irp", "in_length": 0, "mode": "user"}])
def test_a_closed_handle_is_kept_and_predicts_nothing(step: dict[str, Any]) -> None:
    made = planned(CLOSED, step, {"do": "close", "on": "source"})
    keep, forget = of_kind(made, "CLOSE")
    request = of_kind(made, "REQUEST")[0]
    assert (sent(keep).flags, sent(forget).flags) == (C["KSHS_STEP_KEEP"], 0)
    assert sent(keep).slot == sent(request).slot == sent(forget).slot
    assert request.prediction is not None
    assert request.prediction.kind is PredictionKind.CHARACTERISTIC
    assert "closed" in request.prediction.reason


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([CLOSED, CLOSED], "closed by then"),
        ([CLOSED, {"do": "close", "on": "source"}, HANDSHAKE], "closed by then"),
        ([CLOSED, SHARED], "closed by then"),
        (
            [
                {"do": "close", "on": "sink", "keep": True},
                {"do": "open_pin", "name": "p", "pin": "source", "connect_to": "sink"},
            ],
            "closed by then",
        ),
        ([CLOSED, {"do": "open_pin", "name": "source", "pin": "source"}], "open already"),
        ([SHARED | {"name": "source"}], "open already"),
        ([SHARED | {"on": "nobody"}], "nothing is open"),
        ([SHARED, THEIRS | {"route": "event"}], "synchronous handle"),
        ([SHARED, HANDSHAKE | {"route": "sync"}], "kernel side and by the user side"),
    ],
)
def test_what_cannot_be_done_with_closed_and_shared_handles(steps: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        planned(*steps, opened=("source", "sink"))


# ---- shared handles


def test_a_shared_handle_leads_to_the_clients_pin() -> None:
    made = planned(SHARED, THEIRS, HANDSHAKE)
    share = sent(of_kind(made, "SHARE")[0])
    pin = sent(of_kind(made, "OPEN_PIN")[0])
    theirs, own = of_kind(made, "REQUEST")
    assert (share.side, share.slot2, pin.side) == (C["KSHS_SIDE_USER"], pin.slot, C["KSHS_SIDE_KERNEL"])
    assert (sent(theirs).side, sent(theirs).slot) == (C["KSHS_SIDE_USER"], share.slot)
    assert theirs.prediction is not None
    assert theirs.prediction.expected == {"answer": 0xC0000010}
    assert own.prediction is not None
    assert own.prediction.expected["answer"] == 0


def test_a_shared_handle_of_a_pin_that_is_connected_later_is_connected() -> None:
    made = planned(
        SHARED | {"on": "sink"},
        {"do": "open_pin", "name": "origin", "pin": "source", "connect_to": "sink"},
        THEIRS,
        opened=("sink",),
    )
    assert "connected" in prediction_of(made).reason


def test_the_layouts_of_both_sides_have_the_new_words() -> None:
    assert C["KSHS_OP_SHARE"] not in {C["KSHS_OP_SLEEP"], C["KSHS_OP_DEVICE"]}
    assert C["KSHS_BEHAVE_STATE_STATUS"] == C["KSHS_BEHAVE_LAST"]
    flags = [C[f"KSHS_STEP_{name}"] for name in ("ASYNC", "FALLBACK", "NO_FALLBACK", "KEEP")]
    assert sum(flags) == flags[0] | flags[1] | flags[2] | flags[3]
    assert len(ABI.cs.kshs_pin_handshake) <= C["KSHS_KEEP_BYTES"], "a WAIT brings no more"
