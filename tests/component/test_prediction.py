# SPDX-License-Identifier: Apache-2.0
"""The contract's prediction, a model of the reference class driver and the driver itself agree.

The model is written after docs/refks.md and shares nothing with the harness's contract: what the contract
predicts must be what the model answers, and what the model answers must be what really comes back.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from harness.agent.status_block import StatusBlock
from harness.contract.callbacks import OpenObject, PinBehaviours
from harness.contract.handshake_data import HandshakeData
from harness.contract.prediction import (
    Circumstances,
    ObjectKind,
    Prediction,
    PredictionKind,
    Request,
    predict,
)
from harness.language import target
from harness.language.model import Behaviour, Buffer, Mode, Route, Side
from harness.planning.expectations import from_prediction
from harness.planning.planned import Answer, PlannedStep
from harness.running import comparison as compare
from tests.component.agent import (
    IOCTL_KS_HANDSHAKE,
    KERNEL,
    PROTOCOL_A,
    PROTOCOL_B,
    PROTOCOL_UNKNOWN,
    USER,
    USER_ROUTES,
    Agent,
    C,
)

pytestmark = pytest.mark.component

SUCCESS, PENDING = 0, 0x103
INVALID_DEVICE_REQUEST, INVALID_BUFFER_SIZE = 0xC0000010, 0xC0000206
ACCESS_VIOLATION, DRIVER_INTERNAL_ERROR = 0xC0000005, 0xC0000183

SIZE = 32
WORD = 2**64
#: A method-neither control of the same device type that nobody knows.
OTHER_CONTROL = 0x002F0FFF
#: On how many requests at least the three have to agree.
ENOUGH = 2000

FILTER = 4
"""In place of a pin id: the request goes to the filter's handle."""

SAMPLE, _ = target.find("avshs")


@dataclass(frozen=True)
class Sent:
    """One request: to whom, how, and what."""

    goal: int
    route: Route
    mode: Mode
    protocol: uuid.UUID
    argument1: int
    argument2: int
    in_length: int
    out_length: int
    in_buffer: Buffer
    out_buffer: Buffer
    control: int


@dataclass(frozen=True)
class Told:
    """What the callback of a pin was told to do."""

    kind: str = "default"
    status: int = 0
    value: int = 0
    value2: int = 0


@dataclass(frozen=True)
class Expected:
    """The model's answer; `output` is None where nothing is written."""

    status: int
    information: int = 0
    output: bytes | None = None


# ---- the model: docs/refks.md and docs/avshs.md, in their words ------------------------------------


def answer_of_callback(sent: Sent, told: Told) -> tuple[int, bytes]:
    """What the sample target's callback returns and puts out (zeros where it puts out nothing)."""
    add, flip = 0, 0
    match told.kind:
        case "decline":
            return told.status, bytes(SIZE)
        case "pending":
            return PENDING, bytes(SIZE)
        case "status" | "echo" | "transform":
            status = told.status if told.kind == "status" else SUCCESS
            if told.kind == "transform":
                add, flip = told.value, told.value2
        case _:
            known = {PROTOCOL_A, PROTOCOL_B} if sent.goal == 2 else {PROTOCOL_A}
            if sent.protocol not in known:
                return INVALID_DEVICE_REQUEST, bytes(SIZE)
            status, add, flip = SUCCESS, 1, WORD - 1
    words = struct.pack("<QQ", (sent.argument1 + add) % WORD, sent.argument2 ^ flip)
    return status, sent.protocol.bytes_le + words


def model(sent: Sent, told: Told) -> Expected:
    """The first row of the table in docs/refks.md that applies."""
    if sent.control != IOCTL_KS_HANDSHAKE or sent.mode is Mode.USER or sent.goal == FILTER:
        return Expected(INVALID_DEVICE_REQUEST)
    if sent.in_length != SIZE or sent.out_length != SIZE:
        return Expected(INVALID_BUFFER_SIZE)
    nowhere = {Buffer.NULL, Buffer.FREED}
    if sent.in_buffer in nowhere:
        return Expected(ACCESS_VIOLATION)
    status, output = answer_of_callback(sent, told)
    if status == PENDING:
        return Expected(DRIVER_INTERNAL_ERROR)
    if status >= 0x80000000:
        return Expected(status)
    written = sent.in_buffer if sent.out_buffer is Buffer.ALIAS else sent.out_buffer
    if written in {*nowhere, Buffer.READONLY}:
        return Expected(ACCESS_VIOLATION)
    return Expected(status, SIZE, output)


# ---- random requests -----------------------------------------------------------------------------------

