# SPDX-License-Identifier: Apache-2.0
"""The contract as a table, and properties that hold whatever the request."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import ntstatus
from harness.contract.handshake_data import HandshakeData, handshake_size
from harness.contract.prediction import (
    NO_CALLBACK,
    UNKNOWN_CALLBACK,
    Callback,
    CallbackKind,
    Circumstances,
    ObjectKind,
    PredictionKind,
    Request,
    predict,
    predict_pin_handshake,
)
from harness.language.model import Buffer, Mode, Route, Rule, State
from harness.rules import CLAUSES

DATA = HandshakeData(uuid.UUID(int=7), 1, 2)
OUTPUT = HandshakeData(uuid.UUID(int=7), 2, 0xFFFFFFFFFFFFFFFD)
ACCEPTS = Callback(CallbackKind.ACCEPTS, ntstatus.SUCCESS, OUTPUT)
DECLINES = Callback(CallbackKind.DECLINES, ntstatus.INVALID_DEVICE_REQUEST)
REFUSES = Callback(CallbackKind.REFUSES, 0xC00000BB)
OTHER = Callback(CallbackKind.OTHER, ntstatus.PENDING)
ALL_CALLBACKS = (ACCEPTS, DECLINES, REFUSES, OTHER, NO_CALLBACK, UNKNOWN_CALLBACK)


def request(**values: object) -> Request:
    return Request(data=DATA, **values)  # type: ignore[arg-type]


def answer(prediction: object) -> object:
    return prediction.expected.get("answer")  # type: ignore[attr-defined]


@pytest.mark.parametrize("callback", ALL_CALLBACKS)
@pytest.mark.parametrize(
    ("in_length", "out_length"), [(31, 32), (32, 31), (33, 32), (32, 33), (0, 0), (24, 24), (31, 33), (0, 32)]
)
def test_h4_lengths_decide_in_kernel_mode_whatever_the_callback(
    callback: Callback, in_length: int, out_length: int
) -> None:
    found = predict(request(in_length=in_length, out_length=out_length), Circumstances(callback=callback))
    assert found.kind is PredictionKind.EXPECTED
    assert found.expected == {"answer": ntstatus.INVALID_BUFFER_SIZE}
    assert found.rules == (Rule.H4,)


@pytest.mark.parametrize("buffer", list(Buffer))
def test_h4_needs_no_buffer(buffer: Buffer) -> None:
    found = predict(
        request(in_length=0, in_buffer=buffer, out_buffer=buffer), Circumstances(callback=ACCEPTS)
    )
    assert answer(found) == ntstatus.INVALID_BUFFER_SIZE


@pytest.mark.parametrize("callback", ALL_CALLBACKS)
@pytest.mark.parametrize("route", list(Route))
def test_h5_user_mode_is_refused_whatever_the_callback(callback: Callback, route: Route) -> None:
    found = predict(request(route=route, mode=Mode.USER), Circumstances(callback=callback))
    assert found.expected == {"answer": ntstatus.INVALID_DEVICE_REQUEST}
    assert found.rules == (Rule.H5,)


@pytest.mark.parametrize("lengths", [(31, 32), (32, 33), (0, 0)])
def test_h5_and_h4_both_broken_is_an_error_and_which_one_a_characteristic(lengths: tuple[int, int]) -> None:
    sent = request(mode=Mode.USER, in_length=lengths[0], out_length=lengths[1])
    found = predict(sent, Circumstances(callback=ACCEPTS))
    assert found.kind is PredictionKind.CHARACTERISTIC
    assert found.expected == {"answer": "error"}
    assert {Rule.H4, Rule.H5} <= set(found.rules)


@pytest.mark.parametrize(
    "sent",
    [
        request(control=0x002F001C, mode=Mode.USER, in_length=31),
        request(control=0x002F001C, in_length=31),
        request(in_buffer=Buffer.NULL, out_buffer=Buffer.NULL),
    ],
)
def test_two_rules_of_which_one_does_not_say_that_it_fails_predict_nothing(sent: Request) -> None:
    """Another control code (H1) and a buffer that is none (H2, H3) may have any answer."""
    assert not predict(sent, Circumstances(callback=ACCEPTS)).fields


def test_h6_h9_success_has_information_and_the_callbacks_output() -> None:
    found = predict(request(), Circumstances(callback=ACCEPTS))
    assert found.expected == {
        "answer": ntstatus.SUCCESS,
        "information": 32,
        "protocol": str(OUTPUT.protocol),
        "argument1": 2,
        "argument2": 0xFFFFFFFFFFFFFFFD,
    }
    assert {item.field: item.rule for item in found.fields}["information"] is Rule.H6
    assert {item.field: item.rule for item in found.fields}["answer"] is Rule.H9


def test_h2_h10_on_32_bit_the_size_is_24_and_arguments_are_cut() -> None:
    found = predict(request(in_length=24, out_length=24), Circumstances(callback=ACCEPTS, pointer_size=4))
    assert found.expected["information"] == 24
    assert found.expected["argument2"] == 0xFFFFFFFD
    assert answer(predict(request(), Circumstances(callback=ACCEPTS, pointer_size=4))) == 0xC0000206


def test_success_without_a_known_output_predicts_no_output() -> None:
    found = predict(request(), Circumstances(callback=Callback(CallbackKind.ACCEPTS)))
    assert found.expected == {"answer": 0, "information": 32}


def test_h9_a_declined_protocol_is_an_invalid_device_request() -> None:
    found = predict(request(), Circumstances(callback=DECLINES))
    assert found.expected == {"answer": ntstatus.INVALID_DEVICE_REQUEST}
    assert found.rules == (Rule.H9,)


@pytest.mark.parametrize("callback", [REFUSES, OTHER, NO_CALLBACK, UNKNOWN_CALLBACK])
def test_what_h8_and_h9_do_not_provide_for_is_a_characteristic(callback: Callback) -> None:
    assert predict(request(), Circumstances(callback=callback)).kind is PredictionKind.CHARACTERISTIC


def test_a_success_without_output_is_told_as_that_and_not_as_a_wrong_status() -> None:
    silent = Callback(CallbackKind.OTHER, ntstatus.SUCCESS)
    made = predict(request(), Circumstances(callback=silent))
    assert made.kind is PredictionKind.CHARACTERISTIC
    assert made.reason.startswith("the callback returns STATUS_SUCCESS and writes no output")
    pending = predict(request(), Circumstances(callback=OTHER))
    assert "returns STATUS_PENDING (0x00000103), which H9 does not provide for" in pending.reason


@pytest.mark.parametrize(
    "circumstances",
    [
        Circumstances(object=ObjectKind.FILTER, callback=ACCEPTS),
        Circumstances(object=ObjectKind.DEVICE, callback=ACCEPTS),
        Circumstances(connected=True, callback=ACCEPTS),
        Circumstances(disturbed="the pin is closed", callback=ACCEPTS),
    ],
)
@pytest.mark.parametrize("sent", [request(), request(mode=Mode.USER), request(in_length=1)])
def test_where_the_contract_is_silent_nothing_is_predicted(
    circumstances: Circumstances, sent: Request
) -> None:
    found = predict(sent, circumstances)
    assert found.kind is PredictionKind.CHARACTERISTIC
    assert found.reason and not found.fields


def test_h1_another_control_code_is_not_predicted() -> None:
    assert predict(request(control=0x002F001C), Circumstances(callback=ACCEPTS)).kind == "characteristic"


@pytest.mark.parametrize("state", list(State))
def test_the_state_of_a_pin_does_not_matter(state: State) -> None:
    assert answer(predict(request(), Circumstances(callback=ACCEPTS, state=state))) == ntstatus.SUCCESS


@pytest.mark.parametrize("buffer", [Buffer.NULL, Buffer.FREED, Buffer.READONLY, Buffer.MISALIGNED])
@pytest.mark.parametrize("which", ["in_buffer", "out_buffer"])
def test_h2_h3_buffers_that_are_no_handshake_are_characteristics(buffer: Buffer, which: str) -> None:
    assert predict(request(**{which: buffer}), Circumstances(callback=ACCEPTS)).kind == "characteristic"


def test_h7_ks_pin_handshake() -> None:
    accepted = predict_pin_handshake(True, ACCEPTS)
    assert accepted.expected["returned"] == ntstatus.SUCCESS
    assert accepted.expected["argument1"] == OUTPUT.argument1
    for callback in (DECLINES, REFUSES):
        assert predict_pin_handshake(True, callback).expected == {"returned": "error"}
    for callback in (OTHER, NO_CALLBACK, UNKNOWN_CALLBACK):
        assert predict_pin_handshake(True, callback).kind is PredictionKind.CHARACTERISTIC
    assert predict_pin_handshake(False, ACCEPTS).kind is PredictionKind.CHARACTERISTIC
    disturbed = predict_pin_handshake(True, ACCEPTS, disturbed="the pin is closed")
    assert disturbed.kind is PredictionKind.CHARACTERISTIC
    assert "closed while KsPinHandshake is under way" in disturbed.reason


def test_the_clauses_are_those_of_the_documented_contract() -> None:
    text = (Path(__file__).parents[3] / "docs" / "contract.md").read_text("utf-8")
    documented = dict(re.findall(r"^\| (H\d+) \| (.+?) \| [^|]+ \|$", text, re.MULTILINE))
    assert len(documented) == 10
    assert {rule.value: clause for rule, clause in CLAUSES.items() if rule.value in documented} == documented


words = st.integers(0, 2**64 - 1)
datas = st.builds(HandshakeData, st.uuids(), words, words)
requests = st.builds(
    Request,
    data=datas,
    route=st.sampled_from(Route),
    mode=st.sampled_from(Mode),
    control=st.sampled_from([0x002F001F, 0x002F001F, 0x002F001B]),
    in_length=st.sampled_from([0, 1, 23, 24, 25, 31, 32, 33, 64, 0xFFFFFFFF]),
    out_length=st.sampled_from([0, 1, 23, 24, 25, 31, 32, 33, 64, 0xFFFFFFFF]),
    in_buffer=st.sampled_from(Buffer),
    out_buffer=st.sampled_from(Buffer),
)
callbacks = st.builds(
    Callback, st.sampled_from(CallbackKind), st.none() | st.integers(0, 0xFFFFFFFF), st.none() | datas
)
circumstances_ = st.builds(
    Circumstances,
    object=st.sampled_from(ObjectKind),
    callback=callbacks,
    connected=st.booleans(),
    state=st.sampled_from(State),
    pointer_size=st.sampled_from([4, 8]),
    disturbed=st.none() | st.just("something happens"),
)


@given(requests, circumstances_)
def test_prediction_is_total_and_never_contradicts_itself(
    sent: Request, circumstances: Circumstances
) -> None:
    found = predict(sent, circumstances)
    names = [item.field for item in found.fields]
    assert len(names) == len(set(names))
    assert found.reason
    assert found.rules
    size = handshake_size(circumstances.pointer_size)
    fits = sent.in_length == size == sent.out_length
    if found.kind is PredictionKind.CHARACTERISTIC:
        assert found.expected in ({}, {"answer": "error"})
        assert not found.fields or (sent.mode is Mode.USER and not fits)
        assert Rule.CHARACTERISTIC in found.rules
        return
    assert Rule.CHARACTERISTIC not in found.rules
    assert "answer" in names
    # H4, H5 and success exclude each other.
    if found.expected["answer"] == ntstatus.SUCCESS:
        assert fits
        assert sent.mode is Mode.KERNEL
        assert found.expected["information"] == size
        assert circumstances.callback.kind is CallbackKind.ACCEPTS
    else:
        assert names == ["answer"]
    if found.rules == (Rule.H4,):
        assert not fits
        assert sent.mode is Mode.KERNEL
    if found.rules == (Rule.H5,):
        assert fits
        assert sent.mode is Mode.USER


@given(requests, circumstances_, st.sampled_from(State))
def test_prediction_does_not_depend_on_state_or_route(
    sent: Request, circumstances: Circumstances, state: State
) -> None:
    from dataclasses import replace

    other = predict(replace(sent, route=Route.IRP), replace(circumstances, state=state))
    assert predict(sent, circumstances).fields == other.fields


@given(datas, st.sampled_from([4, 8]))
def test_h10_packing_and_unpacking_agree(data: HandshakeData, pointer_size: int) -> None:
    packed = data.pack(pointer_size)
    assert len(packed) == handshake_size(pointer_size)
    assert HandshakeData.unpack(packed, pointer_size) == data.narrowed(pointer_size)
    assert HandshakeData.unpack(packed[:-1], pointer_size) is None
