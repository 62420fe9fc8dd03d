# SPDX-License-Identifier: Apache-2.0
"""The storage driver of a virtio-win ISO, for Setup to find on the provisioning CD."""

from __future__ import annotations

from pathlib import Path

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from vm.errors import InputError
from vm.files import remove_tree

_DRIVER = "viostor"
# Folders of the ISO ("virtio-win" package, its README): one for each release of Windows.
_RELEASES = {"server2025": "2k25", "server2022": "2k22", "win11": "w11", "win11-ltsc": "w11"}


def extract(iso_path: Path, guest: str, target: Path) -> Path:
    """Writes the driver for `guest` (a built-in name, else that of Windows 11) below `target`.

    Raises:
        InputError: not an ISO, or one without this driver.
    """
    folder = f"/{_DRIVER}/{_RELEASES.get(guest, 'w11')}/amd64"
    remove_tree(target)
    (target / _DRIVER).mkdir(parents=True)
    iso = pycdlib.PyCdlib()
    try:
        iso.open(str(iso_path))
    except (PyCdlibException, OSError) as error:
        raise InputError(f"this is not an ISO image: {error}", str(iso_path), "check --virtio-win") from None
    try:
        kind = "joliet_path" if iso.has_joliet() else "rr_path"
        for child in iso.list_children(**{kind: folder}):
            if child is None or not child.is_file():
                continue
            name = iso.full_path_from_dirrecord(child, rockridge=kind == "rr_path")
            base = name.rsplit("/", 1)[-1].split(";")[0]
            iso.get_file_from_iso(str(target / _DRIVER / base), **{kind: name})
    except PyCdlibException as error:
        raise InputError(
            f"there is no {folder} in it: {error}", str(iso_path), "give the virtio-win ISO to --virtio-win"
        ) from None
    finally:
        iso.close()
    if not list((target / _DRIVER).glob("*.inf")):
        raise InputError(f"{folder} holds no INF", str(iso_path), "give the virtio-win ISO to --virtio-win")
    return target
