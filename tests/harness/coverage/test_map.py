# SPDX-License-Identifier: Apache-2.0
"""Blocks of a guest as blocks of modules."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.agent.modules import DriverProcess
from harness.coverage.images import CodeImage
from harness.coverage.map import CoverageMap, Executed, places
from harness.errors import UsageError
from tests.harness.coverage.code import BASE, CODE, TEXT, image
from tests.vm.plugin.plugin_double import PluginDouble
from vm.plugin.block_map import KERNEL_HALF, USER_HALF, BlockMap

NAMES = ("m.sys",)


def process(*bases: int, name: str = "M.SYS") -> DriverProcess:
    modules = [{"name": name, "base": hex(base), "size": 9, "path": "C:\\m.sys"} for base in bases]
    return DriverProcess.model_validate({"pid": 1, "process": "winedevice.exe", "modules": modules})


@pytest.fixture
def code(tmp_path: Path) -> CodeImage:
    return CodeImage(image(tmp_path / "m.sys"))


def begun(tmp_path: Path, code: CodeImage, *bases: int) -> tuple[CoverageMap, PluginDouble]:
    images = {"m.sys": code}
    counters = BlockMap.create(tmp_path / "counters", USER_HALF + KERNEL_HALF, 64)
    loaded = places([process(*bases)], images, NAMES)
    return CoverageMap(counters, NAMES, images, loaded), PluginDouble(tmp_path / "counters")


def test_a_block_is_named_by_module_and_offset_wherever_it_lies(tmp_path: Path, code: CodeImage) -> None:
    moved = 0x7F0000000000
    counted, plugin = begun(tmp_path, code, BASE, moved)
    plugin.runs(BASE + CODE, TEXT[:2])
    (first,) = counted.read()
    assert counted.place(first) == ("m.sys", CODE)
    counted.zero()
    assert counted.read() == frozenset()
    plugin.runs(moved + CODE, TEXT[:2])
    assert counted.read() == {first}
    assert counted.counts() == {first: 1}


@pytest.mark.parametrize("look", ["read", "counts", "executed"])
def test_a_guest_may_run_what_is_new_while_it_is_looked_at(
    look: str, tmp_path: Path, code: CodeImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, plugin = begun(tmp_path, code, BASE)
    touched = BlockMap.touched

    def meanwhile(counters: BlockMap) -> NDArray[np.intp]:
        plugin.runs(BASE + CODE, TEXT[:2])
        return touched(counters)

    monkeypatch.setattr(BlockMap, "touched", meanwhile)
    assert len(getattr(counted, look)()) == 1


def test_other_code_at_its_addresses_is_not_the_modules(tmp_path: Path, code: CodeImage) -> None:
    counted, plugin = begun(tmp_path, code, BASE)
    plugin.runs(BASE + CODE, b"\x90\x90")
    plugin.runs(0x7000, TEXT[:2])
    assert counted.read() == frozenset()
    plugin.runs(BASE + CODE, TEXT[:2])
    assert len(counted.read()) == 1


def test_code_that_was_relocated_is_recognised(tmp_path: Path, code: CodeImage) -> None:
    moved = 0x150000000
    counted, plugin = begun(tmp_path, code, moved)
    plugin.runs(moved + CODE + 6, TEXT[6:16])
    assert counted.read() == frozenset(), "these are the bytes of the file"
    there = TEXT[6:8] + struct.pack("<Q", moved + 0x1000)
    plugin.runs(moved + CODE + 6, there)
    assert [counted.place(block) for block in counted.read()] == [("m.sys", CODE + 6)]


def test_the_kernel_may_have_patched_its_drivers(tmp_path: Path, code: CodeImage) -> None:
    kernel = 0xFFFFF80012340000
    counted, plugin = begun(tmp_path, code, kernel)
    plugin.runs(kernel + CODE, b"\x0f\x1f\x00")
    assert len(counted.read()) == 1


def test_of_a_block_that_an_exception_left_only_the_first_instruction_is_known(
    tmp_path: Path, code: CodeImage
) -> None:
    counted, plugin = begun(tmp_path, code, BASE)
    plugin.runs(BASE + CODE, TEXT[:2], finishes=False)
    assert counted.executed() == [Executed("m.sys", CODE, 1, whole=False)]
    plugin.runs(BASE + CODE, TEXT[:2])
    assert counted.executed() == [Executed("m.sys", CODE, 2)]


def test_a_module_without_an_image_is_left_out(code: CodeImage) -> None:
    said = [process(BASE), process(0x1000, name="other.sys"), process(0, name="m.sys")]
    assert [
        (one.base, one.end - one.base) for one in places(said, {"m.sys": code}, ("m.sys", "other.sys"))
    ] == [(BASE, code.size)]


def test_exports_are_those_in_code(code: CodeImage) -> None:
    assert code.exports == {"First": 0x1000, "Second": 0x1010}


def test_another_file_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "x.sys").write_bytes(b"MZ" + bytes(200))
    with pytest.raises(UsageError, match="no image"):
        CodeImage(tmp_path / "x.sys")
