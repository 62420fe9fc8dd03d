# SPDX-License-Identifier: Apache-2.0
"""Images: built once under a lock, resumable, named by the digest of everything that went in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vm.config import VmConfig
from vm.errors import InputError, VmError
from vm.failures import Failures
from vm.files import digest_of, locked, private_directory, read_json, remove_tree, write_json
from vm.progress import Progress, Silent
from vm.recipe import Recipe, Work
from vm.recipe_wine import WineRecipe

RECIPES: Mapping[str, Recipe] = {"wine": WineRecipe()}
FORMAT = 2
"""Raised when the layout of an image's directory changes."""

failures = Failures()
"""Of images, in this process."""


@dataclass(frozen=True)
class VerifierSettings:
    """What Driver Verifier was set to when a guest was made: rule classes, and drivers' file names."""

    classes: tuple[int, ...]
    drivers: tuple[str, ...]


@dataclass(frozen=True)
class Image:
    """A sealed disk with its keys.  Nothing in its directory changes any more."""

    digest: str
    path: Path
    manifest: Mapping[str, Any]

    @property
    def made(self) -> str | None:
        """When it was sealed or its system installed, as ISO 8601 has it; None where nothing says so."""
        said = self.manifest.get("made") or self.manifest.get("installed")
        return None if said is None else str(said)

    @property
    def expires(self) -> datetime | None:
        """When it may not be used any more; None where no such day is known."""
        return None

    @property
    def family(self) -> str:
        """``wine`` or ``windows``."""
        return str(self.manifest["family"])

    @property
    def name(self) -> str:
        """As one asks for its guests."""
        return str(self.manifest.get("recipe", self.family))

    @property
    def verifier(self) -> VerifierSettings | None:
        """What its guests' Driver Verifier watches; None where they have none, or it is off."""
        return None

    @property
    def wine_version(self) -> str | None:
        """Of the Wine in the guest, such as ``8.0``; None where it has none.

        That one, not the host's, decides what a driver may import.
        """
        version = self.manifest.get("wine")
        return version if isinstance(version, str) else None

    @property
    def disk(self) -> Path:
        """The disk, raw; only ever read, below an overlay."""
        return self.path / "disk.raw"

    @property
    def kernel(self) -> Path:
        """The kernel that QEMU loads."""
        return self.path / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """Its first file system."""
        return self.path / "initrd"

    @property
    def client_key(self) -> Path:
        """Our private SSH key (mode 0600)."""
        return self.path / "client_key"

    @property
    def host_key(self) -> str:
        """The guest's public SSH key, in the form of authorized_keys."""
        return (self.path / "host_key.pub").read_text().strip()


def locate(config: VmConfig, recipe: str = "wine") -> tuple[Path, str]:
    """Where the image of this recipe is or would be, and its digest: the one of the settings, if they name
    one.

    Raises:
        VmError: no such recipe, or its inputs cannot be read.
    """
    chosen = _recipe(recipe)
    if config.image is not None:
        return config.images_dir / f"{chosen.name}-{config.image[:16]}", config.image
    digest = digest_of({"format": FORMAT, "recipe": chosen.name, "inputs": dict(chosen.inputs(config))})
    return config.images_dir / f"{chosen.name}-{digest[:16]}", digest


def find(config: VmConfig, digest: str) -> Image:
    """The image of this digest, whatever recipe it was made by.

    Raises:
        VmError: it is not on this machine.
    """
    for path in sorted(config.images_dir.glob("*-*")):
        image = _sealed(path, digest) if path.is_dir() else None
        if image is not None:
            return image
    raise InputError(
        f"the image {digest[:16]} is not on this machine any more", str(config.images_dir), "record it anew"
    )


def ensure(config: VmConfig, recipe: str = "wine", progress: Progress | None = None) -> Image:
    """The image of ``recipe``, built where it is not there yet.

    One process builds, others wait for it.  A build that was interrupted goes on after its last finished
    stage.  What has failed in this process, or in the one that it waited for, is not tried again but raised
    again: a refused package source is no matter of the next scenario.

    Raises:
        VmError: a program is missing or failed; the line says which.
    """
    watcher = progress or Silent()
    path, digest = locate(config, recipe)
    sealed = _sealed(path, digest)
    if sealed is not None:
        return sealed
    if config.image is not None:
        raise VmError("there is no image of the digest that the settings name", str(path), "see vm.image")
    failures.check(digest)
    private_directory(config.cache_dir)
    private_directory(config.images_dir)
    begun = time.time()
    told = path.with_suffix(".failed")
    with locked(path.with_suffix(".lock"), watcher, "builds the image"):
        sealed = _sealed(path, digest)
        if sealed is not None:
            return sealed
        failures.check_file(digest, told, begun)
        try:
            made = _build(config, _recipe(recipe), path, digest, watcher)
        except VmError as error:
            failures.remember(digest, told, error)
            raise
        remove_tree(told)
        return made


def _recipe(name: str) -> Recipe:
    try:
        return RECIPES[name]
    except KeyError:
        raise VmError(f"there is no recipe {name!r}", hint=f"recipes: {', '.join(RECIPES)}") from None


def _sealed(path: Path, digest: str) -> Image | None:
    manifest = read_json(path / "manifest.json")
    if manifest is None or manifest.get("digest") != digest:
        return None
    return Image(digest, path, manifest)


def _build(config: VmConfig, recipe: Recipe, path: Path, digest: str, progress: Progress) -> Image:
    work = Work(private_directory(path.with_suffix(".build")), config, progress)
    stages = recipe.stages()
    results: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    for position, stage in enumerate(stages):
        marker = work.directory / f"{stage.name}.done"
        done = read_json(marker)
        if done is None:
            progress.step(f"image: {stage.label}", position / len(stages))
            begun = time.monotonic()
            outcome = dict(stage.run(work))
            done = {"result": outcome, "seconds": round(time.monotonic() - begun, 2)}
            write_json(marker, done)
        results |= done["result"]
        seconds[stage.name] = done["seconds"]
    progress.step("image: sealing", 1.0)
    begun = time.monotonic()
    for name in recipe.leftovers():
        remove_tree(work.directory / name)
    for stage in stages:
        remove_tree(work.directory / f"{stage.name}.done")
    sizes = {entry.name: entry.stat().st_blocks * 512 for entry in sorted(work.directory.iterdir())}
    seconds["sealed"] = round(time.monotonic() - begun, 2)
    write_json(
        work.directory / "manifest.json",
        {
            "digest": digest,
            "recipe": recipe.name,
            "family": recipe.family,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "suite": config.suite,
            "bytes_on_disk": sizes,
            "seconds": seconds,
            **results,
        },
    )
    remove_tree(path)
    work.directory.rename(path)
    image = _sealed(path, digest)
    if image is None:
        raise VmError("the image that was just sealed cannot be read", str(path))
    return image