words = st.one_of(
    st.sampled_from([0, 1, 0xFFFFFFFF, 2**63, WORD - 1, 0xCCCCCCCCCCCCCCCC]), st.integers(0, WORD - 1)
)
protocols = st.one_of(
    st.sampled_from([PROTOCOL_A, PROTOCOL_A, PROTOCOL_B, PROTOCOL_UNKNOWN, uuid.UUID(int=0)]),
    st.binary(min_size=16, max_size=16).map(lambda raw: uuid.UUID(bytes=raw)),
)
right = st.just(SIZE)
kernel_lengths = st.one_of(
    right,
    right,
    right,
    st.sampled_from([0, 1, 24, 31, 33, 64, 65536, 0x10020, 0x7FFFFFFF, 0x80000020, 0xFFFFFFFF]),
    st.integers(0, 200),
)
user_lengths = st.one_of(right, right, st.sampled_from([0, 1, 24, 31, 33, 64, 4096]), st.integers(0, 200))
in_buffers = st.sampled_from([Buffer.NORMAL] * 4 + [one for one in Buffer if one is not Buffer.ALIAS])
out_buffers = st.sampled_from([Buffer.NORMAL] * 4 + list(Buffer))
controls = st.sampled_from([IOCTL_KS_HANDSHAKE] * 15 + [OTHER_CONTROL])
goals = st.sampled_from([0, 0, 1, 1, 2, 2, 3, 3, FILTER])

from_kernel = st.builds(
    Sent,
    goal=goals,
    route=st.sampled_from([Route.CALL, Route.IRP]),
    mode=st.sampled_from([Mode.KERNEL] * 4 + [Mode.USER]),
    protocol=protocols,
    argument1=words,
    argument2=words,
    in_length=kernel_lengths,
    out_length=kernel_lengths,
    in_buffer=in_buffers,
    out_buffer=out_buffers,
    control=controls,
)
# Wine copies a user-mode caller's buffers, so only what survives that is sent from there.
from_user = st.builds(
    Sent,
    goal=goals,
    route=st.sampled_from([Route.SYNC, Route.EVENT, Route.PORT, Route.APC]),
    mode=st.just(Mode.USER),
    protocol=protocols,
    argument1=words,
    argument2=words,
    in_length=user_lengths,
    out_length=user_lengths,
    in_buffer=st.just(Buffer.NORMAL),
    out_buffer=st.sampled_from([Buffer.NORMAL, Buffer.ALIAS]),
    control=controls,
)
statuses = st.sampled_from([SUCCESS, INVALID_DEVICE_REQUEST, 0xC00000BB, 0xC0000206, 0x80000005, 0x40000000])
behaviours = st.one_of(
    st.just(Told()),
    st.just(Told()),
    st.just(Told("echo")),
    st.just(Told("pending")),
    st.builds(Told, kind=st.just("transform"), value=words, value2=words),
    st.builds(Told, kind=st.just("decline"), status=statuses),
    st.builds(Told, kind=st.just("status"), status=statuses),
)
batches = st.tuples(
    st.tuples(*[behaviours] * 4),
    st.lists(st.one_of(from_kernel, from_kernel, from_kernel, from_user), min_size=40, max_size=80),
)


# ---- the three of them ------------------------------------------------------------------------------------


def request_of(sent: Sent) -> Request:
    return Request(
        data=HandshakeData(sent.protocol, sent.argument1, sent.argument2),
        route=sent.route,
        mode=sent.mode,
        control=sent.control,
        in_length=sent.in_length,
        out_length=sent.out_length,
        in_buffer=sent.in_buffer,
        out_buffer=sent.out_buffer,
    )


def bytes_of(agent: Agent, sent: Sent, slot: int, side: int = KERNEL, **fields: int) -> bytes:
    return agent.request_step(
        slot,
        HandshakeData(sent.protocol, sent.argument1, sent.argument2).pack(8),
        side=side,
        route=C[f"KSHS_ROUTE_{sent.route.name}"],
        mode=sent.mode.name,
        in_length=sent.in_length,
        out_length=sent.out_length,
        control=sent.control,
        in_kind=C[f"KSHS_BUFFER_{sent.in_buffer.name}"],
        out_kind=C[f"KSHS_BUFFER_{sent.out_buffer.name}"],
        **fields,
    )


