# SPDX-License-Identifier: Apache-2.0
"""Nothing that comes over a boundary breaks the agent, the client or the target."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.agent.frames import FrameParser, FrameWriter, Hello
from tests.component.agent import ABI, KERNEL, STATUS_SUCCESS, USER, Agent, C, agent_of, describe, step
from tests.component.channel import LocalChannel
from tests.component.wine import WineGuest

pytestmark = pytest.mark.component

STATUS_FILE_CLOSED = 0xC0000128
STEP_BYTES = len(ABI.cs.kshs_step)
EXIT_STREAM = 3


# Guests are slow, and fixtures are reused on purpose: an example must leave no trace for the next one.
def fuzz(examples: int) -> settings:
    """Reproducible, and so many examples."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def read_until_end(channel: LocalChannel) -> list[Any]:
    """Every frame until the agent ends its stream; what is not a frame fails."""
    parser = FrameParser(ABI)
    frames: list[Any] = []
    while data := channel.read(65536, timeout=20):
        frames += parser.feed(data)
    assert parser.incomplete == 0
    return frames


def frame(kind: int, payload: bytes = b"", **fields: int) -> bytes:
    header = ABI.cs.kshs_frame(
        **(
            {"magic": C["KSHS_FRAME_MAGIC"], "type": kind, "flags": 0, "seq": 1, "length": len(payload)}
            | fields
        )
    )
    return bytes(header.dumps()) + payload


# ---- the stream ---------------------------------------------------------------


def test_the_agent_says_hello_first(local_channel: LocalChannel) -> None:
    parser = FrameParser(ABI)
    frames: list[Any] = []
    while not frames:
        frames += parser.feed(local_channel.read(65536, timeout=20))
    hello = frames[0]
    assert isinstance(hello, Hello)
    assert (hello.abi_version, hello.pointer_size, hello.handshake_size) == (ABI.version, 8, 32)
    assert hello.layout == ABI.layout_text()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", id="another protocol"),
        pytest.param(bytes(4096), id="zeros"),
        pytest.param(frame(C["KSHS_FRAME_STEP"], step("NOP")), id="step before hello"),
        pytest.param(frame(C["KSHS_FRAME_HELLO"], b"short", seq=0), id="cut hello"),
        pytest.param(frame(C["KSHS_FRAME_HELLO"], length=0xFFFFFFFF), id="endless frame"),
        pytest.param(frame(C["KSHS_FRAME_HELLO"], flags=1), id="flags"),
        pytest.param(frame(99), id="unknown type"),
    ],
)
def test_a_stream_that_is_none_is_ended_with_one_error(local_channel: LocalChannel, sent: bytes) -> None:
    local_channel.write(sent)
    frames = read_until_end(local_channel)
    errors = [found for found in frames if type(found).__name__ == "Fault"]
    assert [error.seq for error in errors] == [0], frames
    assert errors[0].text
    assert local_channel.wait() == EXIT_STREAM


@pytest.mark.parametrize("change", ["version", "layout"])
def test_a_host_of_another_abi_is_told_so(local_channel: LocalChannel, change: str) -> None:
    layout = ABI.layout_text().encode()
    if change == "layout":
        layout = layout.replace(b"kshs_step", b"kshs_stop")
    hello = ABI.cs.kshs_hello(
        abi_version=ABI.version + (change == "version"),
        pointer_size=0,
        handshake_size=0,
        layout_length=len(layout),
    )
    local_channel.write(frame(C["KSHS_FRAME_HELLO"], bytes(hello.dumps()) + layout, seq=0))
    errors = [found for found in read_until_end(local_channel) if type(found).__name__ == "Fault"]
    assert [(error.seq, error.code) for error in errors] == [(0, C["KSHS_ERROR_ABI"])]
    assert local_channel.wait() == EXIT_STREAM


def test_the_end_of_input_ends_the_agent(local_channel: LocalChannel) -> None:
    local_channel.write(FrameWriter(ABI).hello())
    local_channel.end_of_input()
    read_until_end(local_channel)
    assert local_channel.wait() == 0


def test_a_frame_that_is_cut_by_the_end_of_input_is_an_error(local_channel: LocalChannel) -> None:
    writer = FrameWriter(ABI)
    local_channel.write(writer.hello() + writer.step(1, step("NOP"))[:-7])
    local_channel.end_of_input()
    read_until_end(local_channel)
    assert local_channel.wait() == EXIT_STREAM


def test_bytes_may_come_one_at_a_time_and_all_at_once(local_channel: LocalChannel) -> None:
    writer = FrameWriter(ABI)
    local_channel.write(writer.hello())
    for byte in writer.step(1, step("NOP")):
        local_channel.write(bytes([byte]))
    local_channel.write(b"".join(writer.step(seq, step("NOP")) for seq in range(2, 500)) + writer.bye())
    frames = read_until_end(local_channel)
    assert [found.seq for found in frames if type(found).__name__ == "Record"] == list(range(1, 500))
    assert local_channel.wait() == 0


@fuzz(15)
@given(greeted=st.booleans(), noise=st.binary(min_size=1, max_size=300))
def test_random_bytes_end_the_agent_orderly(wine_guest: WineGuest, greeted: bool, noise: bytes) -> None:
    channel = wine_guest.channel()
    try:
        channel.write((FrameWriter(ABI).hello() if greeted else b"") + noise)
        channel.end_of_input()
        read_until_end(channel)
        assert channel.wait() == EXIT_STREAM
    finally:
        channel.close()


# ---- steps ----------------------------------------------------------------------


interesting = st.one_of(
    st.integers(0, 20),
    st.sampled_from(
        [0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, C["KSHS_MAX_SLOTS"], C["KSHS_BUFFER_SIZE"], 65537]
    ),
    st.integers(0, 0xFFFFFFFF),
)

