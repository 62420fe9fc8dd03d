# SPDX-License-Identifier: Apache-2.0
"""What a trace shows beside handshakes: what the sample's callbacks had seen, and private properties."""

from __future__ import annotations

from typing import Any

import pytest

from drivers import abi
from harness.capsule.agreement import differences
from harness.capsule.seen import Seen, of_result
from harness.capsule.traced.importing import scenario_of
from harness.errors import UsageError
from tests.harness.capsule.traced.test_importing import loaded
from tests.harness.capsule.traced.traces import Recorder


def own_property(
    recorder: Recorder, name: str, *, answer: bytes = b"", value: bytes = b"", **keys: Any
) -> None:
    """A property of the sample's own set, about pin 0."""
    constants = abi.load().constants
    recorder.add(
        "property",
        object="o9",
        set=str(abi.load().guids["KSPROPSETID_Kshs"]),
        id=constants[f"KSHS_PROP_{name}"],
        type="0x2" if value else "0x1",
        instance="" if value else bytes(4).hex(),
        in_length=24 if value else 28,
        out_length=len(value or answer),
        **({"value": value.hex()} if value else {"answer": answer.hex()}),
        **keys,
    )


def seen(**fields: int) -> bytes:
    buffers = {"in_pointer": 0x1000, "out_pointer": 0x2000}
    return bytes(abi.load().cs.kshs_seen(**{"pin_id": 0, "opened": 1, **buffers, **fields}).dumps())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"count": 2, "finished": 2}, "count is 2, expected 1"),
        ({"count": 0}, "count is 0, expected 1"),
        ({"count": 1, "after_close": 1}, "after_close is 1, expected 0"),
        ({"count": 1, "device_state": 3}, "device_state"),
        ({"count": 1, "shared": 1}, "aliased"),
        ({"count": 1}, None),
    ],
)
def test_what_a_callback_had_seen_is_judged(fields: dict[str, int], reason: str | None) -> None:
    recorder = Recorder()
    recorder.add("open", object="o9", name="")
    own_property(recorder, "RESET", value=bytes(4))
    recorder.pin()
    recorder.handshake(one=1)
    own_property(recorder, "SEEN", answer=seen(**fields))
    found = scenario_of(recorder.trace(), loaded(), "x")
    assert found.failed is (reason is not None), found.result.reason
    assert (reason or "") in (found.result.reason or "")
    looks = [step for step in found.scenario.steps if step.do == "seen"]
    assert len(looks) == (reason is not None), "what was right is not asked again"


def closed_pins(recorder: Recorder, *, closes: bool = True) -> None:
    """Two instances of a pin, of which one is asked and closed."""
    recorder.add("open", object="o9", name="")
    own_property(recorder, "RESET", value=bytes(4))
    recorder.pin()
    recorder.pin("o2")
    recorder.handshake(one=1)
    recorder.add("cleanup", object="o1")
    if closes:
        recorder.add("close", object="o1")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"opened": 2, "closed": 1}, None),
        ({"opened": 2, "closed": 0}, "closed is 0, expected 1"),
        ({"opened": 2, "closed": 2}, "closed is 2, expected 1"),
        ({"opened": 1, "closed": 1}, "opened is 1, expected 2"),
    ],
)
def test_what_a_pin_had_seen_of_its_instances_is_judged(fields: dict[str, int], reason: str | None) -> None:
    recorder = Recorder()
    closed_pins(recorder)
    own_property(recorder, "SEEN", answer=seen(count=1, **fields))
    found = scenario_of(recorder.trace(), loaded(), "x")
    assert found.failed is (reason is not None) and (reason or "") in (found.result.reason or "")
    looks = [step for step in found.scenario.steps if step.do == "seen"]
    assert [(step.expect.opened, step.expect.closed) for step in looks] == [("asked", "asked")] * found.failed


