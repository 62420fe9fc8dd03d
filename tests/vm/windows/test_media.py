from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pycdlib
import pytest

from vm.errors import VmError
from vm.windows import media, wim
from vm.windows.media import KnownMedia, Wanted

SERVER_IMAGES = (
    ("Windows Server 2025 Standard Evaluation", "ServerStandardEval", 9, "Server Core"),
    ("Windows Server 2025 Standard Evaluation (Desktop Experience)", "ServerStandardEval", 9, "Server"),
)


def make_wim(folder: Path, images: tuple[tuple[str, str, int, str], ...], build: int = 26100) -> Path:
    """A true WIM, captured by wimlib, with the properties that Windows media carry."""
    content = folder / "content"
    content.mkdir()
    (content / "file.txt").write_text("x" * 5000)
    target = folder / "install.wim"
    for number, (name, edition, arch, kind) in enumerate(images, start=1):
        verb = "capture" if number == 1 else "append"
        properties = {
            "DISPLAYNAME": name.upper(),
            "WINDOWS/ARCH": str(arch),
            "WINDOWS/EDITIONID": edition,
            "WINDOWS/INSTALLATIONTYPE": kind,
            "WINDOWS/LANGUAGES/LANGUAGE": "en-US",
            "WINDOWS/LANGUAGES/DEFAULT": "en-US",
            "WINDOWS/VERSION/MAJOR": "10",
            "WINDOWS/VERSION/MINOR": "0",
            "WINDOWS/VERSION/BUILD": str(build),
            "WINDOWS/VERSION/SPBUILD": "1742",
        }
        options = [f"--image-property={key}={value}" for key, value in properties.items()]
        subprocess.run(
            ["wimlib-imagex", verb, str(content), str(target), name, *options],
            check=True,
            capture_output=True,
        )
    return target


def make_iso(folder: Path, files: dict[str, Path]) -> Path:
    iso = pycdlib.PyCdlib()
    iso.new(udf="2.60", joliet=3, interchange_level=3)
    iso.add_directory("/SOURCES", joliet_path="/sources", udf_path="/sources")
    for number, (name, path) in enumerate(files.items()):
        iso.add_file(
            str(path),
            f"/SOURCES/F{number}.BIN;1",
            joliet_path=f"/sources/{name}",
            udf_path=f"/sources/{name}",
        )
    target = folder / "medium.iso"
    iso.write(str(target))
    iso.close()
    return target


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> media.Media:
    folder = tmp_path_factory.mktemp("server")
    return media.read(make_iso(folder, {"install.wim": make_wim(folder, SERVER_IMAGES)}))


WANTED = Wanted(
    "server2025", edition="ServerStandardEval", image_index=2, minimum_build=26100, language="en-US"
)


def _choose(medium: media.Media, wanted: Wanted = WANTED) -> wim.WimImage:
    return media.choose(medium, wanted, expected_sha256=medium.sha256, known=None)


def test_images_are_read_through_the_iso(server: media.Media) -> None:
    assert [image.index for image in server.images] == [1, 2]
    second = server.images[1]
    assert second.name == "Windows Server 2025 Standard Evaluation (Desktop Experience)"
    assert second.display_name == second.name.upper()
    assert (second.edition, second.architecture, second.build, second.revision) == (
        "ServerStandardEval",
        "amd64",
        26100,
        1742,
    )
    assert second.languages == ("en-US",)


def test_image_is_chosen_by_index_and_by_name(server: media.Media) -> None:
    assert _choose(server).index == 2
    by_name = Wanted("x", image_name=SERVER_IMAGES[0][0])
    assert _choose(server, by_name).index == 1


def test_known_medium_needs_no_word_of_the_user(server: media.Media) -> None:
    known = KnownMedia("this one", server.sha256, None, 180)
    assert media.choose(server, WANTED, expected_sha256=None, known=known).index == 2


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted("w", edition="ServerStandardEval"), "2 images fit"),
        (Wanted("w", edition="EnterpriseEval"), "no image fits"),
        (Wanted("w", image_index=7), "no image fits image_index 7"),
        (replace(WANTED, minimum_build=26200), "is build 26100"),
        (replace(WANTED, maximum_build=20348, minimum_build=0), "is build 26100"),
        (replace(WANTED, language="de-DE"), "speaks en-US, not de-DE"),
        (replace(WANTED, architecture="arm64"), "is for amd64"),
    ],
)
def test_what_does_not_fit_is_refused(server: media.Media, wanted: Wanted, message: str) -> None:
    with pytest.raises(VmError, match=message):
        _choose(server, wanted)


def test_unknown_iso_is_refused_with_the_hash_to_give(server: media.Media) -> None:
    with pytest.raises(VmError) as caught:
        media.choose(server, WANTED, expected_sha256=None, known=media.KNOWN_MEDIA["server2025"])
    assert f"--sha256 {server.sha256}" in str(caught.value)


def test_wrong_hash_is_refused(server: media.Media) -> None:
    with pytest.raises(VmError, match="not 00"):
        media.choose(server, WANTED, expected_sha256="00" * 32, known=None)


def test_retail_medium_is_refused(tmp_path: Path) -> None:
    retail = make_wim(tmp_path, (("Windows 11 Pro", "Professional", 9, "Client"),))
    medium = media.read(make_iso(tmp_path, {"install.wim": retail}))
    with pytest.raises(VmError, match="retail or volume"):
        _choose(medium, Wanted("w", edition="Professional"))


def test_wrong_architecture_is_refused(tmp_path: Path) -> None:
    arm = make_wim(tmp_path, (("Windows 11", "EnterpriseEval", 12, "Client"),))
    medium = media.read(make_iso(tmp_path, {"install.wim": arm}))
    with pytest.raises(VmError, match="for arm64"):
        _choose(medium, Wanted("w", edition="EnterpriseEval"))


def test_iso_without_a_wim_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "boot.txt"
    other.write_text("no Windows here")
    with pytest.raises(VmError, match=r"no sources/install\.wim"):
        media.read(make_iso(tmp_path, {"boot.txt": other}))


def test_no_iso_and_no_file_are_refused(tmp_path: Path) -> None:
    junk = tmp_path / "junk.iso"
    junk.write_bytes(b"\0" * 70_000)
    with pytest.raises(VmError, match="not an ISO image"):
        media.read(junk)
    with pytest.raises(VmError, match="cannot read the ISO"):
        media.read(tmp_path / "absent.iso")


@pytest.mark.parametrize("damage", ["magic", "xml", "cut", "split"])
def test_damaged_wim_is_refused(tmp_path: Path, damage: str) -> None:
    data = bytearray(make_wim(tmp_path, SERVER_IMAGES).read_bytes())
    if damage == "magic":
        data[0:5] = b"WIMMS"
    elif damage == "xml":
        offset = int.from_bytes(data[80:88], "little")
        data[offset + 2 : offset + 40] = b"\0" * 38
    elif damage == "cut":
        del data[len(data) - 100 :]
    else:
        data[42:44] = (3).to_bytes(2, "little")
    broken = tmp_path / "broken.wim"
    broken.write_bytes(data)
    with broken.open("rb") as stream, pytest.raises(VmError):
        wim.describe(stream, len(data), "broken.wim")
