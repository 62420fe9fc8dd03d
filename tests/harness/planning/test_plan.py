# SPDX-License-Identifier: Apache-2.0
"""Plans: names become slots, sides follow from use, circumstances follow what was done before."""

from __future__ import annotations

import functools
import uuid
from typing import Any

import pytest

from drivers.abi import load as load_abi
from harness.agent.encode import CONNECTION_PROPERTY_SET, Encoder, pin_connect
from harness.contract.handshake_data import HandshakeData
from harness.contract.prediction import PredictionKind
from harness.errors import UsageError
from harness.language import scenario_file, target
from harness.language.model import Rule, Scenario
from harness.language.model.target import UNKNOWN_PROTOCOL
from harness.planning.expectations import MisspeltName
from harness.planning.plan import plan
from harness.planning.planned import Answer, NotApplicable, Plan, PlannedStep, Sizes

ABI = load_abi()
C = ABI.constants
AVSHS, _ = target.find("avshs")


def scenario(*steps: dict[str, Any], opened: tuple[str, ...] = ("source",), **values: Any) -> Scenario:
    table = {"id": "x", "title": "a title", "rule": "H6", "open": list(opened), "steps": list(steps)} | values
    return Scenario.model_validate(table)


def planned(*steps: dict[str, Any], opened: tuple[str, ...] = ("source",), **values: Any) -> Plan:
    return plan(scenario(*steps, opened=opened, **values), AVSHS)


def sent(item: PlannedStep) -> Any:
    return ABI.cs.kshs_step(item.payload)


def data(item: PlannedStep) -> bytes:
    return item.payload[len(ABI.cs.kshs_step) :]


def catalogue() -> list[scenario_file.LocatedScenario]:
    """All of it that the sample target can show: its protocols are of numbers alone."""
    found = scenario_file.load_all([scenario_file.CATALOGUE])
    return [located for located in found if located.file.stem != "interfaces"]


def of_kind(made: Plan, op: str) -> list[PlannedStep]:
    return [item for item in made.steps if sent(item).op == C[f"KSHS_OP_{op}"]]


HANDSHAKE = {"do": "handshake", "on": "source"}


def test_a_plan_resets_opens_sends_and_cleans_up() -> None:
    made = planned(HANDSHAKE)
    assert [item.what for item in made.steps] == [
        "open filter of avshs as @control by the kernel side",
        "reset source before the scenario",
        "see that source is as after a reset",
        "open filter of avshs as @filter.kernel by the kernel side",
        "open pin source by the kernel side",
        "handshake source by call from kernel mode",
    ]
    assert [item.index for item in made.steps] == [None, None, None, None, None, 0]
    assert [item.what for item in made.cleanup] == [
        "reset source after the scenario",
        "close everything on the kernel side",
    ]
    assert made.spoils is None


@functools.cache
def every_plan() -> tuple[Plan, ...]:
    """Of the whole catalogue, against the sample target; made once."""
    return tuple(plan(one.scenario, AVSHS) for one in catalogue())


def test_every_step_is_a_structure_of_the_abi_with_its_data() -> None:
    for made in every_plan():
        for item in (*made.steps, *made.cleanup):
            header = sent(item)
            assert header.size == len(ABI.cs.kshs_step)
            assert header.data_length == len(data(item)) <= C["KSHS_MAX_DATA"]
            assert 0 < item.timeout <= 605


def test_no_two_objects_of_a_side_share_a_slot() -> None:
    for made in every_plan():
        opens = [
            sent(item) for op in ("OPEN_FILTER", "OPEN_PIN", "OPEN_DEVICE") for item in of_kind(made, op)
        ]
        slots = [(item.side, item.slot) for item in opens]
        assert len(slots) == len(set(slots))


def test_a_request_is_encoded_as_written() -> None:
    step = HANDSHAKE | {
        "route": "irp", "mode": "user", "protocol": "b", "argument1": 7, "argument2": "0xFFFFFFFFFFFFFFFE",
        "in_length": "size-1", "out_length": "2*size", "in_buffer": "page_end", "out_buffer": "alias",
        "control": 0x2F001C, "repeat": 3, "timeout_ms": 1234,
    }  # fmt: skip
    (item,) = of_kind(planned(step), "REQUEST")
    header = sent(item)
    assert (header.side, header.route, header.mode) == (0, C["KSHS_ROUTE_IRP"], C["KSHS_MODE_USER"])
    assert (header.in_length, header.out_length, header.control) == (31, 64, 0x2F001C)
    assert (header.in_kind, header.out_kind) == (C["KSHS_BUFFER_PAGE_END"], C["KSHS_BUFFER_ALIAS"])
    assert (header.repeat, header.timeout_ms, item.each, item.timeout) == (3, 1234, 1.234, 3.702)
    expected = HandshakeData(ABI.guids["KSHS_PROTOCOL_B"], 7, 0xFFFFFFFFFFFFFFFE)
    assert HandshakeData.unpack(data(item), 8) == expected


