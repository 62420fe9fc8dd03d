# SPDX-License-Identifier: Apache-2.0
"""What this machine has to give."""

from __future__ import annotations

from dataclasses import dataclass

from harness.host_measured import cores, memory_mib


@dataclass(frozen=True)
class HostRoom:
    """`cores` that this process may use, and MiB that the kernel says are available."""

    cores: int
    memory_mib: int

    @classmethod
    def measured(cls) -> HostRoom:
        """Now, and within the limits of a container."""
        return cls(cores(), memory_mib())
