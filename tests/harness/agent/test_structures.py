# SPDX-License-Identifier: Apache-2.0
"""Packing by `struct` must give what cstruct gives: the header is the one definition of the layout."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.abi import load, parse
from harness.agent.structures import StructCodec, codec

ABI = load()


@pytest.mark.parametrize("name", ABI.structures)
@given(data=st.data())
def test_every_structure_reads_as_cstruct_reads_it(name: str, data: Any) -> None:
    structure = getattr(ABI.cs, name)
    ours = codec(structure)
    raw = data.draw(st.binary(min_size=len(structure), max_size=len(structure)))
    read, expected = ours.unpack(raw), structure(raw)
    for member in ours.names:
        theirs = getattr(expected, member)
        assert getattr(read, member) == (int(theirs) if isinstance(theirs, int) else _bytes(theirs))
    assert ours.pack(**read._asdict()) == raw


def _bytes(value: Any) -> bytes:
    return bytes(value.dumps())


def test_what_is_left_out_is_zero_and_nothing_else_is_taken() -> None:
    frame = codec(ABI.cs.kshs_frame)
    assert frame.pack(seq=7) == bytes(8) + (7).to_bytes(4, "little") + bytes(4)
    assert codec(ABI.cs.kshs_frame) is frame
    with pytest.raises(KeyError, match="sequence"):
        frame.pack(sequence=7)
    with pytest.raises(struct.error):
        frame.pack(seq=1 << 32)


def test_a_signed_member_is_refused() -> None:
    abi = parse("#define KSHS_ABI_VERSION 1\ntypedef struct odd {\n    int32_t a;\n} odd;\n")
    with pytest.raises(ValueError, match=r"odd\.a is not an unsigned number"):
        StructCodec(abi.cs.odd)