def test_size_follows_the_pointer_size_of_the_side_that_sends() -> None:
    made = plan(
        scenario(
            HANDSHAKE, {"do": "handshake", "on": "mine", "route": "sync"}, opened=("source", "mine = source")
        ),
        AVSHS,
        Sizes(kernel=8, user=4),
    )
    kernel, user = of_kind(made, "REQUEST")
    assert (sent(kernel).in_length, sent(user).in_length) == (32, 24)
    assert (len(data(kernel)), len(data(user))) == (32, 24)
    assert (kernel.pointer_size, user.pointer_size) == (8, 4)


def test_objects_go_to_the_side_and_handle_that_their_routes_need() -> None:
    made = planned(
        HANDSHAKE,
        {"do": "handshake", "on": "mine", "route": "event"},
        {"do": "handshake", "on": "other", "route": "sync"},
        opened=("source", "mine = sink", "other = sink"),
    )
    pins = [sent(item) for item in of_kind(made, "OPEN_PIN")]
    assert [pin.side for pin in pins] == [0, 1, 1]
    assert [pin.route for pin in pins] == [C["KSHS_ROUTE_CALL"], C["KSHS_ROUTE_EVENT"], C["KSHS_ROUTE_SYNC"]]
    filters = [sent(item) for item in of_kind(made, "OPEN_FILTER")]
    assert [item.side for item in filters] == [0, 0, 1]
    assert pins[1].slot2 == filters[2].slot
    assert [item.what for item in made.cleanup][-2:] == [
        "close everything on the user side",
        "close everything on the kernel side",
    ]


def test_an_object_cannot_be_of_both_sides() -> None:
    with pytest.raises(UsageError, match="kernel side and by the user side"):
        planned(HANDSHAKE, HANDSHAKE | {"route": "sync"})
    with pytest.raises(UsageError, match="synchronous handle"):
        planned(HANDSHAKE | {"route": "sync"}, HANDSHAKE | {"route": "event"})
    with pytest.raises(UsageError, match="port and apc"):
        planned(HANDSHAKE | {"route": "apc"}, HANDSHAKE | {"route": "port"})


def test_connected_pins_are_opened_sink_first() -> None:
    made = planned({"do": "pin_handshake", "on": "source"}, opened=("source -> sink",))
    sink, source = (sent(item) for item in of_kind(made, "OPEN_PIN"))
    assert source.slot3 == sink.slot
    assert sink.slot3 == C["KSHS_NO_SLOT"]
    expected_fields = {wanted.field: wanted.values for wanted in made.steps[-1].expected_fields}
    assert expected_fields["returned"] == (0,)
    assert expected_fields["answer"] == ("success",)


def prediction_of(made: Plan) -> Any:
    return next(item.prediction for item in reversed(made.steps) if item.prediction is not None)


@pytest.mark.parametrize(
    ("before", "step", "answer"),
    [
        ([], {}, 0),
        ([], {"protocol": "b"}, 0xC0000010),
        ([], {"protocol": "unknown"}, 0xC0000010),
        ([], {"protocol": "null"}, None),
        ([], {"in_length": "size+1"}, 0xC0000206),
        ([], {"mode": "user"}, 0xC0000010),
        ([{"do": "behaviour", "pin": "source", "kind": "echo"}], {"protocol": "unknown"}, 0),
        ([{"do": "behaviour", "pin": "source", "kind": "decline"}], {}, 0xC0000010),
        ([{"do": "behaviour", "pin": "source", "kind": "decline", "status": "NOT_SUPPORTED"}], {}, None),
        ([{"do": "behaviour", "pin": "source", "kind": "decline", "status": "SUCCESS"}], {}, None),
        ([{"do": "behaviour", "pin": "source", "kind": "status", "status": "SUCCESS"}], {}, 0),
        ([{"do": "behaviour", "pin": "source", "kind": "pending"}], {}, None),
        ([{"do": "behaviour", "pin": "sink", "kind": "decline"}], {}, 0),
        ([{"do": "behaviour", "pin": "source", "kind": "no_callback"}], {}, 0),
        (
            [{"do": "behaviour", "pin": "source", "kind": "decline"}, {"do": "reset", "pin": "source"}],
            {},
            0,
        ),
        ([{"do": "device", "action": "restart"}], {}, None),
    ],
)
def test_predictions_follow_what_was_done_before(
    before: list[dict[str, Any]], step: dict[str, Any], answer: int | None
) -> None:
    found = prediction_of(planned(*before, HANDSHAKE | step))
    assert found.expected.get("answer") == answer
    assert (found.kind is PredictionKind.CHARACTERISTIC) == (answer is None)


