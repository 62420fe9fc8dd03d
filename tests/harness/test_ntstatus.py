# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import ntstatus


def test_names_are_for_people() -> None:
    assert ntstatus.name(0xC0000206) == "STATUS_INVALID_BUFFER_SIZE (0xC0000206)"
    assert ntstatus.name(0) == "STATUS_SUCCESS (0x00000000)"
    assert ntstatus.name(0xDEADF00D) == "0xDEADF00D"
    assert ntstatus.name(-1073741808) == "STATUS_INVALID_DEVICE_REQUEST (0xC0000010)"


@pytest.mark.parametrize(
    "text", ["STATUS_INVALID_DEVICE_REQUEST", "invalid_device_request", "0xc0000010", 0xC0000010, -1073741808]
)
def test_values_in_every_spelling(text: str | int) -> None:
    assert ntstatus.value(text) == ntstatus.INVALID_DEVICE_REQUEST


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean STATUS_INVALID_BUFFER_SIZE"):
        ntstatus.value("STATUS_INVALID_BUFER_SIZE")
    with pytest.raises(ValueError, match="32 bits"):
        ntstatus.value("0x1C0000010")


def test_the_table_is_comprehensive_and_the_constants_are_in_it() -> None:
    assert len(ntstatus._values()) > 1500
    assert ntstatus.value("PENDING") == ntstatus.PENDING
    assert ntstatus.value("CANCELLED") == ntstatus.CANCELLED
    assert ntstatus.value("INVALID_PARAMETER") == ntstatus.INVALID_PARAMETER
    assert ntstatus.value("INVALID_BUFFER_SIZE") == ntstatus.INVALID_BUFFER_SIZE


def test_severities() -> None:
    assert ntstatus.is_success(0x40000000)
    assert not ntstatus.is_success(0x80000005)
    assert not ntstatus.is_error(0x80000005)
    assert ntstatus.is_error(0xC0000010)


@given(st.integers(0, 0xFFFFFFFF))
def test_every_value_has_a_text_that_ends_with_its_number(value: int) -> None:
    assert f"0x{value:08X}" in ntstatus.name(value)
    known = ntstatus.symbol(value)
    assert known is None or ntstatus.value(known) == value


def test_a_header_is_read() -> None:
    text = "#define STATUS_A ((NTSTATUS)0x00000001L)\n#define STATUS_B 3\n"
    text += "#define STATUS_C ((NTSTATUS) 0xC0000001)\n"
    assert ntstatus.read_header(text) == {"STATUS_A": 1, "STATUS_C": 0xC0000001}
