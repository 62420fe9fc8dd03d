# SPDX-License-Identifier: Apache-2.0
"""What this machine has to give."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HostRoom:
    """`cores` that this process may use, and MiB that the kernel says are available."""

    cores: int
    memory_mib: int

    @classmethod
    def measured(cls) -> HostRoom:
        """Now."""
        found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
        return cls(len(os.sched_getaffinity(0)), int(found[1]) // 1024 if found else 0)
