# SPDX-License-Identifier: Apache-2.0
"""What a night may use: of the machine, and of the control groups in which it runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.host_measured import cores, memory_mib

GIB = 1 << 30


def machine(root: Path, group: str | None) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal: 33554432 kB\nMemAvailable:   16777216 kB\n")
    if group is not None:
        (root / "proc/self/cgroup").write_text(f"0::/{group}\n")
    return root


def test_the_machine_alone(tmp_path: Path) -> None:
    assert memory_mib(machine(tmp_path, None)) == 16384
    assert cores(tmp_path) == len(os.sched_getaffinity(0))
    assert memory_mib(tmp_path / "none") == 0


def test_a_group_with_limits(tmp_path: Path) -> None:
    """As in a container: the limit of a group above counts, and pages of files are given back."""
    group = tmp_path / "sys/fs/cgroup/jobs"
    root = machine(tmp_path, "jobs/one")
    (group / "one").mkdir(parents=True)
    (group / "one/memory.max").write_text("max\n")
    (group / "memory.max").write_text(f"{4 * GIB}\n")
    (group / "memory.current").write_text(f"{3 * GIB}\n")
    assert memory_mib(root) == 1024
    (group / "memory.stat").write_text(f"anon 5\ninactive_file {2 * GIB}\nactive_file 9\n")
    assert memory_mib(root) == 3072
    (group / "memory.current").write_text(f"{9 * GIB}\n")
    assert memory_mib(root) == 0


@pytest.mark.parametrize(
    ("said", "wanted"), [("150000 100000", 1), ("50000 100000", 1), ("max 100000", None)]
)
def test_a_share_of_the_processors(tmp_path: Path, said: str, wanted: int | None) -> None:
    root = machine(tmp_path, "")
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "sys/fs/cgroup/cpu.max").write_text(said)
    assert cores(root) == (wanted or len(os.sched_getaffinity(0)))
