# SPDX-License-Identifier: Apache-2.0
"""Format blocks by name: layouts as ksmedia.h and mmreg.h have them, derived fields, errors."""

from __future__ import annotations

import functools
import struct
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.language.format_blocks import FORMS, BlockError, form_of, json_schema, make, read

VIDEO = {"bmiHeader": {"biWidth": 320, "biHeight": -240, "biBitCount": 16, "biCompression": "YUY2"}}


@pytest.mark.parametrize(
    ("form", "size"),
    [  # sizeof of the structure with a KSDATAFORMAT in front, less those 64 bytes
        ("videoinfoheader", 88),
        ("videoinfoheader2", 112),
        ("waveformatex", 18),
        ("waveformatextensible", 40),
        ("datarange_video", 232),
        ("datarange_video2", 256),
        ("datarange_audio", 24),
        ("datarange_music", 32),
    ],
)
def test_a_block_is_as_long_as_its_structure(form: str, size: int) -> None:
    assert len(make(form, {}).data) == size
    assert set(FORMS) >= {form}


def test_the_header_of_a_video_range_stands_where_c_puts_it() -> None:
    data = make("datarange_video", {"VideoInfoHeader": {"dwBitRate": 0x11223344}}).data
    assert struct.unpack_from("<I", data, 208 - 64 + 32) == (0x11223344,)


def test_what_the_other_fields_leave_no_choice_about() -> None:
    block = make("videoinfoheader", VIDEO)
    fields = read("videoinfoheader", block.data)
    assert fields is not None
    assert (fields["bmiHeader.biSize"], fields["bmiHeader.biPlanes"]) == (40, 1)
    assert fields["bmiHeader.biSizeImage"] == block.sample_size == 320 * 240 * 2
    assert block.sub == uuid.UUID("32595559-0000-0010-8000-00aa00389b71")
    wave = make("waveformatextensible", {"nChannels": 2, "nSamplesPerSec": 48000, "wBitsPerSample": 16})
    fields = read("waveformatextensible", wave.data)
    assert fields is not None
    assert (fields["wFormatTag"], fields["nBlockAlign"], fields["nAvgBytesPerSec"]) == (0xFFFE, 4, 192_000)
    assert (fields["cbSize"], fields["dwChannelMask"], wave.sample_size) == (22, 3, 4)


def test_what_was_said_stays_as_it_was_said() -> None:
    said = {"nChannels": 2, "wBitsPerSample": 16, "nBlockAlign": 3, "nAvgBytesPerSec": 7, "wFormatTag": 0}
    fields = read("waveformatex", make("waveformatex", said).data)
    assert fields is not None
    assert said.items() <= fields.items()


@pytest.mark.parametrize(("bits", "row"), [(1, 4), (8, 12), (24, 28), (32, 36)], ids=lambda value: str(value))
def test_rows_of_a_bitmap_end_at_four_bytes(bits: int, row: int) -> None:
    block = make("videoinfoheader", {"bmiHeader": {"biWidth": 9, "biHeight": 5, "biBitCount": bits}})
    assert block.sample_size == row * 5


@pytest.mark.parametrize(
    ("fields", "path", "says"),
    [
        ({"bmiHeader": {"biWidht": 1}}, ("bmiHeader", "biWidht"), "no field"),
        ({"dwBitRate": -1}, ("dwBitRate",), "does not fit: 0 to 4294967295"),
        ({"bmiHeader": {"biPlanes": 1 << 16}}, ("bmiHeader", "biPlanes"), "does not fit"),
        ({"rcSource": [1, 2, 3]}, ("rcSource",), "a list of 4: left, top, right, bottom"),
        ({"bmiHeader": {"biWidth": "wide"}}, ("bmiHeader", "biWidth"), "no number"),
        ({"bmiHeader": {"biWidth": True}}, ("bmiHeader", "biWidth"), "no whole number"),
        ({"bmiHeader": {"biWidth": 1.5}}, ("bmiHeader", "biWidth"), "no whole number"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], path: tuple[str, ...], says: str) -> None:
    with pytest.raises(BlockError, match=says) as caught:
        make("videoinfoheader", fields)
    assert caught.value.path == path


def test_a_misspelt_field_has_its_neighbour_as_hint() -> None:
    with pytest.raises(BlockError) as caught:
        make("waveformatex", {"nChanels": 2})
    assert caught.value.hint == "did you mean 'nChannels'?"


def test_guids_and_short_blocks() -> None:
    with pytest.raises(BlockError, match="no GUID"):
        make("waveformatextensible", {"SubFormat": "pcm"})
    assert read("videoinfoheader", b"\0" * 87) is None
    specifier = uuid.UUID("05589f81-c356-11ce-bf01-00aa0055595a")
    assert form_of(specifier, make("waveformatex", {}).data) == "waveformatex"
    assert form_of(specifier, make("waveformatextensible", {}).data) == "waveformatextensible"
    assert form_of(uuid.UUID(int=0), b"") is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@functools.cache
def tables(form: str) -> st.SearchStrategy[dict[str, Any]]:
    """Made once a form: that takes longer than to draw from it."""
    known = list(json_schema(form)["properties"])
    return st.dictionaries(st.sampled_from(known) | st.text(max_size=4), VALUES, max_size=4)


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
def test_any_fields_give_a_block_or_an_error_of_ours(form: str, data: st.DataObject) -> None:
    try:
        block = make(form, data.draw(tables(form)))
    except BlockError:
        return
    assert read(form, block.data) is not None
