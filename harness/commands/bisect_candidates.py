# SPDX-License-Identifier: Apache-2.0
"""What ``kshs bisect`` looks through: archived driver packages on one guest, or guests with one package."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.config import Config
from harness.errors import UsageError
from harness.guests.package import LoadedTarget
from harness.guests.source import find_guest

#: Where a package may lie in a folder of the archive.
_PACKAGE = "package"


@dataclass(frozen=True)
class Candidate:
    """One of the row: a target with its package, on a guest."""

    name: str
    target: LoadedTarget
    guest: str


def packages(target: LoadedTarget, guest: str, good: str, bad: str, archive: Path | None) -> list[Candidate]:
    """The packages of an archive from a good one to a bad one, in the order of their names.

    Numbers in names count as such: 1.9 comes before 1.10.

    Args:
        target: what the harness must know of all of them.
        guest: on which they are played.
        good: a folder's name in the archive, or its path.
        bad: the same.
        archive: by default the folder in which both lie.

    Raises:
        UsageError: an end is no package of the archive, or the good one comes behind the bad one.
    """
    ends = [_folder(word, archive, option) for word, option in ((good, "--good"), (bad, "--bad"))]
    place = (archive or ends[0].parent).resolve()
    for end, option in zip(ends, ("--good", "--bad"), strict=True):
        if end.parent != place:
            raise UsageError(f"is not in {place}", f"{option} {end}", "--packages names the archive of both")
    there = sorted((path for path in place.iterdir() if _holds(path)), key=lambda path: in_order(path.name))
    names = _between([path.name for path in there], ends[0].name, ends[1].name)
    return [
        Candidate(path.name, _with_package(target, _holds(path) or path), guest)
        for path in there
        if path.name in names
    ]


def images(target: LoadedTarget, config: Config, good: str, bad: str) -> list[Candidate]:
    """The guests that there are from a good one to a bad one, in the order of their kernels.

    Raises:
        UsageError: there is no such guest, the two are not of one family, or their order is another.
    """
    family = find_guest(config.vm, good).family
    if find_guest(config.vm, bad).family != family:
        raise UsageError(f"{good} and {bad} have kernels of two families", "--images", "name two of one")
    builds: dict[str, int] = {}
    for name in dict.fromkeys([good, bad, *_guests(config)]):
        try:
            found = find_guest(config.vm, name)
        except UsageError:
            continue  # not made yet
        if found.family == family:
            builds[name] = _kernel(config, name)
    if builds[good] == builds[bad]:
        raise UsageError(f"{good} and {bad} have the same kernel build", "--images", "name two kernels")
    # One guest stands for all of its kernel: an end, or the first by its name.
    by_build = {build: name for name, build in sorted(builds.items(), reverse=True)}
    by_build |= {builds[good]: good, builds[bad]: bad}
    names = [by_build[build] for build in sorted(by_build)]
    return [Candidate(name, target, name) for name in _between(names, good, bad)]


def in_order(name: str) -> list[tuple[int, int, str]]:
    """Orders names as people do."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|\D+", name)]


def _folder(word: str, archive: Path | None, option: str) -> Path:
    inside = archive / word if archive is not None else Path(word)
    path = inside if inside.is_dir() else Path(word)
    if not path.is_dir():
        raise UsageError("there is no such directory", f"{option} {word}", _nearest(word, archive))
    if _holds(path) is None:
        raise UsageError("there is no INF in it", f"{option} {path}", "name a folder with a driver package")
    return path.resolve()


def _nearest(word: str, archive: Path | None) -> str:
    if archive is None or not archive.is_dir():
        return "name the folder of a driver package"
    return f"in {archive}: {', '.join(sorted(path.name for path in archive.iterdir())[:8]) or 'nothing'}"


def _holds(path: Path) -> Path | None:
    """Where the package of a folder of the archive is; None where there is none."""
    for place in (path, path / _PACKAGE):
        if place.is_dir() and any(file.suffix.lower() == ".inf" for file in place.iterdir()):
            return place
    return None


def _between(names: Sequence[str], good: str, bad: str) -> list[str]:
    first, last = names.index(good), names.index(bad)
    if first >= last:
        raise UsageError(
            f"{good} comes behind {bad}" if first > last else f"both are {good}",
            "--good and --bad",
            "the good one is the earlier one; names with numbers are in the order of these",
        )
    return list(names[first : last + 1])


def _with_package(target: LoadedTarget, package: Path) -> LoadedTarget:
    return LoadedTarget(target.target.model_copy(update={"package": str(package.resolve())}), target.file)


def _guests(config: Config) -> Iterable[str]:
    """Names of all that may be there."""
    from vm.image import RECIPES
    from vm.windows import shelf

    return [*RECIPES, *sorted(config.vm.legs), *sorted(item.name for item in shelf.kept(config.vm))]


def _kernel(config: Config, name: str) -> int:
    """What orders kernels: the build of Windows; of embedded guests the Debian release, and so its Wine."""
    from vm import debian
    from vm.guests import is_embedded
    from vm.windows import sealed

    if is_embedded(config.vm, name):
        return debian.in_order((config.vm.of_leg(name) if name in config.vm.legs else config.vm).suite)
    image = sealed.find(config.vm, name)
    said = image.manifest.get("image") if image is not None else None
    return int(said.get("build") or 0) if isinstance(said, dict) else 0
