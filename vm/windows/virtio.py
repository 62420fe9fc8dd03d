# SPDX-License-Identifier: Apache-2.0
"""The storage driver of a virtio-win ISO, for Setup to find on the provisioning CD."""

from __future__ import annotations

from pathlib import Path

from vm.errors import InputError
from vm.files import remove_tree
from vm.windows.disc import Disc
from vm.windows.wim import WimImage

_DRIVER = "viostor"
_ARCHITECTURE = "amd64"
# The folders of the ISO ("virtio-win" package, its README): from which build of Windows on each is made for.
_SERVERS = ((26100, "2k25"), (20348, "2k22"), (17763, "2k19"), (14393, "2k16"))
_CLIENTS = ((22000, "w11"), (10240, "w10"))
_ISO_HINT = "give the virtio-win ISO to --virtio-win"


def folder_of(image: WimImage) -> str:
    """The name of the folder with the drivers for `image`, by its installation type and build.

    Raises:
        InputError: the image does not say its build, or is older than what virtio-win supports.
    """
    if image.build is None:
        raise InputError(
            "does not say its build, by which virtio-win's driver is chosen",
            f"image {image}",
            "set disk_bus = 'sata'",
        )
    for build, folder in _SERVERS if image.server else _CLIENTS:
        if image.build >= build:
            return folder
    raise InputError(
        f"virtio-win has no driver for {image.version}", f"image {image}", "set disk_bus = 'sata'"
    )


def extract(iso_path: Path, image: WimImage, target: Path) -> Path:
    """Writes the driver for `image` below `target`.

    Raises:
        InputError: not an ISO, a damaged one, or one without this driver.
    """
    release = folder_of(image)
    remove_tree(target)
    (target / _DRIVER).mkdir(parents=True)
    with Disc(iso_path, "--virtio-win") as disc:
        files = disc.files(_DRIVER, release, _ARCHITECTURE)
        if not files:
            there = disc.folders(_DRIVER)
            raise InputError(
                f"there is no {_DRIVER}/{release}/{_ARCHITECTURE} in it, which {image.version} needs",
                str(iso_path),
                f"there is {', '.join(there)}: take another version of it" if there else _ISO_HINT,
            )
        written: set[str] = set()
        for file in files:
            # Several trees of names show the same files; the first is what Windows would see.
            if (name := file.name.lower()) not in written:
                written.add(name)
                with disc.open(file) as stream:
                    (target / _DRIVER / name).write_bytes(stream.read())
    if not any(name.endswith(".inf") for name in written):
        raise InputError(f"{_DRIVER}/{release}/{_ARCHITECTURE} holds no INF", str(iso_path), _ISO_HINT)
    return target
