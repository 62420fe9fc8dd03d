# SPDX-License-Identifier: Apache-2.0
"""Prediction, model and driver agree: connected pins with everything in flight at once, and closed handles.

As in test_prediction.py, the model is written after docs/refks.md and shares nothing with the contract.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from harness.agent.status_block import StatusBlock
from harness.contract.callbacks import OpenObject, PinBehaviours
from harness.contract.handshake_data import HandshakeData
from harness.contract.prediction import (
    Callback,
    Circumstances,
    ObjectKind,
    Prediction,
    PredictionKind,
    predict,
    predict_pin_handshake,
)
from harness.language.model import Behaviour, Buffer, Mode, Route, Rule, Side
from harness.planning.expectations import from_prediction, success
from harness.planning.planned import Answer, ExpectedField, PlannedStep
from harness.running import comparison as compare
from tests.component.agent import ABI, IOCTL_KS_HANDSHAKE, KERNEL, USER, USER_ROUTES, Agent, C, step
from tests.component.test_prediction import (
    DRIVER_INTERNAL_ERROR,
    PENDING,
    SAMPLE,
    SIZE,
    Expected,
    Sent,
    Told,
    answer_of_callback,
    assert_came_back,
    behaviours,
    blame,
    bytes_of,
    from_kernel,
    from_user,
    model,
    protocols,
    request_of,
    words,
)

pytestmark = pytest.mark.component

STATUS_FILE_CLOSED = 0xC0000128
STATUS_INVALID_HANDLE = 0xC0000008
SOURCE, SINK = 0, 1
#: Kernel slots of the connected ends.
SLOTS = {SOURCE: 42, SINK: 41}
SUPPRESSED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


@dataclass(frozen=True)
class Own:
    """KsPinHandshake from one end."""

    origin: int
    protocol: uuid.UUID
    argument1: int
    argument2: int


owns = st.builds(
    Own, origin=st.sampled_from([SOURCE, SOURCE, SINK]), protocol=protocols, argument1=words, argument2=words
)
strangers = st.tuples(from_kernel, st.sampled_from([SOURCE, SINK])).map(
    lambda pair: replace(pair[0], goal=pair[1])
)
batches = st.tuples(
    st.tuples(behaviours, behaviours), st.lists(st.one_of(owns, strangers), min_size=20, max_size=60)
)


def as_sent(own: Own) -> Sent:
    """What the other end's callback is asked."""
    return Sent(
        goal=SINK if own.origin == SOURCE else SOURCE,
        route=Route.CALL,
        mode=Mode.KERNEL,
        protocol=own.protocol,
        argument1=own.argument1,
        argument2=own.argument2,
        in_length=SIZE,
        out_length=SIZE,
        in_buffer=Buffer.NORMAL,
        out_buffer=Buffer.NORMAL,
        control=IOCTL_KS_HANDSHAKE,
    )


def model_of_own(own: Own, told: Told) -> Expected:
    """KsPinHandshake gives what the other end's callback gave, and its output where that succeeded."""
    status, output = answer_of_callback(as_sent(own), told)
    if status == PENDING:
        return Expected(DRIVER_INTERNAL_ERROR)
    return Expected(status, output=output if status < 0x80000000 else None)


def callback_of(pin_id: int, told: Told, data: HandshakeData) -> Callback:
    pin_behaviours = PinBehaviours(SAMPLE)
    pin = SAMPLE.pin[pin_id]
    fields = {"kind": told.kind, "status": told.status, "value": told.value, "value2": told.value2}
    pin_behaviours.set(pin, Behaviour.model_validate({"do": "behaviour", "pin": pin.name, **fields}))
    return pin_behaviours.callback(OpenObject("pin", ObjectKind.PIN, Side.KERNEL, 0, pin=pin), data, 8)


def bytes_of_own(own: Own, token: int) -> bytes:
    return step(
        "PROPERTY",
        HandshakeData(own.protocol, own.argument1, own.argument2).pack(8),
        slot=SLOTS[own.origin],
        guid=ABI.guids["KSPROPSETID_Kshs"],
        value=C["KSHS_PROP_PIN_HANDSHAKE"],
        value2=1,
        in_length=SIZE,
        out_length=len(ABI.cs.kshs_pin_handshake),
        flags=C["KSHS_STEP_ASYNC"],
        token=token,
    )


