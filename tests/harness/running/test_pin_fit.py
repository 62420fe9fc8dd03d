# SPDX-License-Identifier: Apache-2.0
"""What a pin offers against what it was asked for: the field that does not fit is named, nothing else."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest

from harness.agent.pin_facts import PinFacts, data_ranges, parse_format
from harness.language.format_blocks import make
from harness.language.model.format import STANDARD_INTERFACE, STANDARD_MEDIUM, Format, Identifier
from harness.running.pin_fit import mismatches

MAJOR, SUB, OTHER = (uuid.UUID(int=number) for number in (1, 2, 3))
ANY = uuid.UUID(int=0)


def format_of(**more: Any) -> Format:
    said = {"major": str(MAJOR), "sub": str(SUB), **{key: str(value) for key, value in more.items()}}
    return Format.model_validate(said)


FORMAT = format_of()
FACTS = PinFacts(
    id=0,
    flow="out",
    communication="both",
    possible=2,
    current=0,
    interfaces=(STANDARD_INTERFACE,),
    mediums=(STANDARD_MEDIUM,),
    ranges=(FORMAT,),
    intersections=(FORMAT,),
)


def told(facts: PinFacts = FACTS, asked: Format = FORMAT, **more: Any) -> list[str]:
    interface = more.pop("interface", STANDARD_INTERFACE)
    return mismatches(facts, asked, interface, more.pop("medium", STANDARD_MEDIUM), **more)


def test_what_fits_is_not_told() -> None:
    assert told() == []
    assert (
        told(replace(FACTS, ranges=(), intersections=(), interfaces=(), mediums=(), communication=None)) == []
    )


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (format_of(major=OTHER), "format.major"),
        (format_of(sub=OTHER), "format.sub"),
        (format_of(specifier=OTHER), "format.specifier"),
    ],
)
def test_the_guid_that_does_not_fit_is_named_with_both_values(asked: Format, field: str) -> None:
    facts = replace(FACTS, ranges=(format_of(specifier=SUB),), intersections=(None,))
    if field != "format.specifier":
        facts = FACTS
    (line,) = told(facts, asked)
    assert line.startswith(f"{field}: asked for {OTHER}, the pin's ranges have ")


def test_wildcards_fit_everything() -> None:
    anything = Format.model_validate({"major": str(ANY), "sub": str(ANY)})
    assert told(replace(FACTS, ranges=(anything,), intersections=(None,)), format_of(major=OTHER)) == []


def test_the_nearest_range_is_compared() -> None:
    facts = replace(FACTS, ranges=(format_of(major=OTHER), FORMAT), intersections=(None, None))
    (line,) = told(facts, format_of(sub=OTHER))
    assert line.startswith("format.sub:"), "the range with the right major format counts"


def test_fields_of_the_block_are_compared_with_what_the_filter_makes() -> None:
    header = {"bmiHeader": {"biWidth": 320, "biHeight": 240, "biBitCount": 24}}
    ours = Format.model_validate({"videoinfoheader": header})
    made = make("videoinfoheader", {"bmiHeader": {**header["bmiHeader"], "biWidth": 160}})
    theirs = ours.model_copy(update={"block": made.data})
    lines = told(replace(FACTS, ranges=(theirs,), intersections=(theirs,)), ours)
    assert "format.videoinfoheader.bmiHeader.biWidth: asked for 320, the filter itself makes 160" in lines
    assert [line.split(":")[0].split(".")[-1] for line in lines] == ["biWidth", "biSizeImage"]
    short = ours.model_copy(update={"block": b""})
    assert any(
        "0 bytes were sent" in line
        for line in told(replace(FACTS, ranges=(theirs,), intersections=(theirs,)), short)
    )


def test_interface_medium_instances_and_communication() -> None:
    odd = Identifier(set=OTHER, id=7)
    assert told(interface=odd)[0].startswith(f"interface: asked for {OTHER} id 7, the pin has ")
    assert told(medium=odd)[0].startswith("medium: asked for")
    assert told(replace(FACTS, current=2)) == ["instances: 2 of 2 are open"]
    assert "cannot be opened by itself" in told(replace(FACTS, communication="source"))[0]
    assert (
        "cannot be connected to another pin" in told(replace(FACTS, communication="sink"), connected=True)[0]
    )


def test_ranges_are_read_one_after_another_and_attributes_are_passed_over() -> None:
    first = Format.model_validate({"datarange_audio": {"MaximumChannels": 2}, "sub": str(SUB)})
    attributed = FORMAT.model_copy(update={"flags": 2, "block": b"abc"})
    packed = b""
    for part in (first.pack(), attributed.pack(), (24).to_bytes(4, "little") + bytes(20), FORMAT.pack()):
        packed += part + bytes(-len(part) % 8)
    found = list(data_ranges(packed, 4))
    assert [item.pack() for item in found] == [first.pack(), attributed.pack(), FORMAT.pack()]


@pytest.mark.parametrize("cut", [0, 1, 63])
def test_a_torn_range_is_told(cut: int) -> None:
    with pytest.raises(ValueError):
        parse_format(FORMAT.pack()[:cut])
    with pytest.raises(ValueError, match="FormatSize is"):
        parse_format((2**31).to_bytes(4, "little") + FORMAT.pack()[4:])


def test_a_format_says_its_block_in_one_way_only() -> None:
    with pytest.raises(ValueError, match="both say what follows"):
        Format.model_validate(
            {"major": str(MAJOR), "sub": str(SUB), "block": "00", "waveformatex": {"nChannels": 1}}
        )
    with pytest.raises(ValueError, match="the key 'sub' is missing"):
        Format.model_validate({"major": str(MAJOR)})
    with pytest.raises(ValueError, match="no field 'biWidht'"):
        Format.model_validate({"videoinfoheader": {"bmiHeader": {"biWidht": 1}}})
    assert (
        Format.model_validate({"major": str(MAJOR), "sub": str(SUB), "block": "0a 0b"}).block == b"\x0a\x0b"
    )
