# SPDX-License-Identifier: Apache-2.0
"""The trace of an opened capsule, and the driver that it is to be played with."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.capsule.manifest import Role
from harness.capsule.opened import PACKAGE, Capsule
from harness.capsule.traced import importing
from harness.capsule.traced.events import MOST_BYTES, Trace, parse
from harness.errors import UsageError
from harness.language.model import Route

if TYPE_CHECKING:
    from drivers.package import Package
    from harness.guests.package import LoadedTarget

_LOOK = "see kshs capsule show, and the target file that --target names"


@dataclass(frozen=True)
class Playable:
    """What a trace has become, and the capsule that was written of it."""

    imported: importing.Imported
    capsule: Path


def trace_of(opened: Capsule) -> tuple[Trace, bytes]:
    """The trace of a capsule, and its bytes.

    Raises:
        CapsuleError: it has none, or one that cannot be read.
    """
    (file, *others) = opened.manifest.of(Role.TRACE) or (None,)
    if file is None or others:
        raise UsageError("it has no trace, or several", str(opened.path), "see kshs capsule show")
    if file.size > MOST_BYTES:
        raise UsageError(f"its trace is larger than {MOST_BYTES >> 20} MiB", str(opened.path))
    data = opened.read(file)
    return parse(data, f"{opened.path}: {file.name}"), data


def make_playable(
    opened: Capsule,
    target: LoadedTarget,
    package: Callable[[], Package],
    out: Path,
    route: Route = Route.IRP,
    *,
    leaks: bool = False,
) -> Playable:
    """Writes a capsule that can be played, of one with a trace.

    The package is the capsule's own where it has one that can be deployed, else the target's.

    Args:
        opened: with a trace.
        target: the driver as the harness knows it.
        package: gives the target's own.
        out: the file to write.
        route: by which requests of drivers are sent.
        leaks: its scenario asks whether the traffic leaves anything behind.

    Raises:
        UsageError: it cannot be made.
        OSError: it cannot be written.
    """
    trace, data = trace_of(opened)
    scenario_of = importing.leaks_scenario_of if leaks else importing.scenario_of
    try:
        imported = scenario_of(trace, target, opened.path.stem, route)
    except UsageError as error:
        raise UsageError(error.message, error.where or str(opened.path), error.hint or _LOOK) from None
    with tempfile.TemporaryDirectory(prefix="kshs-trace-") as folder:
        own, why_not = _own_package(opened, target, Path(folder))
        if why_not is not None:
            remark = f"its package cannot be deployed ({why_not}): the target's own is used"
            imported = replace(imported, remarks=(*imported.remarks, remark))
        importing.make(opened.manifest, imported, target, own or package(), data, out)
    return Playable(imported, out)


def _own_package(opened: Capsule, target: LoadedTarget, folder: Path) -> tuple[Package | None, str | None]:
    """The package in the capsule, unpacked; None where it has none, and why where it is no good."""
    import drivers.package
    from drivers.errors import BuildError

    files = opened.manifest.of(Role.PACKAGE)
    if not files:
        return None, None
    for file in files:
        path = folder / PACKAGE / file.name.removeprefix(f"{PACKAGE}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(opened.read(file))
    try:
        return drivers.package.load(folder / PACKAGE, target.target.hardware_id), None
    except BuildError as error:
        return None, error.message
