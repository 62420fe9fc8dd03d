# SPDX-License-Identifier: Apache-2.0
"""Where what guests execute can be counted, and where it says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from vm.accel import Accelerator
from vm.config import VmConfig
from vm.errors import InputError
from vm.hypervisor import Hypervisor
from vm.plugin.block_map import KERNEL_HALF, USER_HALF, BlockMap
from vm.plugin.build import Plugin


def hypervisor(folder: Path, kind: str, uri: str = "qemu:///embed") -> Hypervisor:
    made = Hypervisor(VmConfig(cache_dir=folder / "cache", uri=uri))
    made.__dict__["accelerator"] = Accelerator(kind, "the test says so")  # type: ignore[arg-type]
    return made


def test_not_on_kvm(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"KVM.*accelerator = \"tcg\""):
        hypervisor(tmp_path, "kvm").count_blocks()


def test_not_on_another_host(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another host"):
        hypervisor(tmp_path, "tcg", "qemu+ssh://elsewhere/system").count_blocks()


def test_nobody_counts_unless_asked(tmp_path: Path) -> None:
    assert hypervisor(tmp_path, "tcg").counters(tmp_path) == (None, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("drivers_of", "wanted"), [(None, ()), ("wine", USER_HALF), ("windows", KERNEL_HALF)], ids=str
)
def test_each_guest_has_counters_of_its_own(
    tmp_path: Path, drivers_of: str | None, wanted: tuple[tuple[int, int], ...]
) -> None:
    made = hypervisor(tmp_path, "tcg")
    made.plugin = Plugin(tmp_path / "coverage.so", 4)
    counters, argument = made.counters(tmp_path, drivers_of=drivers_of)
    assert isinstance(counters, BlockMap) and argument == made.plugin.argument(tmp_path / "coverage.map")
    ranges = counters._header["ranges"][0][: int(counters._header["range_count"][0])].tolist()
    assert ranges == [list(one) for one in wanted]
