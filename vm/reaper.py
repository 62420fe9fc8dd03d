# SPDX-License-Identifier: Apache-2.0
"""What dead runs left behind, and its removal.  What a live process holds is never touched."""

from __future__ import annotations

import itertools
from pathlib import Path

from vm import image, keeper, slots
from vm.config import VmConfig
from vm.errors import VmError
from vm.files import UseMark, private_directory, read_json, remove_tree, try_lock


def reap(config: VmConfig) -> list[str]:
    """Ends the guests of dead runs and removes their files; says what there was, one line each.

    A run is dead when the lock of its slot is free.  An image that is half built stays, since its next
    build goes on from there; those that no present recipe would go on with are removed.

    Raises:
        VmError: the runtime or cache directory is not ours.
    """
    gone: list[str] = []
    if config.runtime_dir.exists():
        runtime = private_directory(config.runtime_dir)
        for lock_file in sorted(runtime.glob("r*.lock")):
            gone += _reap_slot(lock_file.with_suffix(""), lock_file)
    for part in sorted(config.templates_dir.glob("*.build")):
        gone += _remove_unlocked(part, "half-made template")
    for part in sorted((config.cache_dir / "windows").glob("*.part")):
        gone += _remove_unlocked(part, "half-sealed Windows guest")
    wanted = _wanted_builds(config)
    for part in sorted(config.images_dir.glob("*.build")):
        if part.name not in wanted:
            gone += _remove_unlocked(part, "half-built image")
    return gone


def end_kept(config: VmConfig) -> list[str]:
    """Ends the guests that were kept for people to look at; says what there was, one line each.

    Raises:
        VmError: the runtime directory is not ours.
    """
    gone: list[str] = []
    for directory in kept_slots(config):
        gone += _reap_slot(directory, directory.with_suffix(".lock"), kept_too=True)
    return gone


def kept_slots(config: VmConfig) -> list[Path]:
    """The slots in which a guest is kept."""
    if not config.runtime_dir.exists():
        return []
    marks = sorted(private_directory(config.runtime_dir).glob("r*.kept"))
    return [mark.with_suffix("") for mark in marks if keeper.is_kept(mark.with_suffix(""))]


def clean(config: VmConfig) -> list[str]:
    """``reap``, and then removes every image and template that no live process uses.

    Sealed Windows guests stay (`vm.windows.shelf.remove`): they are no matter of a minute.

    Raises:
        VmError: the runtime or cache directory is not ours.
    """
    gone = reap(config)
    busy_images: set[str] = set()
    busy_templates: set[Path] = set()
    templates = [path for path in sorted(config.templates_dir.glob("*-*")) if path.is_dir()]
    for path in templates:
        if path.suffix == "" and UseMark.is_held(path / "in-use"):
            manifest = read_json(path / "manifest.json") or {}
            busy_templates |= {path, *([Path(manifest["parent"])] if manifest.get("parent") else [])}
            busy_images.add(str(manifest.get("image")))
    for path in templates:
        if path not in busy_templates and UseMark.remove_unused(path, path / "in-use"):
            gone.append(f"template {path.name}")
    for path in config.images_dir.glob("*.failed"):
        remove_tree(path)
    for path in sorted((config.cache_dir / "qemu").glob("*-*")):
        if path.is_dir() and not any(slots.machines(path)):
            gone += _remove_unlocked(path, "QEMU")
    for path in sorted(config.images_dir.glob("*-*")):
        if path.is_dir() and str(path) not in busy_images:
            gone += _remove_unlocked(path, "image")
    return gone


def _reap_slot(directory: Path, lock_file: Path, *, kept_too: bool = False) -> list[str]:
    lock = try_lock(lock_file)
    if lock is None:
        return []
    try:
        return [] if keeper.is_kept(directory) and not kept_too else slots.empty(directory)
    finally:
        lock.release()


def _remove_unlocked(path: Path, what: str) -> list[str]:
    lock = try_lock(path.with_suffix(".lock"))
    if lock is None:
        return []
    try:
        return [f"{what} {path.name}"] if remove_tree(path) else []
    finally:
        lock.release()


def _wanted_builds(config: VmConfig) -> set[str]:
    names = set()
    kinds = [config, *map(config.of_leg, config.legs)]
    for recipe, kind in itertools.product(image.RECIPES, kinds):
        try:
            path, _ = image.locate(kind, recipe)
        except VmError:
            continue  # its sources cannot be read now; then nothing is known to be superseded
        names.add(path.with_suffix(".build").name)
    return names or {path.name for path in config.images_dir.glob("*.build")}
