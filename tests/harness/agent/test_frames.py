# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.abi import load
from harness.agent.frames import Begin, Fault, Frame, FrameParser, FrameWriter, Hello, Log, Record
from harness.errors import AgentError
from tests.harness.fake_agent import FakeAgent

ABI = load()
AGENT = FakeAgent(ABI, hello=False)  # makes frames; nobody speaks to it


def parse(data: bytes) -> list[Frame]:
    return list(FrameParser(ABI).feed(data))


def error(code: int, text: bytes, seq: int = 0) -> bytes:
    return AGENT.frame("ERROR", seq, bytes(ABI.cs.kshs_error(code=code, win32=5).dumps()) + text)


GOOD = [
    AGENT.hello_frame(),
    AGENT.frame("BEGIN", 7, b""),
    AGENT.record_frame(7, 5, {"status": 0xC0000206, "information": 0xDEADF00DDEADF00D}, b"\xcc" * 32),
    error(3, "no client: ä".encode()),
    AGENT.frame("LOG", 0, b"hello\r\nworld\n"),
]


def test_every_kind_of_frame_is_read() -> None:
    hello, begin, record, fault, log = parse(b"".join(GOOD))
    assert hello == Hello(ABI.version, 8, 32, ABI.layout_text())
    assert begin == Begin(7)
    assert isinstance(record, Record)
    assert (record.seq, record.op, record.status) == (7, 5, 0xC0000206)
    assert record.information == 0xDEADF00DDEADF00D
    assert record.data == b"\xcc" * 32
    assert fault == Fault(0, 3, 5, "no client: ä")
    assert log == Log("hello\nworld")


def test_record_has_every_field_of_the_structure() -> None:
    fields = set(ABI.cs.kshs_record.fields) - {"size", "data_length"}
    assert fields == {f.name for f in dataclasses.fields(Record)} - {"seq", "data"}


def test_the_cut_of_the_stream_does_not_matter() -> None:
    parser = FrameParser(ABI)
    frames: list[Frame] = []
    for byte in b"".join(GOOD):
        frames += parser.feed(bytes([byte]))
    assert frames == parse(b"".join(GOOD))
    assert parser.incomplete == 0


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"HTTP/1.1 400 Bad Request", "magic"),
        (AGENT.frame("BEGIN", 1, b"", flags=1), "flags"),
        (AGENT.frame("STEP", 1, b""), "frame type 2"),
        (AGENT.frame("BYE", 0, b""), "frame type 7"),
        (AGENT.frame("BEGIN", 1, b"", type=999), "frame type 999"),
        (AGENT.frame("LOG", 0, b"", length=ABI.constants["KSHS_MAX_PAYLOAD"] + 1), "payload of"),
        (AGENT.frame("LOG", 0, b"", length=0xFFFFFFFF), "payload of"),
        (AGENT.frame("BEGIN", 1, b"x"), "BEGIN with a payload"),
        (AGENT.frame("RECORD", 1, b"short"), "at least"),
        (AGENT.record_frame(1, 0, {"size": 4}, b""), "RECORD says size 4"),
        (AGENT.record_frame(1, 0, {"data_length": 5}, b"1234"), "announces 5 bytes"),
        (AGENT.record_frame(1, 0, {}, b"x" * (ABI.constants["KSHS_MAX_DATA"] + 1)), "at most"),
        (AGENT.frame("ERROR", 1, b"x"), "at least"),
        (AGENT.frame("HELLO", 0, b""), "at least"),
        (AGENT.frame("HELLO", 3, GOOD[0][16:]), "HELLO with sequence number"),
        (AGENT.frame("HELLO", 0, GOOD[0][16:] + b"x"), "of layout and brings"),
        (AGENT.frame("HELLO", 0, bytes(ABI.cs.kshs_hello(layout_length=1).dumps()) + b"\xff"), "ASCII"),
    ],
)
def test_violations_are_named_and_end_the_stream(data: bytes, says: str) -> None:
    parser = FrameParser(ABI)
    assert list(parser.feed(GOOD[1])) == [Begin(7)]
    with pytest.raises(AgentError, match=says) as caught:
        list(parser.feed(data))
    assert "at byte 16 of its stream" in str(caught.value)
    with pytest.raises(AgentError, match=says):
        list(parser.feed(GOOD[1]))


def test_frames_before_a_violation_still_count() -> None:
    got: list[Frame] = []
    with pytest.raises(AgentError):
        for frame in FrameParser(ABI).feed(GOOD[1] + b"rubbish that is no header"):
            got.append(frame)
    assert got == [Begin(7)]


def test_text_of_the_guest_cannot_drive_a_terminal() -> None:
    (log,) = parse(AGENT.frame("LOG", 0, b"\x1b[2Jgone\x07\x00" + "\N{RIGHT-TO-LEFT OVERRIDE}".encode()))
    assert isinstance(log, Log)
    assert "\x1b" not in log.text and "\x07" not in log.text and "\u202e" not in log.text
    (long,) = parse(AGENT.frame("LOG", 0, b"x" * 100_000))
    assert isinstance(long, Log) and len(long.text) == 16384


def outcome(chunks: list[bytes]) -> tuple[list[Frame], str | None]:
    parser = FrameParser(ABI)
    frames: list[Frame] = []
    for chunk in chunks:
        try:
            for frame in parser.feed(chunk):
                frames.append(frame)
        except AgentError as violation:
            return frames, str(violation)
    return frames, None


mutated = (
    st.lists(st.sampled_from(GOOD), min_size=1, max_size=4)
    .map(b"".join)
    .flatmap(
        lambda good: st.lists(
            st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), min_size=0, max_size=4
        ).map(lambda edits: apply(good, edits))
    )
)


def apply(good: bytes, edits: list[tuple[int, int]]) -> bytes:
    data = bytearray(good)
    for at, value in edits:
        data[at] = value
    return bytes(data)


@settings(max_examples=300, deadline=None)
@given(data=st.one_of(st.binary(max_size=600), mutated), cuts=st.lists(st.integers(0, 600), max_size=8))
def test_any_bytes_give_frames_or_one_violation_however_cut(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert outcome(chunks) == outcome([data])


@settings(max_examples=100, deadline=None)
@given(
    fields=st.fixed_dictionaries(
        {
            name: st.integers(0, 2 ** (8 * field.type.size) - 1)
            for name, field in ((n, f) for n, f in ABI.cs.kshs_record.fields.items())
            if name not in ("size", "data_length", "op")
        }
    ),
    data=st.binary(max_size=256),
)
def test_records_come_back_as_they_were_sent(fields: dict[str, Any], data: bytes) -> None:
    (record,) = parse(AGENT.record_frame(9, 5, fields, data))
    assert isinstance(record, Record)
    assert {name: getattr(record, name) for name in fields} == fields
    assert record.data == data


def test_the_host_refuses_to_send_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        FrameWriter(ABI).step(1, b"x" * (ABI.constants["KSHS_MAX_PAYLOAD"] + 1))
