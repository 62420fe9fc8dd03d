# SPDX-License-Identifier: Apache-2.0
"""The INFs of a package: which there are, and which one installs the device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from drivers import inf
from drivers.errors import PackageError
from drivers.inf import Inf


def read(directory: Path, names: Mapping[str, Path]) -> tuple[list[Inf], list[str]]:
    """The INFs of a directory, and what is wrong with those that cannot be read.

    Each knows the others: Include, LayoutFile and CopyINF may name them.

    Raises:
        PackageError: there is none that can be read.
    """
    found: dict[str, Inf] = {}
    odd: list[PackageError] = []
    for name, path in names.items():
        if _is_inf(name):
            try:
                found[name] = inf.load(path)
            except PackageError as error:
                odd.append(error)
    if not found:
        if odd:
            raise odd[0]
        raise PackageError(
            "holds no INF file", str(directory), "give the directory with the INF, SYS and CAT files"
        )
    for name, information in found.items():
        information.beside = {other: value for other, value in found.items() if other != name}
    return list(found.values()), [f"{error.where} is not used: {error.message}" for error in odd]


def deployed(names: Mapping[str, Path]) -> list[Inf]:
    """The INFs among the files of a package (`drivers.package.Package.files`), as `read` gives them.

    Raises:
        PackageError: none can be read.
    """
    infs = {name.lower(): path for name, path in names.items() if "\\" not in name and _is_inf(name)}
    return read(next(iter(infs.values())).parent, infs)[0] if infs else []


def _is_inf(name: str) -> bool:
    return name.lower().endswith(".inf")


def main(infs: list[Inf], directory: Path, hardware_id: str | None, unreadable: Iterable[str] = ()) -> Inf:
    """The INF that installs the device: extensions and components only add to it.

    Raises:
        PackageError: none does for x86_64, or two do.
    """
    devices = {information.name: information.hardware_ids() for information in infs}
    bases = [one for one in infs if not one.adds_to_others()] or infs
    able = [one for one in bases if devices[one.name]]
    if hardware_id is not None:
        able = [one for one in able if hardware_id.lower() in map(str.lower, devices[one.name])]
    if not able:
        raise _none(bases, directory, hardware_id, unreadable)
    twice = _shared(able, hardware_id)
    if twice is not None:
        one, other, shared = twice
        raise PackageError(
            f"{one.name} and {other.name} both install {shared}", str(directory), "leave one of them"
        )
    return next((one for one in able if _installs_a_driver(one, hardware_id)), able[0])


def _none(
    infs: list[Inf], directory: Path, hardware_id: str | None, unreadable: Iterable[str]
) -> PackageError:
    where = str(directory / infs[0].name) if len(infs) == 1 else str(directory)
    others = list(dict.fromkeys(text for one in infs for text in one.architectures()))
    there = list(dict.fromkeys(text for one in infs for text in one.hardware_ids()))
    odd = f" ({'; '.join(unreadable)})" if unreadable else ""
    if there and hardware_id is not None:
        return PackageError(
            f"names no device {hardware_id} for x86_64{odd}", where, f"there: {', '.join(there)}"
        )
    if others and not there:
        return PackageError(
            f"names no device for 64-bit systems of x86_64, only for {', '.join(others)}{odd}",
            where,
            "build it for x64; kshs has no guests with another processor",
        )
    if any(one.install_section("DefaultInstall") is not None for one in infs):
        return PackageError(
            f"installs no device, only [DefaultInstall]{odd}",
            where,
            "what is tested is the driver of a device with pins: give the package with its INF",
        )
    return PackageError(f"names no device for 64-bit systems{odd}", where, "it needs NTamd64 models")


def _shared(infs: list[Inf], hardware_id: str | None) -> tuple[Inf, Inf, str] | None:
    """Two INFs for one device, of which Windows would take either."""
    seen: dict[str, Inf] = {}
    for one in infs:
        for text in one.hardware_ids() if hardware_id is None else [hardware_id]:
            other = seen.setdefault(text.lower(), one)
            if other is not one:
                return other, one, text
    return None


def _installs_a_driver(one: Inf, hardware_id: str | None) -> bool:
    try:
        return any(name.lower().endswith(".sys") for name in one.files(hardware_id))
    except PackageError:
        return False
