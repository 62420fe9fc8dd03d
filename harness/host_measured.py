# SPDX-License-Identifier: Apache-2.0
"""Cores and memory that this process may use: the machine's, and no more than its control group has.

A job of a CI runs in a container whose limits /proc does not show; what goes beyond its memory is killed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")
_MIB = 1 << 20


def cores(root: Path = _ROOT) -> int:
    """Processors: those of the process's mask, and as much of their time as its groups have (cpu.max)."""
    found = float(len(os.sched_getaffinity(0)))
    for group in _groups(root):
        quota, _, period = _read(group / "cpu.max").partition(" ")
        if quota.isdigit() and period.strip().isdigit() and int(period) > 0:
            found = min(found, int(quota) / int(period))
    return max(1, int(found))


def memory_mib(root: Path = _ROOT) -> int:
    """What is available: of the machine, and of each group with a limit what it does not hold by now.

    Pages of files that were read are given back before anything is killed, so that they count as free.
    """
    text = _read(root / "proc/meminfo")
    said = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    found = int(said[1]) * 1024 if said else 0
    for group in _groups(root):
        limit, used = _read(group / "memory.max"), _read(group / "memory.current")
        if limit.isdigit() and used.isdigit():
            cached = re.search(r"^inactive_file (\d+)$", _read(group / "memory.stat"), re.MULTILINE)
            found = min(found, int(limit) - int(used) + (int(cached[1]) if cached else 0))
    return max(0, found) // _MIB


def _groups(root: Path) -> Iterator[Path]:
    """The control group of this process (cgroups(7), version 2) and those above it."""
    line = re.search(r"^0::/(.*)$", _read(root / "proc/self/cgroup"), re.MULTILINE)
    top = root / "sys/fs/cgroup"
    group = top / line[1] if line else top
    while group != top and top in group.parents:
        yield group
        group = group.parent
    yield top


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