#: Not among them: what would stop the guest for long by being obeyed (SLEEP, DEVICE, WAIT without an end).
OPERATIONS = [
    C[f"KSHS_OP_{name}"]
    for name in (
        "NOP",
        "OPEN_FILTER",
        "OPEN_DEVICE",
        "OPEN_PIN",
        "CLOSE",
        "REQUEST",
        "CANCEL",
        "PROPERTY",
        "INFO",
        "SHARE",
        "MAKE",
        "INSPECT",
        "REFERENCE",
        "VANISH",
    )
] + [15, 99, 0xFFFFFFFF]

random_step = st.fixed_dictionaries(
    {
        "size": st.one_of(st.just(STEP_BYTES), interesting),
        "op": st.sampled_from(OPERATIONS),
        "side": st.one_of(st.sampled_from([KERNEL, USER]), interesting),
        "flags": st.one_of(st.sampled_from([0, 1, 2, 4, 8]), interesting),
        "slot": st.one_of(st.just(101), interesting),
        "slot2": st.one_of(st.just(101), interesting),
        "slot3": st.one_of(st.just(C["KSHS_NO_SLOT"]), interesting),
        "token": st.one_of(st.just(C["KSHS_NO_TOKEN"]), interesting),
        "route": interesting,
        "mode": interesting,
        "control": st.one_of(st.sampled_from([0x002F001F, 0x002F0003]), interesting),
        "in_kind": interesting,
        "out_kind": interesting,
        "in_length": interesting,
        "out_length": interesting,
        "repeat": st.integers(0, 3),
        "timeout_ms": st.integers(1, 300),
        "value": interesting,
        "value2": interesting,
        "data_length": st.none() | interesting,
    }
)


def random_payload(fields: dict[str, Any], data: bytes) -> bytes:
    fields = dict(fields)
    if fields["data_length"] is None:
        fields["data_length"] = len(data)
    return bytes(ABI.cs.kshs_step(**fields).dumps()) + data


@pytest.fixture
def fuzzed(wine_guest: WineGuest) -> Any:
    """One agent for all examples: what survives one of them has to survive them all."""
    with agent_of(wine_guest) as agent:
        agent.open_filter(100)
        agent.reset(slot=100)
        agent.open_pin(101, 0, filter_slot=100)
        yield agent


@fuzz(150)
@given(fields=random_step, data=st.binary(max_size=400))
def test_random_steps_leave_everything_working(fuzzed: Agent, fields: dict[str, Any], data: bytes) -> None:
    record = fuzzed.session.run(random_payload(fields, data), what="random step", timeout=20)
    assert record.outcome != C["KSHS_OUTCOME_LOST"], describe(record)
    good = fuzzed.request(101)
    if good.returned == STATUS_FILE_CLOSED and fields["op"] == C["KSHS_OP_CLOSE"]:
        assert fields["flags"] == C["KSHS_STEP_KEEP"]
        fuzzed.close(101)
        good = fuzzed.request(101)
    if good.outcome == C["KSHS_OUTCOME_REFUSED"] and fields["op"] == C["KSHS_OP_CLOSE"]:
        fuzzed.open_pin(101, 0, filter_slot=100)
        good = fuzzed.request(101)
    assert good.returned == STATUS_SUCCESS, describe(good)


@fuzz(100)
@given(payload=st.binary(max_size=STEP_BYTES + 40))
def test_random_payloads_are_refused(fuzzed: Agent, payload: bytes) -> None:
    record = fuzzed.session.run(payload, what="random payload", timeout=20)
    assert record.outcome == C["KSHS_OUTCOME_REFUSED"], describe(record)
    assert fuzzed.request(101).returned == STATUS_SUCCESS


@fuzz(100)
@given(
    number=st.integers(0, 8),
    flags=st.sampled_from([1, 2, 0x200, 0x300, 0xFFFFFFFF]),
    after=st.binary(max_size=80),
    data=st.binary(max_size=200),
    out_length=st.integers(0, 300),
    on_pin=st.booleans(),
)
def test_random_properties_are_refused_or_harmless(
    fuzzed: Agent, number: int, flags: int, after: bytes, data: bytes, out_length: int, on_pin: bool
) -> None:
    if number == C["KSHS_PROP_BEHAVIOUR"] and len(data) >= 8:
        # Any behaviour may come out of this but those that are meant to take the guest down.
        data = data[:4] + struct.pack("<I", C["KSHS_BEHAVE_LAST"] + 1) + data[8:]
    fuzzed.run(
        "PROPERTY",
        after + data,
        slot=101 if on_pin else 100,
        guid=ABI.guids["KSPROPSETID_Kshs"],
        value=number,
        value2=flags,
        in_length=len(after),
        out_length=out_length,
        timeout_ms=2000,
    )
    assert fuzzed.request(101).returned == STATUS_SUCCESS


@pytest.mark.parametrize(
    "op", ["OPEN_FILTER", "OPEN_PIN", "CLOSE", "SHARE", "REQUEST", "WAIT", "CANCEL", "PROPERTY"]
)
@pytest.mark.parametrize("side", [KERNEL, USER], ids=["kernel", "user"])
def test_slots_and_tokens_beyond_the_tables_are_refused(agent: Agent, op: str, side: int) -> None:
    for beyond in (C["KSHS_MAX_SLOTS"], 0x7FFFFFFF, 0xFFFFFFFE):
        record = agent.run(op, side=side, slot=beyond, slot2=beyond, token=beyond, timeout_ms=500)
        assert record.outcome == C["KSHS_OUTCOME_REFUSED"], f"{beyond}: {describe(record)}"
        assert record.detail & 0x80000000, describe(record)
