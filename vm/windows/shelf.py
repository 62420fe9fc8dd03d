# SPDX-License-Identifier: Apache-2.0
"""The Windows guests of this machine, sealed and in the making, and their removal.

A sealed image takes the better part of an hour to make, so nothing removes one but `remove`, by its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from vm.config import VmConfig
from vm.errors import InputError, VmError
from vm.files import UseMark, read_json, remove_tree, room, try_lock
from vm.windows import sealed
from vm.windows.state import StateFile

_WORK = ".work"


@dataclass(frozen=True)
class Kept:
    """One directory of ``CACHE/windows``; `bytes` on the disk."""

    name: str
    path: Path
    state: str
    """``sealed``, ``in the making``, ``damaged``; ``failed`` and ``resumable`` go on with ``--resume``."""
    detail: str
    bytes: int


def kept(config: VmConfig, now: datetime | None = None) -> list[Kept]:
    """All of them, by name; what is sealed before what is in the making for the same name."""
    folder = sealed.home(config, "any").parent
    found = [path for path in sorted(folder.glob("*")) if path.is_dir() and path.suffix in ("", _WORK)]
    return [_work(path) if path.suffix == _WORK else _sealed(config, path, now) for path in found]


def remove(config: VmConfig, name: str) -> list[str]:
    """Removes the guest `name`: sealed image, what is in the making, templates; says what, one line each.

    Raises:
        InputError: there is no such guest.
        VmError: a live run uses it.
    """
    names = sorted({item.name for item in kept(config)})
    if name not in names:
        raise InputError(
            f"there is no Windows guest {name!r} on this machine",
            hint=f"there are: {', '.join(names)}" if names else "there is none",
        )
    home = sealed.home(config, name)
    work = home.with_name(f"{name}{_WORK}")
    lock = try_lock(home.with_name(f"{name}.lock"))
    if lock is None:
        raise VmError("is being made by a live run", f"guest {name}", "end that run first")
    try:
        templates = [
            path
            for path in sorted(config.templates_dir.glob(f"{name}-*"))
            if path.is_dir() and _image_of(path) == str(home)
        ]
        if any(UseMark.is_held(path / "in-use") for path in templates) or _being_prepared(config, name):
            raise VmError("is in use by a live run", f"guest {name}", "end that run first")
        gone = [f"template {path.name}" for path in templates if UseMark.remove_unused(path, path / "in-use")]
        for path, what in ((work, "guest in the making"), (home, "sealed guest")):
            if remove_tree(path):
                gone.append(f"{what} {path.name}")
        for suffix in ("leases.json", "leases", "part"):
            remove_tree(home.with_name(f"{name}.{suffix}"))
    finally:
        lock.release()
    return gone


def _being_prepared(config: VmConfig, name: str) -> bool:
    """Whether a run makes a template of it at this moment."""
    for part in config.templates_dir.glob(f"{name}-*.build"):
        lock = try_lock(part.with_suffix(".lock"))
        if lock is None:
            return True
        lock.release()
    return False


def _image_of(template: Path) -> str | None:
    try:
        manifest = read_json(template / "manifest.json")
    except VmError:
        return None
    return None if manifest is None else str(manifest.get("image"))


def _sealed(config: VmConfig, path: Path, now: datetime | None) -> Kept:
    try:
        image = sealed.find(config, path.name)
    except VmError as error:
        return Kept(path.name, path, "damaged", str(error), room(path))
    if image is None:
        return Kept(path.name, path, "damaged", "there is no manifest.json", room(path))
    medium = image.manifest.get("image") or {}
    details = [
        *([f"{medium['name']}, build {medium.get('build') or 'unknown'}"] if medium.get("name") else []),
        sealed.remaining(image, now),
        f"sealed {image.manifest['made']}" if image.manifest.get("made") else "",
    ]
    return Kept(path.name, path, "sealed", "; ".join(text for text in details if text), room(path))


def _work(path: Path) -> Kept:
    name = path.name.removesuffix(_WORK)
    lock = try_lock(path.with_name(f"{name}.lock"))
    if lock is None:
        return Kept(name, path, "in the making", "a live run works on it", room(path))
    lock.release()
    try:
        file = StateFile.load(path / "state.json")
    except VmError as error:
        return Kept(name, path, "damaged", str(error), room(path))
    if file is None:
        return Kept(name, path, "damaged", "there is no state.json", room(path))
    record = file.record
    if record.failure is None:
        return Kept(name, path, "resumable", f"interrupted in state {record.state}", room(path))
    failure = record.failure
    return Kept(
        name,
        path,
        "failed",
        f"in state {failure.state}: {failure.reason}; see {failure.evidence}",
        room(path),
    )
