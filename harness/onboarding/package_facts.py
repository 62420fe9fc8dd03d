# SPDX-License-Identifier: Apache-2.0
"""What a driver package says by itself of its device: read from its INF and its drivers, without a guest."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.guest_text import one_line

if TYPE_CHECKING:
    from drivers.inf import Inf, Line

#: By this name a driver gives its pins handshake callbacks (rule H8); it imports it, or looks it up by it.
_REGISTERS = "KsPinRegisterHandshakeCallback"
#: Modules that register nothing for who imports from them.
_PLAIN_MODULES = frozenset(
    {"ntoskrnl.exe", "hal.dll", "ks.sys", "wmilib.sys", "usbd.sys", "ksecdd.sys", "cng.sys", "bdasup.sys"}
)
#: SPSVCINST_ASSOCSERVICE of setupapi.h: this service is the device's function driver.
_FUNCTION_DRIVER = 0x2
_MAX_TITLE = 80


@dataclass(frozen=True, slots=True)
class PackageDevice:
    """The device of a package that a target file is for, and what it was chosen from.

    `title` is the INF's description of the device; `categories` are those of its AddInterface entries, in
    their order; `drivers` are the files that it copies; `has_callbacks` says whether any of them can register
    a handshake callback at all.
    """

    directory: Path
    inf: Path
    hardware_id: str
    hardware_ids: tuple[str, ...]
    service: str
    services: tuple[str, ...]
    title: str | None
    categories: tuple[uuid.UUID, ...]
    drivers: tuple[Path, ...]
    has_callbacks: bool


def read(directory: Path, hardware_id: str | None = None, service: str | None = None) -> PackageDevice:
    """The device of a package: the one that is named, else a root-enumerated one, else the first.

    Raises:
        UsageError: there is no such directory, no such device or service, or nothing says which service.
    """
    from drivers import package_infs
    from drivers.errors import PackageError

    if not directory.is_dir():
        raise UsageError(
            "there is no such directory", str(directory), "give the directory with INF, SYS and CAT"
        )
    names = {path.name.lower(): path for path in sorted(directory.iterdir()) if path.is_file()}
    try:
        infs, odd = package_infs.read(directory, names)
        ids = _devices(infs)
        main = package_infs.main(infs, directory, hardware_id or _preferred(ids), odd)
        chosen = _spelt(hardware_id or _preferred(ids), main.hardware_ids())
        services = _services(main, chosen)
        drivers = tuple(_drivers(main, chosen, directory))
        categories = tuple(_categories(main, chosen))
    except PackageError as error:
        raise UsageError(error.message, error.where, error.hint) from None
    if service is None and not services:
        raise UsageError(
            f"adds no service for {chosen} itself", str(directory / main.name), "name it: --service"
        )
    return PackageDevice(
        directory=directory,
        inf=names[main.name.lower()],
        hardware_id=chosen,
        hardware_ids=tuple(ids),
        service=service or services[0],
        services=tuple(services),
        title=_description(main, chosen),
        categories=categories,
        drivers=drivers,
        has_callbacks=any(map(_can_register, drivers)),
    )


def _devices(infs: Sequence[Inf]) -> list[str]:
    """The hardware ids of INFs that install devices of their own, each once."""
    bases = [one for one in infs if not one.adds_to_others()] or infs
    found: dict[str, str] = {}
    for hardware_id in (hardware_id for one in bases for hardware_id in one.hardware_ids()):
        found.setdefault(hardware_id.lower(), hardware_id)
    return list(found.values())


def _preferred(ids: Sequence[str]) -> str | None:
    """One that a guest can have without hardware, if there is any."""
    rooted = (hardware_id for hardware_id in ids if hardware_id.lower().startswith("root\\"))
    return next(rooted, ids[0] if ids else None)


def _spelt(wanted: str | None, ids: Sequence[str]) -> str:
    """As the INF spells it."""
    return next((one for one in ids if wanted is not None and one.lower() == wanted.lower()), ids[0])


def _services(inf: Inf, hardware_id: str) -> list[str]:
    """The services that an installation adds, the function driver's first."""
    found: dict[str, str] = {}
    lines = [
        entry.line
        for entry in inf.entries(f"{name}.services" for name in inf.installs(hardware_id))
        if entry.line.named("addservice") and entry.line.first()
    ]
    for line in sorted(lines, key=lambda line: not _flags(line) & _FUNCTION_DRIVER):
        found.setdefault(line.first().lower(), line.first())
    return list(found.values())


def _flags(line: Line) -> int:
    text = line.values[1].strip() if len(line.values) > 1 else ""
    try:
        return int(text, 16) if text.lower().startswith("0x") else int(text or "0")
    except ValueError:
        return 0


def _categories(inf: Inf, hardware_id: str) -> Iterator[uuid.UUID]:
    for entry in inf.entries(f"{name}.interfaces" for name in inf.installs(hardware_id)):
        if entry.line.named("addinterface"):
            with contextlib.suppress(ValueError):
                yield uuid.UUID(entry.line.first())


def _description(inf: Inf, hardware_id: str) -> str | None:
    """What the models section calls the device."""
    lines = {model.line for model in inf.models() if hardware_id.lower() in map(str.lower, model.ids)}
    for _, base, decorated in inf.manufacturers():
        for section in (base, *(f"{base}.{decoration}" for decoration in decorated)):
            for line in inf.section(section):
                if line.number in lines and line.key:
                    return one_line(line.key, _MAX_TITLE).strip() or None
    return None


def _drivers(inf: Inf, hardware_id: str, directory: Path) -> Iterator[Path]:
    from drivers.files import find
    from drivers.inf import copied_files

    # By the INF's LayoutFile one may be the system's, and is the package's all the same where it lies there.
    for name in (copied.path for copied in copied_files(inf, hardware_id)):
        path = find(directory, name) if name.lower().endswith(".sys") else None
        if path is not None and path.is_file():
            yield path


def _can_register(driver: Path) -> bool:
    """Whether the name of the function stands in a driver, as an import has it or as a lookup needs it.

    A driver that imports from others than the system's plain ones may have them register for it.
    """
    from drivers import imports
    from drivers.errors import BuildError

    data = driver.read_bytes()
    if _REGISTERS.encode("ascii") in data or _REGISTERS.encode("utf-16-le") in data:
        return True
    try:
        return not {module for module, _ in imports.imports(driver)} <= _PLAIN_MODULES
    except BuildError:
        return True
