# SPDX-License-Identifier: Apache-2.0
"""The driver folder of a virtio-win ISO: by what the image is, in whatever case and tree the ISO has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.windows.discs import make_disc
from vm.errors import InputError
from vm.windows import virtio
from vm.windows.wim import WimImage

FOLDERS = ("2k16", "2k19", "2k22", "2k25", "w10", "w11")


def _image(build: int | None, kind: str = "Client") -> WimImage:
    return WimImage(1, "image", build=build, installation_type=kind)


def _virtio_win(target: Path, kind: str = "joliet", spell: str = "lower") -> Path:
    files = {
        f"viostor/{folder}/{arch}/viostor.{suffix}": f"{folder} {arch} {suffix}".encode()
        for folder in FOLDERS
        for arch in ("amd64", "x86")
        for suffix in ("inf", "sys", "cat")
    }
    spelled = {getattr(str, spell)(name): data for name, data in files.items()}
    return make_disc(target, {**spelled, "viostor/readme.txt": b""}, kind)


@pytest.mark.parametrize(
    ("build", "kind", "folder"),
    [
        (26100, "Server", "2k25"),
        (20348, "Server", "2k22"),
        (25398, "Server Core", "2k22"),
        (17763, "Server", "2k19"),
        (14393, "Server", "2k16"),
        (26200, "Client", "w11"),
        (26100, "Client", "w11"),
        (22000, "", "w11"),
        (19045, "Client", "w10"),
    ],
)
@pytest.mark.parametrize("spell", ["lower", "upper", "title"])
@pytest.mark.parametrize("tree", ["udf", "joliet", "rock ridge"])
def test_the_image_decides_which_driver_is_taken(
    tmp_path: Path, build: int, kind: str, folder: str, spell: str, tree: str
) -> None:
    iso = _virtio_win(tmp_path / "virtio.iso", tree, spell)
    target = virtio.extract(iso, _image(build, kind), tmp_path / "drivers")
    written = {path.name: path.read_text() for path in (target / "viostor").iterdir()}
    assert written == {f"viostor.{suffix}": f"{folder} amd64 {suffix}" for suffix in ("inf", "sys", "cat")}


@pytest.mark.parametrize("image", [_image(None), _image(9600), _image(9600, "Server")])
def test_an_image_without_a_driver_is_refused(image: WimImage) -> None:
    with pytest.raises(InputError, match="disk_bus = 'sata'"):
        virtio.folder_of(image)


def test_an_iso_without_the_folder_says_which_it_has(tmp_path: Path) -> None:
    iso = make_disc(
        tmp_path / "v.iso", {"viostor/w11/amd64/viostor.inf": b"", "viostor/2k22/x86/viostor.inf": b""}
    )
    with pytest.raises(InputError, match=r"no viostor/2k22/amd64 .* there is 2k22, w11"):
        virtio.extract(iso, _image(20348, "Server"), tmp_path / "drivers")
    other = make_disc(tmp_path / "o.iso", {"sources/install.wim": b""})
    with pytest.raises(InputError, match="give the virtio-win ISO to --virtio-win"):
        virtio.extract(other, _image(26100), tmp_path / "drivers")


def test_a_folder_without_an_inf_and_a_cut_iso_are_refused(tmp_path: Path) -> None:
    iso = make_disc(tmp_path / "v.iso", {"viostor/w11/amd64/viostor.sys": b"x"})
    with pytest.raises(InputError, match="holds no INF"):
        virtio.extract(iso, _image(26100), tmp_path / "drivers")
    iso.write_bytes(iso.read_bytes()[:-4096])
    with pytest.raises(InputError, match="damaged or cut off"):
        virtio.extract(iso, _image(26100), tmp_path / "drivers")
