# SPDX-License-Identifier: Apache-2.0
"""A cell made ready to be sent: image, build, and all files of the user's that its leases read.

The user's files lie below ``fs`` as they lie here below the root, so that what they say of each other's
places holds there, too.
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config import Config
from harness.errors import UsageError
from harness.fleet.cells import CellItem, SentCell, Tree
from harness.fleet.content import listing
from harness.fleet.lease_files import OF_HOST, Item
from harness.fleet.shards import BESIDE_MIB, GUESTS, Needs
from harness.guests.package import find_target
from harness.guests.source import find_guest, usable_guest
from harness.language.scenario_file import CATALOGUE
from harness.language.target import BUILTIN, package_directory
from harness.text_file import decode
from vm.files import private_directory, remove_tree
from vm.guests import SealedGuests

if TYPE_CHECKING:
    from harness.guests.package import LoadedTarget

FS = "fs"
#: What of the settings goes with a lease.
_TABLES = ("limits", "incidents")
#: Of [vm] what does not make the guest what it is: it is each host's own, or goes in another way.
_NOT_OF_GUEST = (*OF_HOST, "image", "apt_sources", "legs")
#: Bytes of all that a user's files may have together.
_MOST = 2 << 30


@dataclass(frozen=True)
class FoundItem:
    """An item that was collected here: `path` of its file; the rest as in `harness.fleet.cells.CellItem`."""

    key: str
    path: Path
    name: str
    begun: Mapping[str, Any]
    seconds: float
    scenario: bool


@dataclass(frozen=True)
class Asked:
    """What is asked of a cell.

    `ours`: whether its guests come from `vm`; `paths` are those that the user named, `head` the beginning of
    the record of its run.
    """

    name: str
    folder: Path
    guest: str
    target: str
    items: Sequence[FoundItem]
    paths: Sequence[Path]
    ours: bool
    drivers: Path | None
    head: Mapping[str, Any]
    most: int | None = None
    alone: bool = False


class Staging:
    """Makes cells ready; what several of them need is made once.

    Args:
        folder: for copies; it goes with the night.
        config: the settings of the night.
        say: told what takes time.
    """

    def __init__(self, folder: Path, config: Config, say: Callable[[str], None]) -> None:
        self._folder = private_directory(folder)
        self._config = config
        self._say = say
        self._images: dict[str, tuple[Tree, str, int]] = {}
        self._builds: dict[tuple[str, Path, Path | None], tuple[Tree, str, str]] = {}
        self._number = 0

    def stage(self, asked: Asked) -> SentCell:
        """One cell.

        Raises:
            UsageError: it cannot be sent, and why.
            HarnessError, VmError, BuildError: image or drivers cannot be made here.
        """
        config = self._config
        loaded = find_target(asked.target, config)
        trees: list[Tree] = []
        order: dict[str, Any] = {"guest": asked.guest, "settings": self._settings(asked.guest)}
        expects: dict[str, str] = {}
        image, size = "", 0
        if asked.ours:
            tree, image, size = self._image(asked.guest)
            build, build_digest, package = self._build(loaded, asked)
            trees += [tree, build]
            order |= {"image": image, "image_tree": tree.digest, "build": build.digest}
            expects = {"image": image, "build": build_digest, "target_digest": package}
        inputs = self._inputs(loaded, asked)
        trees.append(inputs)
        builtin = loaded.file.resolve().parent == BUILTIN.resolve()
        order |= {
            "inputs": inputs.digest,
            "directory": _below(Path.cwd()),
            "target": loaded.target.name if builtin else _below(loaded.file.absolute()),
            "target_is_file": not builtin,
        }
        if builtin:
            order["target"] = loaded.file.stem
        memory, cores = self._size(asked.guest, ours=asked.ours)
        kind = config.vm.accelerator
        needs = Needs(
            asked.guest,
            image,
            memory * GUESTS + BESIDE_MIB,
            cores,
            size,
            None if kind == "auto" else kind,
            alone=asked.alone,
        )
        items = tuple(
            CellItem(one.key, _item(one), one.begun, one.seconds, one.scenario) for one in asked.items
        )
        return SentCell(
            asked.name, asked.folder, needs, items, tuple(trees), order, expects, asked.head, asked.most
        )

    def _settings(self, guest: str) -> dict[str, Any]:
        config = self._config
        found: dict[str, Any] = {
            name: getattr(config, name).model_dump(mode="json", exclude_unset=True) for name in _TABLES
        }
        names = [name for name in type(config.vm).model_fields if name not in _NOT_OF_GUEST]
        found["vm"] = {name: getattr(config.vm, name) for name in names}
        if guest in config.vm.legs:
            found["vm"]["legs"] = {guest: config.vm.legs[guest].model_dump(exclude_none=True)}
        profile = config.guests.get(guest)
        if profile is not None:
            said = profile.model_dump(mode="json", exclude_unset=True, exclude={"name", "files"})
            found["guests"] = {guest: said}
        return found

    def _size(self, guest: str, *, ours: bool) -> tuple[int, int]:
        """MiB and processors of a guest: of a leg its own, of a sealed one those that it was sealed with."""
        vm = self._config.vm
        if guest in vm.legs:
            vm = vm.of_leg(guest)
        elif ours and isinstance(source := find_guest(vm, guest), SealedGuests):
            return source.sealed.profile.memory_mib, source.sealed.profile.cpus
        return vm.memory_mib, vm.cpus

    # ---- trees ---------------------------------------------------------------

    def _image(self, guest: str) -> tuple[Tree, str, int]:
        if guest in self._images:
            return self._images[guest]
        from harness.guests.interface import SayProgress

        config = self._config
        source = usable_guest(config.vm, guest, self._say, config.leases_of(guest), config.devices_of(guest))
        image = source.image(SayProgress(self._say))
        self._say(f"listing the image {image.path.name}")
        kept = config.vm.cache_dir / "host" / "images" / f"{image.digest[:16]}-files.json"
        found = listing(image.path, kept, hidden=False)
        home = "windows" if image.path.parent.name == "windows" else "images"
        there = {"home": home, "name": image.path.name, "digest": str(image.digest)}
        made = Tree(image.path, found, there), str(image.digest), found.bytes
        self._images[guest] = made
        return made

    def _build(self, loaded: LoadedTarget, asked: Asked) -> tuple[Tree, str, str]:
        key = asked.guest, loaded.file, asked.drivers
        if key in self._builds:
            return self._builds[key]
        from harness.guests.provider import VmProvider

        source = asked.drivers or self._config.run.drivers
        ready = self._config.run.build
        provider = VmProvider(self._config.vm, loaded, asked.guest, source=source, ready=ready)
        build, package = provider.build(self._say)
        tree = Tree(build.directory, listing(build.directory, hidden=False))
        self._builds[key] = made = tree, build.digest, package.digest
        return made

    def _inputs(self, loaded: LoadedTarget, asked: Asked) -> Tree:
        self._number += 1
        root = self._folder / str(self._number)
        remove_tree(root)
        base = private_directory(private_directory(root) / FS)
        (base / _plain(Path.cwd())).mkdir(parents=True, exist_ok=True)
        total = 0
        for path in dict.fromkeys([*self._scenario_files(asked), *_target_files(loaded)]):
            total += path.stat().st_size
            if total > _MOST:
                raise UsageError(
                    f"all that goes with it is larger than {_MOST >> 30} GiB",
                    str(path),
                    "name files, not folders",
                )
            to = base / _plain(path)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)
        keep = base / _plain(Path.cwd()) / ".kshs-lease"
        keep.write_text("", encoding="utf-8")
        return Tree(root, listing(root))

    def _scenario_files(self, asked: Asked) -> Iterator[Path]:
        """The items' files, and what pytest reads with them."""
        here = Path.cwd()
        python = False
        for path in dict.fromkeys(one.path for one in asked.items):
            if path.is_relative_to(CATALOGUE):
                continue
            yield path
            python = python or path.suffix == ".py"
            for above in path.parents:
                yield from _there(above, "conftest.py", "__init__.py")
                if above == here or not above.is_relative_to(here):
                    break
        yield from _there(here, "conftest.py", "pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
        if python:
            for named in asked.paths:
                place = Path(str(named).split("::")[0]).absolute()
                yield from _files(place if place.is_dir() else place.parent)


def _item(found: FoundItem) -> Item:
    if found.path.is_relative_to(CATALOGUE):
        return Item(root="catalogue", file=found.path.relative_to(CATALOGUE).as_posix(), name=found.name)
    return Item(root="inputs", file=_below(found.path), name=found.name)


def _target_files(loaded: LoadedTarget) -> Iterator[Path]:
    """A target's file, its package, and the blocks that it names."""
    file = loaded.file.absolute()
    if file.resolve().parent == BUILTIN.resolve():
        return
    yield file
    data = tomllib.loads(decode(file.read_bytes()))
    said = [("package", loaded.target.package), *(("block_file", name) for name in _block_files(data))]
    for key, name in said:
        if Path(name).is_absolute():
            raise loaded.refusal(key, "an absolute path does not travel to other hosts", "make it relative")
    directory = package_directory(loaded.target, loaded.file)
    if directory is not None:
        yield from _files((file.parent / loaded.target.package).absolute())
    for _, name in said[1:]:
        yield (file.parent / name).absolute()


def _block_files(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("block_file"), str):
            yield value["block_file"]
        for item in value.values():
            yield from _block_files(item)
    elif isinstance(value, list):
        for item in value:
            yield from _block_files(item)


def _files(folder: Path) -> Iterator[Path]:
    """Regular files of a folder, but for caches and what is hidden."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        elif path.is_file():
            yield path


def _there(folder: Path, *names: str) -> Iterable[Path]:
    return (folder / name for name in names if (folder / name).is_file())


def _plain(path: Path) -> Path:
    """An absolute path as one below another place; what it says of going up is worked out."""
    parts: list[str] = []
    for part in path.absolute().parts[1:]:
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return Path(*parts)


def _below(path: Path) -> str:
    return (Path(FS) / _plain(path)).as_posix()
