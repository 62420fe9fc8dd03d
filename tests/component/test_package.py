# SPDX-License-Identifier: Apache-2.0
"""The sample target's package as it is handed to a guest."""

from __future__ import annotations

import configparser

import pefile
import pytest

import drivers.build

pytestmark = pytest.mark.component


def version_strings(pe: pefile.PE) -> dict[str, str]:
    return {
        key.decode(): value.decode()
        for info in pe.FileInfo[0]
        if info.Key == b"StringFileInfo"
        for table in info.StringTable
        for key, value in table.entries.items()
    }


def test_the_driver_says_what_it_is(build: drivers.build.Build) -> None:
    pe = pefile.PE(str(build.avshs.sys[0]))
    strings = version_strings(pe)
    assert strings["ProductName"] == "kshs sample target"
    assert strings["OriginalFilename"] == "avshs.sys"
    assert pe.OPTIONAL_HEADER.Subsystem == pefile.SUBSYSTEM_TYPE["IMAGE_SUBSYSTEM_NATIVE"]
    modules = {entry.dll.decode().lower() for entry in pe.DIRECTORY_ENTRY_IMPORT}
    assert modules <= {"ntoskrnl.exe", "hal.dll", "ks.sys"}


def test_the_inf_names_what_the_package_holds(build: drivers.build.Build) -> None:
    inf = configparser.RawConfigParser(
        allow_no_value=True, delimiters=("=",), strict=True, comment_prefixes=(";",)
    )
    inf.optionxform = str  # type: ignore[assignment,method-assign]
    inf.read_string(build.avshs.inf.read_text(encoding="ascii"))
    version = inf["Version"]
    assert version["Signature"] == '"$WINDOWS NT$"'
    assert version["ClassGuid"].lower() == "{4d36e96c-e325-11ce-bfc1-08002be10318}"
    assert version["CatalogFile"] == build.avshs.cat.name
    assert version["PnpLockdown"] == "1"
    assert set(inf["SourceDisksFiles"]) == {file.name for file in build.avshs.sys}
    assert "Root\\KshsAvshs" in inf["Models.NTamd64"]["%DeviceName%"]