def test_a_pin_created_under_no_callback_stays_without() -> None:
    made = planned(
        {"do": "behaviour", "pin": "source", "kind": "no_callback"},
        {"do": "open_pin", "name": "pin", "pin": "source"},
        {"do": "reset", "pin": "source"},
        {"do": "handshake", "on": "pin"},
        opened=(),
    )
    assert prediction_of(made).kind is PredictionKind.CHARACTERISTIC


def test_the_target_files_own_answer_is_predicted() -> None:
    found = prediction_of(planned(HANDSHAKE | {"argument1": 41, "argument2": "0xFF"}))
    assert found.expected["argument1"] == 42
    assert found.expected["argument2"] == 0xFFFFFFFFFFFFFF00


def test_a_started_request_is_judged_where_it_is_waited_for() -> None:
    made = planned(HANDSHAKE | {"route": "irp", "start": "r"}, {"do": "wait", "request": "r"})
    start, wait = made.steps[-2:]
    assert start.answer is Answer.STARTED
    assert not start.expected_fields
    assert sent(start).flags == C["KSHS_STEP_ASYNC"]
    assert sent(start).token == sent(wait).token
    assert wait.answer is Answer.REQUEST
    assert {wanted.field for wanted in wait.expected_fields} >= {"answer", "information"}


def test_threads_are_requests_with_arguments_and_answers_of_their_own() -> None:
    made = planned(HANDSHAKE | {"route": "irp", "threads": 3, "argument1": 10, "repeat": 5})
    starts, waits = of_kind(made, "REQUEST"), of_kind(made, "WAIT")
    assert [sent(item).token for item in starts] == [sent(item).token for item in waits] == [0, 1, 2]
    assert [HandshakeData.unpack(data(item), 8).argument1 for item in starts] == [10, 11, 12]  # type: ignore[union-attr]
    assert {sent(item).repeat for item in starts} == {5}
    assert all(sent(item).flags == C["KSHS_STEP_ASYNC"] for item in starts)
    answers = [next(w.values for w in item.expected_fields if w.field == "argument1") for item in waits]
    assert answers == [(11,), (12,), (13,)]


def test_threads_that_are_only_started_are_waited_for_and_cancelled_together() -> None:
    made = planned(
        HANDSHAKE | {"route": "irp", "threads": 2, "start": "r"},
        {"do": "cancel", "request": "r"},
        {"do": "wait", "request": "r"},
    )
    ops = [sent(item).op for item in made.steps[-6:]]
    assert ops == [C[f"KSHS_OP_{op}"] for op in ("REQUEST", "REQUEST", "CANCEL", "CANCEL", "WAIT", "WAIT")]
    with pytest.raises(UsageError, match="128 requests"):
        planned(*[HANDSHAKE | {"threads": 64}] * 3)
    with pytest.raises(UsageError, match="raw input"):
        planned(HANDSHAKE | {"threads": 2, "input": "00"})


@pytest.mark.parametrize(
    "between",
    [
        {"do": "close", "on": "source"},
        {"do": "cancel", "request": "r"},
        {"do": "device", "action": "remove"},
        {"do": "behaviour", "pin": "source", "kind": "echo"},
    ],
)
def test_a_request_that_was_disturbed_is_a_characteristic(between: dict[str, Any]) -> None:
    made = planned(HANDSHAKE | {"route": "irp", "start": "r"}, between, {"do": "wait", "request": "r"})
    assert prediction_of(made).kind is PredictionKind.CHARACTERISTIC


def test_explicit_fields_stand_beside_the_contracts_and_win() -> None:
    made = planned(HANDSHAKE | {"expect": {"pending": False, "information": "size+1"}})
    expected_fields = {wanted.field: wanted for wanted in made.steps[-1].expected_fields}
    assert expected_fields["answer"].rule is Rule.H9
    assert expected_fields["information"].values == (33,)
    assert expected_fields["information"].rule is Rule.H6
    assert expected_fields["pending"].values == (False,)


def test_record_wants_nothing() -> None:
    assert planned(HANDSHAKE | {"expect": "record"}).steps[-1].expected_fields == ()


