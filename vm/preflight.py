# SPDX-License-Identifier: Apache-2.0
"""What building an image cannot do without, looked at in a moment before the first minute is spent on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from vm import namespaces
from vm.commands import PACKAGES, find
from vm.config import VmConfig
from vm.errors import VmError

DISK_BYTES = 4 << 30
"""An image while it is built (about 2.5 GB) and a few templates (0.2 GB each)."""


def require(config: VmConfig, programs: Sequence[str], *more: Callable[[], object]) -> None:
    """Looks for everything at once: programs, room on the disk, namespaces, and whatever ``more`` looks for.

    Raises:
        VmError: something is missing; all of it stands in the one message.
    """
    problems: list[VmError] = []
    missing = [name for name in programs if find(name) is None]
    if missing:
        packages = " ".join(dict.fromkeys(PACKAGES.get(name, name) for name in missing))
        are = "is" if len(missing) == 1 else "are"
        problems.append(
            VmError(f"{', '.join(missing)} {are} not installed", hint=f"run: apt-get install -y {packages}")
        )
    place, free = free_bytes(config)
    if free < DISK_BYTES:
        hint = "run: kshs clean, or name another cache_dir in kshs.toml"
        problems.append(VmError(f"{free / 2**30:.1f} GiB are free, 4 are needed", str(place), hint))
    looks = more if "unshare" in missing else (namespaces.attempt, *more)
    for look in looks:
        try:
            look()
        except VmError as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise VmError(f"the image cannot be built: {'; '.join(str(problem) for problem in problems)}")


def free_bytes(config: VmConfig) -> tuple[Path, int]:
    """The directory in which the cache is or would be made, and how many bytes are free there."""
    place = config.cache_dir
    while not place.exists():
        place = place.parent
    return place, shutil.disk_usage(place).free
