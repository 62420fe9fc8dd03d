# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers import abi, toolchain
from drivers.errors import AbiMismatch

LAYOUT = abi.load().layout_text()


def test_constants_and_guids_are_those_of_the_header() -> None:
    loaded = abi.load()
    assert loaded.version == loaded.constants["KSHS_ABI_VERSION"]
    assert loaded.constants["KSHS_POISON_INFORMATION"] == 0xDEADF00DDEADF00D
    assert loaded.constants["IOCTL_KSHS_STEP"] == 0x80002000
    assert loaded.guids["KSHS_PROTOCOL_A"] == uuid.UUID("6B2F7A12-52D3-4C0E-9E1B-0B9C1B7D5A01")
    assert loaded is abi.load()


def test_structures_survive_a_round_trip() -> None:
    cs = abi.load().cs
    step = cs.kshs_step(size=len(cs.kshs_step), op=5, in_length=32, guid=cs.kshs_guid(data1=7))
    again = cs.kshs_step(bytes(step))
    assert (again.op, again.in_length, again.guid.data1) == (5, 32, 7)
    assert len(bytes(step)) == len(cs.kshs_step)


@pytest.mark.component
def test_layout_is_what_the_compiler_makes_of_the_header(tmp_path: Path) -> None:
    checks = ["#include <stddef.h>", "#include <stdint.h>", '#include "kshs_abi.h"']
    for line in LAYOUT.splitlines():
        name, size, *members = line.split(" ")
        checks.append(f'_Static_assert(sizeof({name}) == {size}, "{name}");')
        for member, offset in (entry.split(":") for entry in members):
            checks.append(f'_Static_assert(offsetof({name}, {member}) == {offset}, "{name}.{member}");')
    source = tmp_path / "check.c"
    source.write_text("\n".join(checks) + "\n", encoding="utf-8")
    clang = str(toolchain.find_program("clang", "clang"))
    command = [clang, f"-I{abi.HEADER.parent}", "-ffreestanding", "-fsyntax-only", str(source)]
    for target in (toolchain.TARGET, "i686-w64-mingw32"):
        done = subprocess.run([*command, f"--target={target}"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_no_difference_to_itself() -> None:
    assert abi.load().difference(LAYOUT) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("kshs_frame 16", "kshs_frame 20"), "kshs_frame has 16 bytes here, '20' there"),
        (("seq:8", "seq:12"), "kshs_frame: seq:8 expected, the other side has 'seq:12'"),
        ((" length:12", ""), "kshs_frame: length:12 expected, the other side ends before it"),
        (("kshs_hello ", "kshs_hallo "), "structure kshs_hello expected, found 'kshs_hallo'"),
    ],
)
def test_first_difference_is_named(change: tuple[str, str], told: str) -> None:
    assert abi.load().difference(LAYOUT.replace(*change, 1)) == told


def test_missing_and_additional_structures_are_named() -> None:
    loaded = abi.load()
    assert loaded.difference("") == "structure kshs_frame is missing there"
    assert loaded.difference(LAYOUT + "kshs_more 4 x:0\n") == "structure 'kshs_more' exists only there"


@example("\U0001f600" * 60)
@given(st.text())
def test_any_other_text_is_a_difference(text: str) -> None:
    found = abi.load().difference(text)
    assert (found is None) == (text == LAYOUT)
    assert found is None or (found.isprintable() and len(found) < 300)


@given(st.data())
def test_every_single_change_is_found(data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(LAYOUT) - 1))
    changed = LAYOUT[:position] + data.draw(st.sampled_from("x0 :\n")) + LAYOUT[position + 1 :]
    assert (abi.load().difference(changed) is None) == (changed == LAYOUT)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("typedef struct a { uint32_t x; uint64_t y; } a;", "a: 4 bytes of padding before y"),
        ("typedef struct a { uint64_t x; uint32_t y; } a;", "a: 4 bytes of padding at its end"),
        ("#include <windows.h>", "#include is not allowed"),
        ("typedef struct a { nonsense x; } a;", "cannot be parsed"),
    ],
)
def test_headers_that_break_the_rules_are_refused(text: str, told: str) -> None:
    with pytest.raises(AbiMismatch, match=told):
        abi.parse("#define KSHS_ABI_VERSION 1\n" + text)


def test_version_is_needed() -> None:
    with pytest.raises(AbiMismatch, match="KSHS_ABI_VERSION is not defined"):
        abi.parse("#define X 1\n")
