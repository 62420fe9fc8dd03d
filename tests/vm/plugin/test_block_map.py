# SPDX-License-Identifier: Apache-2.0
"""The file that QEMU's plugin and the host share, as the plugin (coverage.c) would write it."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest

from tests.vm.plugin.plugin_double import PluginDouble
from vm.errors import VmError
from vm.plugin import block_map
from vm.plugin.block_map import Block, BlockMap, digest
from vm.plugin.build import SOURCE


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "counters"


def test_a_block_is_found_with_what_was_executed_of_it(file: Path) -> None:
    counters = BlockMap.create(file, ((0x1000, 0x2000),), 16)
    plugin = PluginDouble(file)
    plugin.runs(0x1000, b"\x90\x90\xc3", times=3)
    plugin.runs(0x1010, b"\x8b\x00\xc3", first=2, finishes=False)
    plugin.runs(0x3000, b"\xc3")
    touched = counters.touched()
    assert touched.tolist() == [0, 1], "what lies in no range is not counted"
    assert counters.finished(touched).tolist() == [True, False]
    assert counters.counts(touched).tolist() == [3, 1]
    assert counters.block(0) == Block(0x1000, digest(b"\x90\x90\xc3"), 3, 1)
    assert counters.block(1).first == 2
    assert (counters.api, counters.lost, counters.used) == (1, 0, 2)


def test_zeroing_forgets_what_ran_and_keeps_what_is_known(file: Path) -> None:
    counters = BlockMap.create(file, block_map.USER_HALF, 16)
    plugin = PluginDouble(file)
    plugin.runs(0x1000, b"\xc3")
    counters.zero()
    assert (counters.touched().tolist(), counters.used) == ([], 1)
    plugin.runs(0x1000, b"\xc3")
    assert counters.touched().tolist() == [0], "the same block has the same number"


def test_other_code_at_the_same_address_is_another_block(file: Path) -> None:
    counters = BlockMap.create(file, block_map.USER_HALF, 16)
    plugin = PluginDouble(file)
    plugin.runs(0x1000, b"\xc3")
    plugin.runs(0x1000, b"\xcc")
    assert [counters.block(n).digest for n in range(2)] == [digest(b"\xc3"), digest(b"\xcc")]
    assert counters.within(0x1000, 0x1001, 0, 2).tolist() == [0, 1]
    assert counters.within(0x1000, 0x1001, 1, 2).tolist() == [1]


def test_ranges_apply_when_the_plugin_has_taken_them(file: Path) -> None:
    counters = BlockMap.create(file, (), 16)
    plugin = PluginDouble(file)
    counters.set_ranges(((0x1000, 0x2000),))
    assert not counters.ranges_apply
    plugin.runs(0x1000, b"\xc3")
    assert not counters.touched().size, "not before they apply"
    assert not counters.await_ranges(0.0)
    plugin.takes_ranges()
    assert counters.await_ranges(0.0)
    plugin.runs(0x1000, b"\xc3")
    assert counters.touched().size
    with pytest.raises(ValueError, match="at most 64"):
        counters.set_ranges([(0, 1)] * 65)


def test_what_finds_no_room_is_said(file: Path) -> None:
    counters = BlockMap.create(file, block_map.USER_HALF, 1)
    plugin = PluginDouble(file)
    plugin.runs(0x1000, b"\xc3")
    plugin.runs(0x2000, b"\xc3")
    assert (counters.used, counters.lost) == (1, 1)


def test_the_mapping_outlives_its_file(file: Path) -> None:
    counters = BlockMap.create(file, block_map.USER_HALF, 16)
    PluginDouble(file).runs(0x1000, b"\xc3")
    file.unlink()
    assert counters.touched().tolist() == [0]


@pytest.mark.parametrize(
    "content", [b"", b"x" * 100, b"x" * 8192, struct.pack("<QI", block_map.MAGIC, 99999) + bytes(8000)]
)
def test_another_file_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(VmError):
        BlockMap(file)


def test_both_sides_have_one_layout() -> None:
    source = SOURCE.read_text()
    magic = re.search(r"#define MAGIC (0x[0-9A-F]+)ull", source)
    assert magic is not None and int(magic[1], 16) == block_map.MAGIC
    assert f"#define HEADER_BYTES {block_map.HEADER_BYTES}" in source
    assert f"#define MAX_RANGES {block_map.MAX_RANGES}" in source
    body = source[source.index("typedef struct header {") : source.index("} header;")]
    members = re.findall(r"^    (uint64_t|uint32_t|range) (\w+)", body, re.MULTILINE)
    known = block_map._HEADER
    assert known.names == tuple(name for _, name in members)
    sizes = {"uint64_t": 8, "uint32_t": 4, "range": 16 * block_map.MAX_RANGES}
    offsets = np.cumsum([0, *(sizes[kind] for kind, _ in members)]).tolist()
    assert known.fields is not None
    assert [known.fields[name][1] for name in known.names or ()] == offsets[:-1]