def check_own(own: Own, told: Told, block: StatusBlock) -> PredictionKind:
    expected = model_of_own(own, told)
    answer = ABI.cs.kshs_pin_handshake(block.output)
    came = bytes(answer.answer.protocol.dumps()) + struct.pack(
        "<QQ", answer.answer.argument1, answer.answer.argument2
    )
    assert answer.returned == expected.status
    assert bool(answer.out_written) == (expected.output is not None)
    assert came == (expected.output if expected.output is not None else bytes([C["KSHS_OUT_FILL"]]) * SIZE)
    if own.origin == SINK:
        return PredictionKind.CHARACTERISTIC  # the contract names no direction: the catalogue records it
    data = HandshakeData(own.protocol, own.argument1, own.argument2)
    prediction = predict_pin_handshake(True, callback_of(SINK, told, data))
    expected_fields = (*success(), ExpectedField("completions", (1,), Rule.IO), *from_prediction(prediction))
    planned = PlannedStep(
        "own", b"", 1.0, Answer.PIN_HANDSHAKE, expected_fields=expected_fields, prediction=prediction
    )
    assert [one for one in compare.judge(planned, block) if not one.ok] == []
    return prediction.kind


def check_stranger(sent: Sent, expected: Expected, prediction: Prediction, block: StatusBlock) -> None:
    assert prediction.kind is PredictionKind.CHARACTERISTIC
    assert_came_back(expected, sent, block)
    planned = PlannedStep(
        "stranger", b"", 1.0, Answer.REQUEST, request=request_of(sent), prediction=prediction
    )
    assert [one for one in compare.judge(planned, block) if not one.ok] == []


def test_connected_pins_with_strangers_at_both_ends(agent: Agent) -> None:
    agent.open_pin(SLOTS[SINK], SINK)
    agent.open_pin(SLOTS[SOURCE], SOURCE, onto=SLOTS[SINK])
    agreed = {PredictionKind.EXPECTED: 0, PredictionKind.CHARACTERISTIC: 0}

    @settings(
        max_examples=30,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=SUPPRESSED,
    )
    @given(batches)
    def check(batch: tuple[tuple[Told, Told], list[Own | Sent]]) -> None:
        told, sendings = batch
        for pin_id, one in enumerate(told):
            agent.behave(
                pin_id, one.kind.upper(), status=one.status, value=one.value, value2=one.value2, delay_ms=1
            )
        for token, item in enumerate(sendings):
            if isinstance(item, Own):
                payload = bytes_of_own(item, token)
            else:
                fields = {"flags": C["KSHS_STEP_ASYNC"], "token": token}
                payload = bytes_of(agent, item, SLOTS[item.goal], **fields)
            agent.session.submit(payload, what="start", timeout=20.0)
        waiting = [
            agent.session.submit(step("WAIT", token=token, timeout_ms=10000), what="WAIT", timeout=20.0)
            for token in range(len(sendings))
        ]
        for item, pending in zip(sendings, waiting, strict=True):
            block = StatusBlock.from_record(pending.result(), pointer_size=8)
            if isinstance(item, Own):
                with blame(as_sent(item), told[as_sent(item).goal]):
                    agreed[check_own(item, told[as_sent(item).goal], block)] += 1
            else:
                with blame(item, told[item.goal]):
                    prediction = predict(request_of(item), Circumstances(connected=True))
                    check_stranger(item, model(item, told[item.goal]), prediction, block)
                    agreed[PredictionKind.CHARACTERISTIC] += 1

    check()
    assert agreed[PredictionKind.EXPECTED] >= 100, agreed
    assert sum(agreed.values()) >= 600, agreed


def test_closed_handles(agent: Agent) -> None:
    agent.open_pin(5, SOURCE)
    agent.done("CLOSE", slot=5, flags=C["KSHS_STEP_KEEP"])
    for number, route in enumerate(USER_ROUTES.values()):
        agent.open_filter(10 * number, side=USER, route=route)
        agent.open_pin(10 * number + 5, SOURCE, side=USER, filter_slot=10 * number, route=route)
        agent.done("CLOSE", side=USER, slot=10 * number + 5, flags=C["KSHS_STEP_KEEP"])
    numbers = {Route(name): 10 * number + 5 for number, name in enumerate(USER_ROUTES)}

    @settings(max_examples=100, deadline=None, database=None, suppress_health_check=SUPPRESSED)
    @given(st.one_of(from_kernel, from_user))
    def check(sent: Sent) -> None:
        kernel = sent.route.side is Side.KERNEL
        slot, side = (5, KERNEL) if kernel else (numbers[sent.route], USER)
        record = agent.session.run(bytes_of(agent, sent, slot, side), what="closed", timeout=20.0)
        block = StatusBlock.from_record(record, pointer_size=8)
        prediction = predict(request_of(sent), Circumstances(object=ObjectKind.CLOSED))
        with blame(sent, Told()):
            expected = Expected(STATUS_FILE_CLOSED if kernel else STATUS_INVALID_HANDLE)
            check_stranger(sent, expected, prediction, block)

    check()
    assert agent.seen(SOURCE).count == 0
