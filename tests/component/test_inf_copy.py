# SPDX-License-Identifier: Apache-2.0
"""INFs of which Wine's setupapi understands less than Windows does, installed from the copy for Wine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import drivers.build
from drivers import catalogue, package, signing
from drivers.package import Package
from tests.component.package_guest import put_package
from tests.component.wine import WineGuest, copy_of

pytestmark = pytest.mark.component

HARDWARE_ID = r"Root\KshsAvshs"
INF = (drivers.build.ROOT / "avshs" / "avshs.inf").read_text(encoding="utf-8")
DATA = b"data of the driver"

DECORATED = "NTamd64.10.0...16299"
VARIANTS = {
    "a build": INF.replace("Models,NTamd64", f"Models,{DECORATED}").replace(
        "[Models.NTamd64]", f"[Models.{DECORATED}]"
    ),
    "a version beside a newer one": INF.replace(
        "Models,NTamd64", "Models,NTamd64.6.1,NTamd64.10.0...99999"
    ).replace(
        "[Models.NTamd64]",
        "[Models.NTamd64.10.0...99999]\n%DeviceName% = Gone,Root\\KshsAvshs\n[Models.NTamd64.6.1]",
    ),
    "needs": INF.replace("CopyFiles = Avshs.CopyFiles", "")
    .replace("KS.Registration", "KS.Registration, Common")
    .replace("[Avshs.CopyFiles]", "[Common]\nCopyFiles = Avshs.CopyFiles\n[Avshs.CopyFiles]")
    .replace(".Services]\n", ".Services]\nNeeds = Common.Services\n[Common.Services]\n"),
    "a comment": "/*++\n[not a section\n--*/\n" + INF,
    "an architecture's list in a folder": INF.replace(
        "[SourceDisksFiles]", "[SourceDisksFiles.amd64]"
    ).replace("avshs.sys = 1,,", "avshs.sys = 1,\\bin\\x64"),
}


@pytest.fixture
def guest(bare_template: Path, build: drivers.build.Build) -> Iterator[WineGuest]:
    with copy_of(bare_template) as prefix:
        found = WineGuest(prefix, build.agent)
        try:
            found.hold()
            found.must("install-ks", found.put(build.refks, "ks.sys"))
            found.must("install-client", found.put(build.client, "ksclient.sys"))
            yield found
        finally:
            found.stop()


def made(tmp_path: Path, build: drivers.build.Build, text: str) -> Package:
    """The sample's package with another INF, signed again."""
    folder = tmp_path / "package"
    shutil.copytree(build.avshs.directory, folder)
    (folder / "avshs.inf").write_text(text, encoding="utf-8")
    if "\\bin" in text:
        (folder / "bin" / "x64").mkdir(parents=True)
        (folder / "avshs.sys").rename(folder / "bin" / "x64" / "avshs.sys")
    catalogue.make(folder, signing.identity())
    return package.load(folder, HARDWARE_ID)


@pytest.mark.parametrize("name", VARIANTS)
def test_wine_installs_what_windows_would(
    name: str, tmp_path: Path, guest: WineGuest, build: drivers.build.Build
) -> None:
    loaded = made(tmp_path, build, VARIANTS[name])
    notes = put_package(guest, build, loaded, HARDWARE_ID)
    assert notes[0].startswith("on Wine the driver is installed from a rewritten copy of avshs.inf: ")
    guest.must("install-device", r"C:\kshs\target\avshs.inf", HARDWARE_ID, "avshs")
    services = {driver["service"]: driver for driver in guest.must("info")["drivers"]}
    assert services["avshs"]["state"] == "running", services


def test_an_inf_that_wine_understands_is_installed_as_it_is(
    tmp_path: Path, guest: WineGuest, build: drivers.build.Build
) -> None:
    loaded = made(tmp_path, build, INF)
    (note,) = put_package(guest, build, loaded, HARDWARE_ID)
    assert note.startswith("Wine ignores Include and Needs: KS.Registration ")
    assert (guest.folder / "target" / "avshs.inf").read_bytes() == loaded.inf.read_bytes()
