# SPDX-License-Identifier: Apache-2.0
"""The numbers of a status block agree with its words, whatever came."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from drivers.abi import load
from harness.agent.frames import Record
from harness.agent.status_block import Outcome, StatusBlock

C = load().constants
DWORD = st.integers(0, 0xFFFFFFFF)
QWORD = st.integers(0, (1 << 64) - 1)


NARROW = (
    *("detail", "flags", "returned", "status", "completions", "irql_after", "repeats"),
    *("changed_bytes", "changed_first", "changed_last"),
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    numbers = {name: draw(DWORD) for name in NARROW}
    wide = {name: draw(QWORD) for name in ("information", "begin_ns", "duration_ns", "thread")}
    outcome = draw(st.sampled_from([C[f"KSHS_OUTCOME_{item.name}"] for item in Outcome]))
    data = draw(st.binary(max_size=48))
    return Record(seq=1, op=C["KSHS_OP_REQUEST"], outcome=outcome, data=data, **numbers, **wide)


def number_in(text: object) -> int | None:
    found = re.search(r"0x([0-9A-Fa-f]+)", str(text))
    return int(found[1], 16) if found else None


@given(records(), st.sampled_from([4, 8]))
def test_numbers_agree_with_the_words(record: Record, pointer_size: int) -> None:
    block = StatusBlock.from_record(record, pointer_size=pointer_size)
    said = block.as_dict()
    numbers = said["numbers"]
    assert json.loads(json.dumps(said))["numbers"] == numbers
    assert all(value is None or type(value) is int for value in numbers.values())
    for name in ("answer", "returned", "status"):
        assert numbers[name] == number_in(said[name]), name
    assert numbers["information"] == (None if said["information"] == "untouched" else said["information"])
    for name in ("pending", "pending_returned", "guards_intact", "input_intact"):
        assert numbers[name] == (None if said[name] is None else int(said[name])), name
    for name in ("completions", "irql_after", "changed_bytes", "changed_first", "changed_last", "repeats"):
        assert numbers[name] == said[name], name
    for name in ("argument1", "argument2"):
        handshake = said["handshake"]
        assert numbers[name] == (None if handshake is None else int(handshake[name], 16)), name
    assert not {"begin_ns", "duration_ns", "thread"} & numbers.keys(), "they differ from run to run"
