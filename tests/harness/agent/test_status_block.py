# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.abi import load as load_abi
from harness import ntstatus
from harness.agent.frames import Record
from harness.agent.status_block import Outcome, RecordFlag, StatusBlock
from harness.contract.handshake_data import HandshakeData
from tests.harness.blocks import POISON, VISIBLE, block

C = load_abi().constants


def test_flags_and_outcomes_are_those_of_the_abi() -> None:
    flags = {
        name.removeprefix("KSHS_REC_"): value for name, value in C.items() if name.startswith("KSHS_REC_")
    }
    assert {flag.name: flag.value for flag in RecordFlag} == flags
    outcomes = {name: value for name, value in C.items() if name.startswith("KSHS_OUTCOME_")}
    assert {f"KSHS_OUTCOME_{item.name}": index for index, item in enumerate(Outcome)} == outcomes


dwords = st.integers(0, 0xFFFFFFFF)
quads = st.integers(0, 2**64 - 1)
records = st.builds(
    Record,
    seq=dwords, op=dwords, outcome=st.integers(0, 5), detail=dwords, flags=dwords, returned=dwords,
    status=dwords, completions=dwords, information=quads, changed_bytes=dwords,
    changed_first=dwords, changed_last=dwords,
    irql_after=dwords, begin_ns=quads, duration_ns=quads, thread=quads, repeats=dwords,
    data=st.binary(max_size=256),
)  # fmt: skip


@given(records, st.sampled_from([4, 8]))
def test_any_record_becomes_plain_json(record: Record, pointer_size: int) -> None:
    made = StatusBlock.from_record(record, pointer_size=pointer_size)
    plain = made.as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert made.answer == (record.status if record.flags & C["KSHS_REC_STATUS_WRITTEN"] else record.returned)


def test_an_outcome_beyond_the_abi_is_refused() -> None:
    values = dict.fromkeys(Record.__dataclass_fields__, 0) | {"outcome": 6, "data": b""}
    with pytest.raises(ValueError, match="outcome 6"):
        StatusBlock.from_record(Record(**values))  # type: ignore[arg-type]


def test_untouched_hidden_and_written_are_three_things() -> None:
    written = block().as_dict()
    assert (written["status"], written["information"]) == ("STATUS_SUCCESS (0x00000000)", 32)
    flags = VISIBLE & ~(RecordFlag.STATUS_WRITTEN | RecordFlag.INFO_WRITTEN)
    untouched = block(flags=flags, raw_status=POISON).as_dict()
    assert (untouched["status"], untouched["information"]) == ("untouched", "untouched")
    hidden = block(flags=flags & ~RecordFlag.IOSB_VISIBLE).as_dict()
    assert (hidden["status"], hidden["information"]) == (None, None)


NOTHING = {"returned": POISON, "raw_status": POISON, "raw_information": C["KSHS_POISON_INFORMATION"]}
#: What is said of the answer, and so of a request that was answered alone.
OF_THE_ANSWER = (
    "answer",
    "status",
    "information",
    "completions",
    "signalled",
    "pending_returned",
    "input_intact",
)


@pytest.mark.parametrize("outcome", [item for item in Outcome if item is not Outcome.DONE])
def test_what_the_guest_never_wrote_is_no_value(outcome: Outcome) -> None:
    bare = block(outcome=outcome, flags=RecordFlag(0), output=b"", completions=0, detail=0x102, **NOTHING)
    plain = bare.as_dict()
    assert [plain[key] for key in (*OF_THE_ANSWER, "returned", "pending", "irql_after")] == [None] * 10
    assert "DEADF00D" not in json.dumps(plain).upper()


def test_of_a_request_that_hung_it_is_known_whether_the_call_was_back() -> None:
    pended = {**NOTHING, "returned": ntstatus.PENDING}
    plain = block(outcome=Outcome.HUNG, flags=RecordFlag.PENDING, output=b"", **pended).as_dict()
    assert (plain["returned"], plain["pending"]) == ("STATUS_PENDING (0x00000103)", True)
    assert [plain[key] for key in OF_THE_ANSWER] == [None] * 7


def test_what_a_refused_step_was_not_asked_is_not_told() -> None:
    # The agent prepares some of its own records with a success before it looks at the step.
    assert block(outcome=Outcome.REFUSED, returned=0, detail=0xC000000E).as_dict()["returned"] is None


def test_the_output_is_decoded_for_both_pointer_sizes() -> None:
    sent = HandshakeData(uuid.uuid4(), 0x11223344, 0x55667788)
    for pointer_size in (4, 8):
        made = block(output=sent.pack(pointer_size), pointer_size=pointer_size)
        assert made.handshake == sent
    assert block(output=b"short").handshake is None
    assert block(flags=VISIBLE & ~RecordFlag.OUT_VISIBLE).guards is None
