# SPDX-License-Identifier: Apache-2.0
"""Root-enumerated devices by hardware ids of every form, installed and started by Wine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import drivers.build
from drivers import catalogue, package, signing
from harness.language.target import find
from tests.component.package_guest import install_package
from tests.component.wine import WineGuest, copy_of

pytestmark = pytest.mark.component

INF = (drivers.build.ROOT / "avshs" / "avshs.inf").read_text(encoding="utf-8")

IDS = [
    r"ROOT\{8F1C2C2E-6F0B-4E0E-9E0A-0C6A1D3B5A77}\Sample",
    r"SW\{20698827-7099-4C4E-861A-4879D639A35F}",
    r"PCI\VEN_1234&DEV_5678&SUBSYS_00010002&REV_01",
    r"USB\VID_FAB1&PID_0001&MI_00",
    r"USB\Class_0e&SubClass_03",
    "*PNP0C0A",
    "FABSAMPLE",
    "fabrikam sample, of 2026",
]


@pytest.mark.parametrize("hardware_id", IDS)
def test_a_device_of_this_id_starts(
    hardware_id: str, tmp_path: Path, bare_template: Path, build: drivers.build.Build
) -> None:
    folder = tmp_path / "package"
    shutil.copytree(build.avshs.directory, folder)
    quoted = f'"{hardware_id}"' if "," in hardware_id else hardware_id
    (folder / "avshs.inf").write_text(INF.replace(r"Root\KshsAvshs", quoted), encoding="utf-8")
    catalogue.make(folder, signing.identity())
    loaded = package.load(folder, hardware_id.swapcase())
    target, _ = find("avshs")
    with copy_of(bare_template) as prefix:
        guest = WineGuest(prefix, build.agent)
        try:
            answer = install_package(
                guest, build, loaded, target.model_copy(update={"hardware_id": hardware_id})
            )
            device = guest.must("device", hardware_id)
        finally:
            guest.stop()
    assert (answer["started"], answer["service"]) == (True, "avshs")
    assert device["instance"].upper().startswith("ROOT\\MEDIA\\")