def prediction_of(sent: Sent, told: Told) -> tuple[Request, Prediction]:
    """What the harness's contract says, from what the planner's record of behaviours says of the callback."""
    request = request_of(sent)
    if sent.goal == FILTER:
        return request, predict(request, Circumstances(object=ObjectKind.FILTER))
    pin_behaviours = PinBehaviours(SAMPLE)
    pin = SAMPLE.pin[sent.goal]
    fields = {"kind": told.kind, "status": told.status, "value": told.value, "value2": told.value2}
    pin_behaviours.set(pin, Behaviour.model_validate({"do": "behaviour", "pin": pin.name, **fields}))
    item = OpenObject("pin", ObjectKind.PIN, Side.KERNEL, 0, pin=pin)
    return request, predict(request, Circumstances(callback=pin_behaviours.callback(item, request.data, 8)))


def assert_predicted(expected: Expected, prediction: Prediction) -> None:
    """Whatever the contract demands, the model answers."""
    fields = prediction.expected
    answer = fields.get("answer", expected.status)
    assert answer == expected.status or (answer == "error" and expected.status >= 0xC0000000)
    assert fields.get("information", expected.information) == expected.information
    if "protocol" in fields:
        assert expected.output is not None
        data = HandshakeData.unpack(expected.output, 8)
        assert data is not None
        found = (fields["protocol"], fields["argument1"], fields["argument2"])
        assert found == (str(data.protocol), data.argument1, data.argument2)


def assert_came_back(expected: Expected, sent: Sent, block: StatusBlock) -> None:
    """What really came back is what the model says, to the last byte."""
    assert block.answer == expected.status
    if block.information is not None:
        assert block.information == expected.information
    if expected.output is not None:
        assert block.output == expected.output
    elif block.out_visible and sent.out_buffer is not Buffer.ALIAS:
        assert block.changed_bytes == 0


@contextmanager
def blame(sent: Sent, told: Told) -> Iterator[None]:
    """Says of which request of a batch they disagree."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{sent}\n{told}\n{error}") from error


def open_everything(agent: Agent) -> dict[tuple[Route, int], int]:
    """The slots: a filter and the four pins for the kernel routes, and the same for each user-mode route."""
    slots: dict[tuple[Route, int], int] = {}
    for pin_id in range(4):
        agent.open_pin(1 + pin_id, pin_id)
    for route in (Route.CALL, Route.IRP):
        slots |= {(route, pin_id): 1 + pin_id for pin_id in range(4)} | {(route, FILTER): 0}
    for number, (name, value) in enumerate(USER_ROUTES.items()):
        base = 10 * number
        agent.open_filter(base, side=USER, route=value)
        for pin_id in range(4):
            agent.open_pin(base + 1 + pin_id, pin_id, side=USER, filter_slot=base, route=value)
        slots |= {(Route(name), pin_id): base + 1 + pin_id for pin_id in range(4)}
        slots[Route(name), FILTER] = base
    return slots


def test_prediction_model_and_driver_agree(agent: Agent) -> None:
    slots = open_everything(agent)
    agreed = {PredictionKind.EXPECTED: 0, PredictionKind.CHARACTERISTIC: 0}

    def submit(sent: Sent) -> bytes:
        side = KERNEL if sent.route.side is Side.KERNEL else USER
        return bytes_of(agent, sent, slots[sent.route, sent.goal], side)

    @settings(
        max_examples=50,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],  # a batch takes too long to be made smaller
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
        ],
    )
    @given(batches)
    def check(batch: tuple[tuple[Told, ...], list[Sent]]) -> None:
        behaviours, requests = batch
        for pin_id, told in enumerate(behaviours):
            fields = {"status": told.status, "value": told.value, "value2": told.value2}
            agent.behave(pin_id, told.kind.upper(), **fields)
        pending = [agent.session.submit(submit(sent), what="REQUEST", timeout=20.0) for sent in requests]
        for sent, waiting in zip(requests, pending, strict=True):
            told = behaviours[sent.goal] if sent.goal != FILTER else Told()
            block = StatusBlock.from_record(waiting.result(), pointer_size=8)
            request, prediction = prediction_of(sent, told)
            expected = model(sent, told)
            with blame(sent, told):
                assert_predicted(expected, prediction)
                assert_came_back(expected, sent, block)
            planned = PlannedStep(
                "request",
                b"",
                1.0,
                Answer.REQUEST,
                expected_fields=from_prediction(prediction),
                request=request,
                prediction=prediction,
            )
            with blame(sent, told):
                assert [one for one in compare.judge(planned, block) if not one.ok] == []
            agreed[prediction.kind] += 1

    check()
    assert min(agreed.values()) >= ENOUGH / 4, agreed
    assert sum(agreed.values()) >= ENOUGH, agreed
