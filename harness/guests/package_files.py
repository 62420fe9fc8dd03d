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
    from drivers.inf import Component, System
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
    """Puts copies of the INFs that Wine understands in their places, where it needs them.

    Answers what was changed, and what of the INFs has no effect on Wine, in sentences.
    """
    return tuple(_for_wine(package, hardware_id, guest_system(info), shell))


def components(package: Package, hardware_id: str, info: Mapping[str, Any]) -> list[Component]:
    """The software components that the package adds to the device, and which one of its INFs installs."""
    from drivers import inf, package_infs

    found = inf.components(package_infs.deployed(package.files), hardware_id, guest_system(info))
    return [component for component in found if component.inf is not None]


def added(package: Package) -> list[str]:
    """The INFs of a package that add to what another one installs, by their names in the guest's folder."""
    from drivers import package_infs

    return [one.name for one in package_infs.deployed(package.files) if one.adds_to_others()]


def notes(package: Package, hardware_id: str, family: str) -> list[str]:
    """What a record says about how the package was deployed to guests of a family; [] if as it is."""
    from drivers.errors import PackageError

    said = list(package.notes)
    if family == "wine":
        with contextlib.suppress(PackageError):  # refused, with its reason, where it is deployed
            said += _for_wine(package, hardware_id, guest_system({"family": family}), None)
    elif names := added(package):
        said.append(f"{', '.join(names)} went into the driver store before the device was installed")
    return said


def _for_wine(package: Package, hardware_id: str, system: System, shell: Shell | None) -> list[str]:
    """The notes of every INF that is installed on Wine; their copies go into a guest, if there is one."""
    from drivers import inf, package_infs
    from drivers.inf.wine import for_wine

    infs = package_infs.deployed(package.files)
    installed = [(one, hardware_id) for one in infs if one.name.lower() == package.inf.name.lower()]
    for component in inf.components(infs, hardware_id, system):
        if component.inf is not None:
            installed.append((component.inf, component.hardware_id))
    said: list[str] = []
    for one, wanted in installed:
        copy = for_wine(one, wanted, system, infs)
        said += [note for note in copy.notes if note not in said]
        if copy.data is not None and shell is not None:
            with tempfile.TemporaryDirectory(prefix="kshs-inf-") as scratch:
                path = Path(scratch) / one.name
                path.write_bytes(copy.data)
                shell.put({f"{FOLDER}\\{one.name}": path})
    return said
