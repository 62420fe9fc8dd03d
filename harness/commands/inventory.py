# SPDX-License-Identifier: Apache-2.0
"""What kshs keeps on this machine: images, Windows guests, templates, live leases, builds."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import platformdirs

from harness.plugin.well_spelt import FOLDER
from vm import keeper, slots
from vm.config import VmConfig
from vm.files import UseMark, read_json, remove_tree, room, try_lock
from vm.windows import shelf
from vm.words import counted


def inventory(config: VmConfig) -> dict[str, list[str]]:
    """Titles, and a line each thing."""
    images = [_entry(path) for path in _sealed(config.images_dir)]
    templates = [
        _entry(path) + (", in use" if UseMark.is_held(path / "in-use") else "")
        for path in _sealed(config.templates_dir)
    ]
    leases = [
        f"{name}  process {pid}, slot {slot.name}{_kept(slot)}"
        for slot in sorted(config.runtime_dir.glob("r[0-9]*"))
        if slot.is_dir()
        for pid, name in slots.machines(slot)
    ]
    windows = [
        f"{item.name}  {item.state}, {item.bytes / (1 << 20):,.0f} MiB on disk; {item.detail}"
        for item in shelf.kept(config)
    ]
    return {"images": images, "Windows guests": windows, "templates": templates, "live guests": leases}


def _kept(slot: Path) -> str:
    """How one gets at a guest that was kept."""
    guest = keeper.facts(slot)
    return f", kept: {guest.shell}; gdb stub {guest.gdb}" if guest is not None else ""


def places(config: VmConfig) -> list[str]:
    """Every place outside of a project where kshs keeps something: path, MiB, what it is, what removes it."""
    kept = [
        (config.images_dir, "images", "kshs clean --all"),
        (config.templates_dir, "templates", "kshs clean --all"),
        (config.cache_dir / "windows", "Windows guests", "kshs clean --guest NAME"),
        (config.cache_dir / "qemu", "the QEMU that replays, from Debian 13", "kshs clean --all"),
        (config.cache_dir / "host", "of nights over many hosts", "kshs clean --all"),
        (config.cache_dir / FOLDER, "which scenario files are well spelt", "kshs clean --all"),
        (_builds(), "builds of drivers", "kshs clean --all"),
        (config.runtime_dir, "live guests", "kshs clean, kshs clean --kept"),
        (
            platformdirs.user_data_path("kshs") / "signing",
            "your test certificate and its key",
            "removed by hand only (docs/signing.md)",
        ),
        (
            platformdirs.user_data_path("kshs") / "store.db",
            "runs that were imported",
            "kshs store prune --older-than 1y",
        ),
    ]
    prefixes = _prefixes()
    kept += [(path, "Wine prefixes of the project's own tests", "kshs clean --all") for path in prefixes]
    named = {path for path, _, _ in kept}
    rest = sorted(path for path in config.cache_dir.glob("*") if path not in named)
    kept += [(path, "of the project's own tests", "remove it by hand") for path in rest]
    rows = [(str(path), _mib(path), what, way) for path, what, way in kept if path.exists()]
    if not rows:
        return [f"nothing yet; images and templates will go to {config.cache_dir}"]
    width = max(len(row[0]) for row in rows)
    lines = [f"{path:{width}}  {mib:>7,.0f} MiB  {what}: {way}" for path, mib, what, way in rows]
    return [*lines, f"{'in all':{width}}  {sum(row[1] for row in rows):>7,.0f} MiB"]


def _builds() -> Path:
    return platformdirs.user_cache_path("kshs") / "drivers"


def _mib(place: Path) -> float:
    return room(place) / (1 << 20)


def remove_builds() -> list[str]:
    """Removes the cached builds of our drivers; keys stay."""
    builds = _builds()
    if not builds.exists():
        return []
    shutil.rmtree(builds)
    return [f"builds {builds}"]


def _prefixes() -> list[Path]:
    """Of the project's own component tests: one directory a version of Wine, with copies for tests."""
    cache = platformdirs.user_cache_path("kshs")
    return sorted(path for path in cache.glob("component-prefix-*") if path.is_dir())


def remove_prefixes() -> list[str]:
    """Removes the Wine prefixes of the project's own tests, but for those that a test uses just now."""
    gone = []
    for home in _prefixes():
        lock = try_lock(home / "lock")  # whoever makes the template holds it
        if lock is None:
            continue
        try:
            if not any(_lives(copy) for copy in home.glob("copy-*-*")):
                remove_tree(home)
                gone.append(f"Wine prefixes of tests {home}")
        finally:
            lock.release()
    return gone


def _lives(copy: Path) -> bool:
    """Whether the test process is there whose copy this is; its id is in the name."""
    return Path("/proc", copy.name.split("-")[1]).exists()


def _sealed(directory: Path) -> list[Path]:
    complete = (path for path in sorted(directory.glob("*-*")) if path.is_dir() and not path.suffix)
    return [path for path in complete if read_json(path / "manifest.json") is not None]


def _entry(path: Path) -> str:
    age = max(0.0, time.time() - (path / "manifest.json").stat().st_mtime)
    return f"{path.name}  {_mib(path):,.0f} MiB on disk, made {_ago(age)} ago"


def _ago(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return counted(round(seconds), "second")
