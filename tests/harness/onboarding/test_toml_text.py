# SPDX-License-Identifier: Apache-2.0
"""Formats become keys that are read as the very same bytes; texts of a guest become harmless ones."""

from __future__ import annotations

import tomllib
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.language.format_blocks import FORMS
from harness.language.model.format import Format
from harness.language.toml_literal import comment, literal
from harness.onboarding.known_guids import NAMES, name_of, shown
from harness.onboarding.toml_text import format_lines

KINDS = {"major": str(uuid.UUID(int=5)), "sub": str(uuid.UUID(int=6))}
VIDEOINFO = NAMES["KSDATAFORMAT_SPECIFIER_VIDEOINFO"]
VIDEO = {"AvgTimePerFrame": 333333, "bmiHeader": {"biWidth": 320, "biHeight": -240, "biBitCount": 24}}
YUY2 = {"bmiHeader": {"biWidth": 64, "biHeight": 48, "biBitCount": 16, "biCompression": "YUY2"}}
WAVE = {"nChannels": 2, "nSamplesPerSec": 48000, "wBitsPerSample": 16}


def again(item: Format, prefix: str = "") -> Format:
    """What a file with these lines says."""
    return Format.model_validate(tomllib.loads("\n".join(format_lines(item, prefix))))


@pytest.mark.parametrize(
    ("said", "least"),
    [
        ({"videoinfoheader": VIDEO}, 4),
        ({"videoinfoheader2": {**VIDEO, "rcSource": [0, 0, 320, 240]}}, 6),
        ({"videoinfoheader": YUY2}, 4),
        ({"waveformatex": WAVE}, 3),
        ({"waveformatextensible": WAVE}, 3),
        ({"waveformatex": {**WAVE, "nBlockAlign": 3}}, 4),
        ({"waveformatex": WAVE, "sample_size": 0}, 4),
        (KINDS, 2),
        ({**KINDS, "flags": 1, "block": "00ff"}, 4),
        # A block that only looks like a structure: too short for one, or with more behind it.
        ({**KINDS, "specifier": VIDEOINFO, "block": "01"}, 4),
        ({**KINDS, "specifier": VIDEOINFO, "block": "01" * 200}, 4),
    ],
)  # fmt: skip
def test_the_lines_are_read_as_the_same_bytes_and_say_no_more_than_needed(said: Any, least: int) -> None:
    item = Format.model_validate(said)
    assert again(item).pack() == item.pack()
    assert len(format_lines(item, "")) == least


@given(st.sampled_from(sorted(FORMS)), st.binary(max_size=400), st.integers(0, 0xFFFFFFFF), st.uuids())
def test_any_format_of_a_driver_is_said(form: str, block: bytes, sample_size: int, sub: uuid.UUID) -> None:
    specifier = FORMS[form].specifier or sub
    item = Format(
        major=uuid.UUID(int=1),
        sub=sub,
        specifier=specifier,
        sample_size=sample_size,
        block=block,
        block_file=None,
    )
    assert again(item).pack() == item.pack()
    lines = tomllib.loads("\n".join(format_lines(item, "format.")))
    assert Format.model_validate(lines["format"]).pack() == item.pack()


def test_guids_are_named() -> None:
    lines = format_lines(Format.model_validate({"waveformatex": WAVE, "major": str(uuid.UUID(int=5))}), "")
    assert lines[0] == 'major = "00000000-0000-0000-0000-000000000005"'
    assert shown(uuid.UUID("32595559-0000-0010-8000-00aa00389b71")) == "YUY2"
    assert shown(uuid.UUID("00000001-0000-0010-8000-00aa00389b71")) == "PCM"
    assert shown(uuid.UUID("000000ff-0000-0010-8000-00aa00389b71")) == "wave format 0xff"
    assert shown(uuid.UUID("dff21be1-f70f-11d0-b917-00a0c9223196")) == "KSNODETYPE_MICROPHONE"
    assert shown(uuid.UUID(int=0)) == "any"
    assert name_of(uuid.UUID(int=9)) is None


@given(st.text())
def test_any_text_is_a_comment_of_one_line_and_a_value(text: str) -> None:
    line = comment(text)
    assert line.isprintable() and line.startswith("# ")
    assert tomllib.loads(f"a = 1 {line}\n") == {"a": 1}


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_is_a_value(text: str) -> None:
    assert tomllib.loads(f"a = {literal(text)}") == {"a": text}


def test_values_of_other_kinds() -> None:
    table = {"a": True, "b": [1, -2], "c": {"d": "x"}, "e": 1 << 63}
    assert tomllib.loads(f"v = {literal(table)}")["v"] == {**table, "e": hex(1 << 63)}
    assert literal(r"Root\X") == r"'Root\X'"


@pytest.mark.component
def test_the_names_are_those_of_the_headers() -> None:
    """mingw-w64's, which are public domain; USB terminals and FOURCCs have macros of their own there."""
    import re

    text = "".join(
        Path("/usr/share/mingw-w64/include", name).read_text(errors="replace")
        for name in ("ks.h", "ksmedia.h")
    )
    numbers = r"((?:0x[0-9a-fA-F]+L?\s*,\s*){10}0x[0-9a-fA-F]+)"
    there = {}
    for name, said in re.findall(rf"#define STATIC_(\w+)\s*\\?\s*\n?\s*{numbers}", text):
        parts = [int(part.strip().rstrip("L"), 16) for part in said.split(",")]
        there[name] = uuid.UUID(fields=(*parts[:5], int.from_bytes(bytes(parts[5:]), "big")))  # type: ignore[arg-type]
    assert {name: str(there.get(name)) for name in NAMES} == dict(NAMES)
