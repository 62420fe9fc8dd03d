# SPDX-License-Identifier: Apache-2.0
"""The target's drivers on guests with Wine: what this Wine lacks comes from our support library.

The copies that are deployed import it (`drivers.import_rewrite`); the package stays as it is, Windows guests
get it as it is, and every record names the functions.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.guest_info import GuestInfo
from harness.guests.kshsctl import DIRECTORY

if TYPE_CHECKING:
    from drivers.build import Build
    from drivers.import_rewrite import Rewritten
    from drivers.kernel_calls import Doubt
    from drivers.package import Package
    from vm.shell import Shell

#: Where drivers of a guest look for the modules that they import.
SYSTEM_DRIVERS = r"C:\windows\system32\drivers"


def as_deployed(driver: Path, info: Mapping[str, Any]) -> bytes:
    """The bytes of a driver in the guest whose `info` this is.

    Raises:
        BuildError: its imports cannot be rewritten, or it is a KMDF driver.
    """
    said = GuestInfo.of(info)
    if not said.is_wine:
        return driver.read_bytes()
    return _rewritten(driver, driver.stat().st_mtime_ns, said.wine.version or "").data


def supplied_to(driver: Path, wine: str) -> tuple[str, ...]:
    """Names of the imports that the support library supplies to a driver on a version of Wine."""
    return _rewritten(driver, driver.stat().st_mtime_ns, wine).functions


def notes(drivers: Iterable[Path], versions: Iterable[str] | None = None) -> list[str]:
    """What a record says: the functions by driver, and by Wine where it makes a difference."""
    from drivers import imports

    said = []
    for driver in drivers:
        by_wine = {version: supplied_to(driver, version) for version in versions or imports.wine_versions()}
        for functions in dict.fromkeys(by_wine.values()):
            if functions:
                where = ", ".join(version for version, found in by_wine.items() if found == functions)
                said.append(
                    f"{driver.name} was deployed with imports rewritten: on Wine {where} kshs's wdmsup.sys"
                    f" supplies {', '.join(functions)}"
                )
    return said


def doubts(drivers: Iterable[Path], wine: str) -> tuple[Doubt, ...]:
    """Calls that drivers, as they are deployed to a version of Wine, use and that are not right there."""
    from drivers import kernel_calls

    return tuple(
        doubt
        for driver in drivers
        for doubt in kernel_calls.doubts(_rewritten(driver, driver.stat().st_mtime_ns, wine), wine)
    )


def put(shell: Shell, build: Build, package: Package, info: Mapping[str, Any]) -> tuple[str, ...]:
    """Puts the library and the rewritten drivers in place; what was rewritten, in sentences.

    Raises:
        UsageError: a driver's imports cannot be rewritten.
    """
    from drivers.errors import BuildError

    wine = GuestInfo.of(info).wine.version or ""
    try:
        changed = _changed(package, wine)
    except BuildError as error:
        raise UsageError(
            f"cannot be prepared for a Wine guest: {error.message}", error.where, error.hint
        ) from None
    if not changed:
        return ()
    shell.put({f"{SYSTEM_DRIVERS}\\{build.wdmsup.name}": build.wdmsup})
    with tempfile.TemporaryDirectory(prefix="kshs-drivers-") as scratch:
        for number, (name, path) in enumerate(changed.items()):
            copy = Path(scratch) / str(number)
            copy.write_bytes(as_deployed(path, info))
            shell.put({f"{DIRECTORY}\\target\\{name}": copy})
    return tuple(notes(changed.values(), [wine]))


def _changed(package: Package, wine: str) -> dict[str, Path]:
    """Of the files of a package the drivers that are deployed otherwise than they are."""
    return {
        name: path for name, path in package.files.items() if path in package.sys and supplied_to(path, wine)
    }


def digest(data: bytes) -> str:
    """As a guest says it of a file."""
    return hashlib.sha256(data).hexdigest()


@lru_cache(maxsize=32)
def _rewritten(driver: Path, changed: int, wine: str) -> Rewritten:
    """``changed`` is the file's time of change: another file of this name is another answer."""
    from drivers import import_rewrite, imports

    return import_rewrite.rewrite(driver, imports.wine(wine))