def test_what_spoils_a_lease_is_said() -> None:
    assert "hang" in (planned({"do": "behaviour", "pin": "source", "kind": "hang"}).spoils or "")
    removed = planned({"do": "device", "action": "remove"})
    assert removed.spoils == "the device is removed"
    assert not any("reset" in item.what for item in removed.cleanup)
    off, on = ({"do": "device", "action": action} for action in ("disable", "enable"))
    assert planned(off, on).spoils is None
    corrupting = planned({"do": "behaviour", "pin": "source", "kind": "corrupt_pool"}, off, on)
    assert corrupting.spoils == "pin source was told to corrupt pool", "which no device takes back"
    assert planned(off, {"do": "device", "action": "remove"}).spoils == "the device is removed"


def test_what_the_target_lacks_makes_the_scenario_not_applicable() -> None:
    poor = AVSHS.model_copy(
        update={"behaviour": False, "pin": [AVSHS.pin[0].model_copy(update={"accepts": []})]}
    )
    with pytest.raises(MisspeltName, match=r"no pin source2; did you mean 'source'\?") as slip:
        plan(scenario(HANDSHAKE | {"on": "source2"}, opened=("source2",)), poor)
    assert (slip.value.word, slip.value.hint) == ("source2", "did you mean 'source'?")
    with pytest.raises(NotApplicable, match="no pin clock") as lack:
        plan(scenario(HANDSHAKE | {"on": "clock"}, opened=("clock",)), poor)
    assert not isinstance(lack.value, MisspeltName)
    with pytest.raises(NotApplicable, match="accepts no protocol"):
        plan(scenario(HANDSHAKE), poor)
    with pytest.raises(NotApplicable, match="no behaviour property set"):
        plan(scenario({"do": "seen", "pin": "source"}), poor)
    with pytest.raises(NotApplicable, match="no protocol 'c'") as lack:
        plan(scenario(HANDSHAKE | {"protocol": "c"}), poor)
    assert not isinstance(lack.value, MisspeltName)
    for word, meant in (("acepted", "accepted"), ("unknwon", "unknown"), ("nul", "null")):
        with pytest.raises(MisspeltName, match=f"no protocol '{word}'; did you mean '{meant}'"):
            plan(scenario(HANDSHAKE | {"protocol": word}), AVSHS)
    made = plan(scenario(HANDSHAKE | {"protocol": "unknown"}), poor)
    assert "reset" not in " ".join(item.what for item in made.steps)


def test_properties_states_and_devices_are_encoded() -> None:
    made = planned(
        {"do": "state", "on": "source", "to": "run"},
        {"do": "property_get", "on": "source", "set": str(CONNECTION_PROPERTY_SET), "id": 0, "length": 4},
        {"do": "property_get", "on": "source", "set": str(uuid.UUID(int=0)), "id": 0, "flags": "0x10000100"},
        {"do": "device", "action": "restart"},
    )
    state, got, support = (sent(item) for item in of_kind(made, "PROPERTY")[2:])
    assert (state.value, state.value2, state.out_length, state.in_length) == (0, 2, 4, 0)
    assert (got.value2, got.out_length) == (1, 4)
    assert support.value2 == 0x10000100, "a question for the sets of a node"
    (device,) = of_kind(made, "DEVICE")
    assert data(device).decode("utf-16-le") == "Root\\KshsAvshs"
    assert sent(device).value == C["KSHS_DEVICE_RESTART"]


def test_pin_connect_has_the_layout_of_ks_h() -> None:
    for pointer_size, size in ((8, 72), (4, 64)):
        raw = pin_connect(3, AVSHS.format, pointer_size)
        assert len(raw) == size + 64
        assert raw[48:52] == b"\x03\0\0\0"
        assert raw[size : size + 4] == (64).to_bytes(4, "little")
        assert uuid.UUID(bytes_le=raw[size + 16 : size + 32]) == AVSHS.format.major


def test_the_unknown_protocol_is_nobodys() -> None:
    assert UNKNOWN_PROTOCOL not in ABI.guids.values()
    assert UNKNOWN_PROTOCOL not in AVSHS.protocols.values()


def test_too_much_data_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="more than"):
        Encoder(ABI).step("REQUEST", data=bytes(C["KSHS_MAX_DATA"] + 1))


def test_the_sample_targets_file_agrees_with_the_abi() -> None:
    guids = ABI.guids
    assert AVSHS.category == guids["KSCATEGORY_KSHS"]
    assert AVSHS.protocols == {"a": guids["KSHS_PROTOCOL_A"], "b": guids["KSHS_PROTOCOL_B"]}
    assert [pin.id for pin in AVSHS.pin] == list(range(C["KSHS_AVSHS_PINS"]))
    for pin in AVSHS.pin:
        assert pin.answer is not None
        assert (pin.answer.add, pin.answer.xor) == (C["KSHS_DEFAULT_VALUE"], C["KSHS_DEFAULT_VALUE2"])
