# SPDX-License-Identifier: Apache-2.0
"""A driver as it comes from Windows, built as it is: spellings, words of its compiler, an INX, a resource."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers import folder, imports, inf
from drivers.errors import BuildError

pytestmark = pytest.mark.component

SOURCE = r"""
#include <NtDdk.h>
#include <WinDef.h>
#include <KS.h>
#include <KSMedia.h>
#include "Parts\Driver.h"
#include "SHARED.h"
#include <acpitabl.h>

const Level = SHARED_LEVEL;

template <class T> struct Holder { T Held; void Set(T what) { Held = what; } };
template <class T> struct Counter : Holder<T> { void Count() { Set(T(Level)); } };

#define SAY(text, ...) DbgPrint("Said: " __FUNCTION__ ## text, __VA_ARGS__)

extern "C" NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT, PUNICODE_STRING)
{
    Counter<int> counter;
    KS_FRAME_INFO frame = { sizeof(frame) };
    KSCAMERA_EXTENDEDPROP_HEADER header = { 1, KSCAMERA_EXTENDEDPROP_FILTERSCOPE, sizeof(header) };
    ACPI_PLD_V2_BUFFER place = { 2 };
    C_ASSERT(sizeof(ACPI_PLD_V2_BUFFER) == 20);
    C_ASSERT(sizeof(KS_FRAME_INFO) == 72);
    C_ASSERT(sizeof(KSCAMERA_EXTENDEDPROP_HEADER) == 32);
    C_ASSERT(sizeof(KSCAMERA_EXTENDEDPROP_VIDEOPROCSETTING) == 32);
    C_ASSERT(sizeof(KSCAMERA_METADATA_CAPTURESTATS) == 80);
    C_ASSERT(sizeof(KSDEVICE_PROFILE_INFO) == 56);
    C_ASSERT(KSPROPERTY_CAMERACONTROL_EXTENDED_DIGITALWINDOW == 43);

    place.Rotation = AcpiPldRotation90;
    frame.lSurfacePitch = (LONG)header.Size;
    counter.Count();
    SAY("(%d)\n", counter.Held + frame.lSurfacePitch + (int)place.Rotation);
    if (IsEqualGUID(PROPSETID_OURS, PINNAME_IMAGE) || IsEqualGUID(PROPSETID_OURS, KSCAMERAPROFILE_Legacy))
        return STATUS_UNSUCCESSFUL;
    return STATUS_DEVICE_CONFIGURATION_ERROR;
}
"""
HEADER = r"""
#pragma once
#define STATIC_PROPSETID_OURS 0x5F0C8E11, 0x7C1B, 0x4B61, 0x9A, 0x2E, 0x30, 0x5B, 0x7D, 0x11, 0xC4, 0x09
DEFINE_GUIDSTRUCT("5F0C8E11-7C1B-4B61-9A2E-305B7D11C409", PROPSETID_OURS);
#define PROPSETID_OURS DEFINE_GUIDNAMED(PROPSETID_OURS)
"""
RESOURCE = """
#include <windows.h>
#include <ntverp.h>
#define VER_FILETYPE VFT_DRV
#define VER_FILESUBTYPE VFT2_UNKNOWN
#define VER_FILEDESCRIPTION_STR "A driver from Windows"
#define VER_INTERNALNAME_STR "foreign.sys"
#include "Common.ver"
"""
INX = r"""
[Version]
Signature = "$WINDOWS NT$"
Class = Camera
ClassGuid = {ca3e7ab9-b4c3-4ae6-8251-579ef933890f}
CatalogFile = foreign.cat
DriverVer = 11/02/2026,1.0.0.0
[SourceDisksNames]
1 = "disk"
[SourceDisksFiles]
foreign.sys = 1
[DestinationDirs]
DefaultDestDir = 13
[Manufacturer]
"Fabrikam" = Models,NT$ARCH$.10.0...16299
[Models.NT$ARCH$.10.0...16299]
"Foreign" = Install,FABFOREIGN
[Install]
CopyFiles = @foreign.sys
[Install.Services]
AddService = Foreign,2,Service
[Service]
ServiceType = 1
StartType = 3
ErrorControl = 1
ServiceBinary = %13%\foreign.sys
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    driver = tmp_path / "driver"
    (driver / "parts").mkdir(parents=True)
    (tmp_path / "Common").mkdir()
    (driver / "foreign.cpp").write_bytes(SOURCE.replace("\n", "\r\n").encode())
    (driver / "parts" / "driver.H").write_text(HEADER)
    (driver / "foreign.rc").write_text(RESOURCE)
    (driver / "foreign.inx").write_text(INX, "utf-16")
    (tmp_path / "Common" / "Shared.h").write_text("#pragma once\n")
    return driver


def test_it_is_built_as_it_is(source: Path, tmp_path: Path) -> None:
    said: list[str] = []
    package = folder.package(
        source,
        tmp_path / "package",
        includes=[tmp_path / "Common"],
        defines=["SHARED_LEVEL=7"],
        progress=said.append,
    )
    assert "foreign.cpp: a constant without a type is an int, as Microsoft's compiler has it" in said
    assert '__FUNCTION__ is joined to other texts, and is "" therefore' in said
    assert {function for _, function in imports.imports(package.sys[0])} >= {"DbgPrint"}
    data = package.sys[0].read_bytes()
    assert "A driver from Windows".encode("utf-16-le") in data
    assert inf.load(package.inf).hardware_ids() == ["FABFOREIGN"]
    assert (source / "foreign.cpp").read_bytes() == SOURCE.replace("\n", "\r\n").encode()


def test_a_folder_that_is_not_there_is_told(source: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="there is no such directory; see --include"):
        folder.package(source, tmp_path / "package", includes=[tmp_path / "Gone"])
