# SPDX-License-Identifier: Apache-2.0
"""What the relay promises its neighbours, where a table of cases would say too little."""

from __future__ import annotations

from typing import Any

import pytest

from harness import ntstatus


def test_the_target_is_the_relay(target: Any) -> None:
    """The target file, as these tests know it; needs no guest."""
    assert target.name == "relay"
    assert [pin.name for pin in target.pin] == ["sink", "source", "monitor"]
    assert target.find_pin("monitor").callback is False


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 48000])
def test_a_rate_survives_the_way_there_and_back(handshake: Any, rate: int) -> None:
    """Whoever proposes what was agreed on before gets the same again."""
    first = handshake("source", protocol="clock", argument1=rate)
    assert first.answer == ntstatus.SUCCESS
    again = handshake("sink", protocol="clock", argument1=first.handshake.argument1)
    assert again.handshake.argument1 == rate
    assert again.handshake.argument2 == first.handshake.argument2 == rate // 100


def test_a_refusal_leaves_the_pin_as_it_was(handshake: Any) -> None:
    """A short input is refused, writes nothing, and spoils nothing."""
    refused = handshake("source", protocol="clock", in_length="size-1", route="irp")
    assert refused.answer == ntstatus.INVALID_BUFFER_SIZE
    assert refused.changed_bytes == 0
    assert handshake("source", protocol="clock", argument1=9000).handshake.argument1 == 9000


def test_the_agent_answers_steps_of_its_own(agent: Any, guest: Any) -> None:
    """Below the fixtures there is the session with the guest's agent (docs/architecture.md)."""
    from drivers import abi
    from harness.agent.encode import Encoder

    encoder = Encoder(abi.load())
    records = [agent.submit(encoder.step("NOP"), what=f"nothing, {number}") for number in range(3)]
    outcomes = [pending.result().outcome for pending in records]
    assert outcomes == [encoder.constant("OUTCOME_DONE")] * 3
    assert guest.id
