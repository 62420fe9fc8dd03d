# SPDX-License-Identifier: Apache-2.0
"""Traces are read strictly: whoever wrote them may be hostile."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.capsule.archive import CapsuleError
from harness.capsule.traced import events
from harness.capsule.traced.events import parse
from tests.harness.capsule.traced.traces import Recorder


def recorded() -> Recorder:
    recorder = Recorder()
    recorder.pin()
    recorder.handshake(one=7)
    return recorder


def test_a_trace_is_read_as_it_was_written() -> None:
    trace = recorded().trace()
    assert [event.event for event in trace.events] == ["pin", "handshake"]
    handshake = trace.events[1]
    assert handshake.input is not None and handshake.input.argument1 == 7
    assert handshake.output is not None and handshake.output.argument2 == 0xFFFFFFFFFFFFFFFF
    assert handshake.succeeded and handshake.end_ns == handshake.at_ns + 500


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"colour": "red"}, "line 3 of the trace is none: colour"),
        ({"event": "dance"}, "event"),
        ({"at_ns": -1}, "at_ns"),
        ({"at_ns": "1"}, "at_ns"),
        ({"object": "../o1"}, "object"),
        ({"status": "zero"}, "status"),
        ({"status": "0x" + "f" * 17}, "status"),
        ({"input": {"protocol": "no guid"}}, "input.protocol"),
        ({"input": {"bytes": "0g"}}, "input.bytes"),
        ({"input": {"argument1": "pointer:-1"}}, "input.argument1"),
        ({"name": "x" * 1001}, "name"),
        ({"n": 1}, "not in the order of its numbers"),
    ],
)
def test_an_event_that_is_none_is_refused_with_its_line(change: dict[str, Any], why: str) -> None:
    recorder = recorded()
    recorder.events[1] |= change
    with pytest.raises(CapsuleError, match=why.replace(".", r"\.")):
        recorder.trace()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "line 1"),
        (b"{}", "line 1"),
        (b"\xff", "not JSON"),
        (b"[" * 16_000, "not JSON"),
        (b"x" * 20_000, "longer than"),
    ],
)
def test_what_is_no_trace_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(CapsuleError, match=why):
        parse(data, "trace")


def test_a_part_that_is_longer_than_the_whole_is_refused() -> None:
    recorder = recorded()
    recorder.handshake(in_length=64, input={"bytes": "00" * 33})
    with pytest.raises(CapsuleError, match=r"input\.bytes: .*at most 32"):
        recorder.trace()


def test_a_key_that_is_there_twice_is_refused() -> None:
    lines = recorded().data().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"requestor":', b'"requestor": "user", "requestor":')
    with pytest.raises(CapsuleError, match=r"line 2 of the trace is none: .*a key is there twice"):
        parse(b"".join(lines), "trace")


def test_too_many_events_are_refused_before_they_are_read() -> None:
    with pytest.raises(CapsuleError, match="more than 65,536 events"):
        parse(recorded().data() + b"\n" * (events.MOST_EVENTS + 3), "trace")


def test_a_newer_trace_says_so() -> None:
    recorder = recorded()
    recorder.head = {"schema": 2}
    with pytest.raises(CapsuleError, match="newer kshs"):
        recorder.trace()


@given(st.binary(max_size=300))
def test_no_bytes_make_anything_but_a_refusal(data: bytes) -> None:
    with pytest.raises(CapsuleError):
        parse(data, "trace")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(events.Event.model_fields)), _JSON)
def test_no_value_of_a_key_makes_anything_but_a_refusal_or_an_event(key: str, value: Any) -> None:
    recorder = recorded()
    recorder.events[1][key] = value
    data = recorder.data()
    json.loads(data.splitlines()[2])
    try:
        parse(data, "trace")
    except CapsuleError as error:
        assert "trace" in str(error)
