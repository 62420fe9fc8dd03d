# SPDX-License-Identifier: Apache-2.0
"""Parts of the recipe that differ between releases of Debian, on trees of a few files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from vm import recipe_wine
from vm.config import VmConfig
from vm.errors import VmError
from vm.image import Image


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (b"\0wine-8.0 (Debian 8.0~repack-4)\0", "8.0"),
        (b"\0wine-10.0 (Debian 10.0~repack-6)\0", "10.0"),
        (b"\0wine-10.0-rc3\0", "10.0-rc3"),
        (b"\0wine-9.0.1\0", "9.0.1"),
    ],
)
def test_the_guests_wine_says_its_version(tmp_path: Path, text: bytes, version: str) -> None:
    library = tmp_path / "usr/lib/x86_64-linux-gnu/wine/x86_64-unix/ntdll.so"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"\x7fELF wine-server" + text)
    assert recipe_wine._wine_version(tmp_path) == version
    library.write_bytes(b"\x7fELF")
    with pytest.raises(VmError, match=r"ntdll\.so: does not say which Wine it is"):
        recipe_wine._wine_version(tmp_path)
    assert Image("d", tmp_path, {"wine": version}).wine_version == version
    assert Image("d", tmp_path, {}).wine_version is None


def test_a_usr_is_merged_whether_or_not_packages_bring_the_links(tmp_path: Path) -> None:
    """Debian 12's come with usrmerge, Debian 13's with base-files, and the guest has neither."""
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    for _ in range(2):
        subprocess.run(["sh", "-ec", recipe_wine._MERGED_USR, "sh", str(tmp_path)], check=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        assert (tmp_path / name).readlink() == Path(f"usr/{name}")
        assert (tmp_path / name).is_dir()


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_another_release_is_another_image(tmp_path: Path, suite: str) -> None:
    sources = tmp_path / "sources"
    sources.write_text("deb http://x.example bookworm main\ndeb http://x.example trixie main\n")
    inputs = recipe_wine.WineRecipe().inputs(VmConfig(suite=suite, apt_sources=sources))
    assert inputs["suite"] == suite
    assert f"Suites: {suite}\n" in inputs["sources"]
