# SPDX-License-Identifier: Apache-2.0
"""What other INFs of a package add to a device: extensions, and software components.

An extension INF names the device's own ids ("Using an Extension INF File"); AddComponent creates a child of
the device whose hardware id is ``SWC\\`` and the component id ("INF AddComponent Directive"), and another INF
installs that ("Using a Component INF File").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from drivers.inf.decorations import System
from drivers.inf.model import Inf


@dataclass(frozen=True)
class Component:
    """A software component that some INF adds, by ``name``, and the INF that installs it.

    ``inf`` is None where no INF of the package names one of its ids; ``hardware_id`` is the one that it
    names, else the first.  ``software`` are the programs that its installation runs (AddSoftware).
    """

    name: str
    hardware_id: str
    inf: Inf | None
    software: tuple[str, ...] = ()


def extensions(infs: Iterable[Inf], hardware_id: str, system: System | None = None) -> list[Inf]:
    """The extension INFs that Windows would apply to a device, in the order of their names."""
    wanted = hardware_id.lower()
    found = [
        inf
        for inf in infs
        if inf.is_extension()
        and wanted in map(str.lower, inf.hardware_ids(system))
        and _installs(inf, wanted)
    ]
    return sorted(found, key=lambda inf: inf.name.lower())


def components(infs: Iterable[Inf], hardware_id: str, system: System | None = None) -> list[Component]:
    """The software components that an installation of a device adds, with those that they add themselves."""
    infs = list(infs)
    todo, seen, found = [hardware_id], {hardware_id.lower()}, []
    while todo:
        wanted = todo.pop(0)
        for inf in infs:
            for name, ids in _added(inf, wanted, system):
                component = _component(name, ids, infs, system)
                if component.hardware_id.lower() not in seen:
                    seen.add(component.hardware_id.lower())
                    found.append(component)
                    todo.append(component.hardware_id)
    return found


def _installs(inf: Inf, hardware_id: str) -> bool:
    return any(
        inf.install_section(model.install) is not None
        for model in inf.models()
        if hardware_id in map(str.lower, model.ids)
    )


def _added(inf: Inf, hardware_id: str, system: System | None) -> Iterator[tuple[str, list[str]]]:
    """Names and hardware ids of the components that one INF adds to a device."""
    wanted = hardware_id.lower()
    if wanted not in map(str.lower, inf.hardware_ids(system)) or not _installs(inf, wanted):
        return
    names = (f"{name}.components" for name in inf.installs(hardware_id, system))
    for entry in inf.entries(names):
        values = entry.line.values
        if entry.line.named("addcomponent") and len(values) > 2:
            ids = [
                f"SWC\\{value}"
                for line in entry.inf.section(values[2])
                if line.named("componentids")
                for value in line.values
                if value
            ]
            yield values[0], ids or [f"SWC\\{values[0]}"]


def _component(name: str, ids: list[str], infs: list[Inf], system: System | None) -> Component:
    for hardware_id in ids:
        for inf in infs:
            if hardware_id.lower() in map(str.lower, inf.hardware_ids(system)):
                return Component(name, hardware_id, inf, tuple(_software(inf, hardware_id, system)))
    return Component(name, ids[0], None)


def _software(inf: Inf, hardware_id: str, system: System | None) -> Iterator[str]:
    if not _installs(inf, hardware_id.lower()):
        return
    for entry in inf.entries(f"{name}.software" for name in inf.installs(hardware_id, system)):
        if entry.line.named("addsoftware") and entry.line.first():
            yield entry.line.first()