def test_of_what_the_trace_does_not_show_to_its_end_nothing_is_said() -> None:
    """A close that the driver has not seen yet; objects from before; events that were overwritten."""
    recorder = Recorder()
    closed_pins(recorder, closes=False)
    own_property(recorder, "SEEN", answer=seen(count=1, opened=2, closed=0))
    assert not scenario_of(recorder.trace(), loaded(), "x").failed
    for event in ({"object": "o7"}, None):
        recorder = Recorder()
        closed_pins(recorder)
        if event is not None:
            recorder.add("close", **event)
        else:
            recorder.head["overwritten"] = 3
        own_property(recorder, "SEEN", answer=seen(count=1, opened=9, closed=9))
        assert not scenario_of(recorder.trace(), loaded(), "x").failed


def test_instances_are_counted_from_the_last_reset_on() -> None:
    recorder = Recorder()
    recorder.add("open", object="o9", name="")
    recorder.pin()
    own_property(recorder, "RESET", value=bytes(4))
    recorder.pin("o2")
    recorder.handshake(one=1)
    own_property(recorder, "SEEN", answer=seen(count=1, opened=1))
    found = scenario_of(recorder.trace(), loaded(), "x")
    assert not found.failed, found.result.reason
    assert [step.do for step in found.scenario.steps] == ["open_pin", "reset", "open_pin", "handshake"]


@pytest.mark.parametrize("right", [True, False])
def test_a_question_that_was_answered_later(right: bool) -> None:
    """Without any handshake: that the answer has arrived is what is judged."""
    recorder = Recorder()
    recorder.add("open", object="o9", name="")
    own_property(recorder, "RESET", value=bytes(4))
    answer = seen(opened=0, in_pointer=0, out_pointer=0)
    said = {"pending": True, "returned": "0x103", "information": hex(len(answer)), "marked_pending": True}
    own_property(recorder, "SEEN_LATER", answer=answer if right else b"\xcc" * len(answer), **said)
    if right:
        with pytest.raises(UsageError, match="nothing in the trace can be played"):
            scenario_of(recorder.trace(), loaded(), "x")
        return
    found = scenario_of(recorder.trace(), loaded(), "x")
    assert found.failed and "count is 3435973836, expected 0" in (found.result.reason or "")
    (look,) = found.scenario.steps
    assert (look.do, look.later, look.pin) == ("seen", True, "source")


def test_what_a_private_property_gave_is_kept_to_be_compared() -> None:
    recorder = Recorder()
    recorder.pin()
    private = "6b2f7a00-0000-4c0e-9e1b-0b9c1b7d5a01"
    for status, answer in (("0x0", "01020304"), ("0x80000005", "01")):
        recorder.add(
            "property", object="o1", set=private, id=1, type="0x1", in_length=24, out_length=4,
            status=status, returned=status, information="0x4", answer=answer,
        )  # fmt: skip
    recorder.handshake(one=1)
    found = scenario_of(recorder.trace(), loaded(), "x")
    assert not found.failed, found.result.reason
    then = of_result(found.result)
    assert [step["status_block"]["output"] for step in then.steps[1:3]] == ["01020304", "01"]
    assert getattr(found.scenario.steps[2], "expect", None) == "record", "a warning is no success"

    def now(data: str) -> Seen:
        steps = [dict(step) for step in then.steps]
        steps[1]["status_block"] = {**steps[1]["status_block"], "output": data}
        return Seen({}, {}, then.scenario, tuple(steps))

    assert list(differences(then, now("0102030405"))) == [], "of long data the trace has the begin"
    (found_one,) = differences(then, now("01020305"))
    assert (found_one.field, found_one.then, found_one.now) == ("data", "01020304", "01020305")


def test_of_a_callback_that_was_not_reset_nothing_is_said() -> None:
    recorder = Recorder()
    recorder.add("open", object="o9", name="")
    recorder.pin()
    recorder.handshake(one=1)
    own_property(recorder, "SEEN", answer=seen(count=77))
    assert not scenario_of(recorder.trace(), loaded(), "x").failed
