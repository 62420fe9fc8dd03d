# SPDX-License-Identifier: Apache-2.0
"""The target's package on its way into a guest: whether the guest takes it, and what Wine gets instead."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.guest_info import GuestInfo
from harness.guests.kshsctl import DIRECTORY

if TYPE_CHECKING:
    from drivers.inf import System
    from drivers.package import Package
    from vm.shell import Shell

#: Where the package lies in the guest.
FOLDER = DIRECTORY + r"\target"

#: What Wine counts as where models are chosen, as (major, minor, build, VER_NT_WORKSTATION): the newest
#: Windows.  The version that a Wine says (6.1 by default in 8.0) is a setting for programs: its setupapi does
#: not look at it, and its kernel is the same whatever it is.
_WINE = (10, 0, 26100, 1)
#: What a Windows counts as that does not say its version.
_OLDEST_WINDOWS = (10, 0, 17763)


def in_guest(package: Package) -> dict[str, Path]:
    """Names below `DIRECTORY` of everything that a package brings, and the files that go there."""
    return {f"target\\{name}": path for name, path in package.files.items()}


def guest_system(info: Mapping[str, Any]) -> System:
    """The version that decides which models of an INF a guest takes, from its `info`."""
    from drivers.inf import System

    said = GuestInfo.of(info)
    if said.is_wine:
        return System(*_WINE)
    major, minor, build = said.kernel.major, said.kernel.minor, said.kernel.build
    if major is None or minor is None or build is None:
        major, minor, build = _OLDEST_WINDOWS
    return System(major, minor, build)


def check_device(package: Package, hardware_id: str, info: Mapping[str, Any]) -> None:
    """Refuses a package whose INF has nothing for this device on this guest, before anything is installed.

    Raises:
        UsageError: says which models the INF has instead.
    """
    from drivers import inf
    from drivers.inf.fit import why_not

    wine = GuestInfo.of(info).is_wine
    reason = why_not(inf.load(package.inf), hardware_id, guest_system(info), undecorated=wine)
    if reason is not None:
        raise UsageError(
            f"this guest would not install the driver: {reason}",
            str(package.inf),
            "name the device in a models section for this system, or use another guest (--guest)",
        )


def put_for_wine(
    shell: Shell, package: Package, hardware_id: str, info: Mapping[str, Any]
) -> tuple[str, ...]:
    """Puts a copy of the INF that Wine understands in its place, where it needs one.

    Answers what was changed, and what of the INF has no effect on Wine, in sentences.
    """
    from drivers import inf
    from drivers.inf.wine import for_wine

    copy = for_wine(inf.load(package.inf), hardware_id, guest_system(info))
    if copy.data is not None:
        with tempfile.TemporaryDirectory(prefix="kshs-inf-") as scratch:
            path = Path(scratch) / package.inf.name
            path.write_bytes(copy.data)
            shell.put({f"{FOLDER}\\{package.inf.name}": path})
    return copy.notes


def notes(package: Package, hardware_id: str, family: str) -> list[str]:
    """What a record says about how the package was deployed to guests of a family; [] if as it is."""
    from drivers import inf
    from drivers.errors import PackageError
    from drivers.inf.wine import for_wine

    said = list(package.notes)
    if family == "wine":
        with contextlib.suppress(PackageError):  # refused, with its reason, where it is deployed
            said += for_wine(inf.load(package.inf), hardware_id, guest_system({"family": family})).notes
    return said
