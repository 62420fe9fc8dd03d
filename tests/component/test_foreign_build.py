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
#include <bdamedia.h>
#include <KsProxy.h>
#include "foreign.tmh"
#include "Parts\Driver.h"
#include "SHARED.h"
#include <acpitabl.h>

const Level = SHARED_LEVEL;

template <class T> struct Holder { T Held; void Set(T what) { Held = what; } };
template <class T> struct Counter : Holder<T> { void Count() { Set(T(Level)); } };

#define SAY(text, ...) DbgPrint("Said: " __FUNCTION__ ## text, __VA_ARGS__)

struct Time {
    ULONGLONG Value;
    operator LONG() { return (LONG)Value; }
    operator ULONGLONG() { return Value; }
};

static ULONGLONG TimeOf(__in Time *time, __inout_bcount_opt(length) PVOID, __in_ecount(1) ULONG length)
{
    ULONGLONG at = length ? *time : 0;

    return at;
}

const KSDEVICE_DESCRIPTOR Device = {
    NULL, 0, NULL, KSDEVICE_DESCRIPTOR_VERSION_2, KSDEVICE_FLAG_LOWPOWER_PASSTHROUGH
};
C_ASSERT(FIELD_OFFSET(KSDEVICE_DESCRIPTOR, Flags) == 28 && sizeof(KSDEVICE_DESCRIPTOR) == 40);
const KS_DATARANGE_BDA_ANTENNA Antenna = { { sizeof(Antenna) } };
DEFINE_KSPROPERTY_TABLE(Tuner) { DEFINE_KSPROPERTY_ITEM_BDA_RF_TUNER_FREQUENCY(NULL, NULL) };

// begin_wpp config
// FUNC TraceEvents(LEVEL, FLAGS, MSG, ...);
// end_wpp

extern "C" NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT object, PUNICODE_STRING path)
{
    Time time = { 7 };

    WPP_INIT_TRACING(object, path);
    TraceEvents(TRACE_LEVEL_ERROR, TRACE_ALL, "%!FUNC! %I64u", TimeOf(&time, NULL, 1));
    if (TimeOf(&time, NULL, 1) == 8 || IsEqualGUID(KSNODE_BDA_RF_TUNER, PINNAME_BDA_TRANSPORT))
        return KsInitializeDriver(object, path, &Device);
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
other.dll = 1
[DestinationDirs]
DefaultDestDir = 13
[Manufacturer]
"Fabrikam" = Models,NT$ARCH$.10.0...16299
[Models.NT$ARCH$.10.0...16299]
"Foreign" = Install,FABFOREIGN
[Install]
CopyFiles = @foreign.sys, @other.dll
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
    (driver / "foreign.CPP").write_bytes(SOURCE.replace("\n", "\r\n").encode())
    (driver / "parts" / "driver.H").write_text(HEADER)
    (driver / "foreign.rc").write_text(RESOURCE, "utf-16")
    (driver / "events.mc").write_text("")
    (driver / "foreign.vcxproj").write_text("")
    (driver / "schema.mof").write_text("")
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
        stand_ins=["Other.DLL"],
        progress=said.append,
    )
    assert "foreign.CPP: a constant without a type is an int, as Microsoft's compiler has it" in said
    assert '__FUNCTION__ is joined to other texts, and is "" therefore' in said
    assert "foreign.tmh: no tracing preprocessor (WPP) made this, and nothing is traced" in said
    assert "other.dll is a stand-in: nothing works that needs it" in said
    assert [line for line in said if line.startswith("ignored")] == [
        "ignored: file events.mc is for the message compiler (mc): no header and no resource is made of it",
        "ignored: file foreign.vcxproj is for MSBuild: its folders of headers and its macros are --include"
        " and --define here",
        "ignored: file schema.mof is for mofcomp: the driver has no WMI schema in its resources",
    ]
    assert {function for _, function in imports.imports(package.sys[0])} >= {"DbgPrint"}
    data = package.sys[0].read_bytes()
    assert "A driver from Windows".encode("utf-16-le") in data
    assert inf.load(package.inf).hardware_ids() == ["FABFOREIGN"]
    assert (package.directory / "other.dll").is_file()
    assert (source / "foreign.CPP").read_bytes() == SOURCE.replace("\n", "\r\n").encode()


def test_a_folder_that_is_not_there_is_told(source: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="there is no such directory; see --include"):
        folder.package(source, tmp_path / "package", includes=[tmp_path / "Gone"], stand_ins=["other.dll"])


@pytest.mark.parametrize(
    ("stand_ins", "why"),
    [
        ([], "copies 'other.dll', which is not there; put it into the folder: .* --stand-in other.dll"),
        (["other.dll", "third.dll"], "--stand-in: 'third.dll' is not copied by the INF"),
        (["other.dll", "foreign.rc"], "--stand-in: 'foreign.rc' is there"),
    ],
)
def test_files_of_other_projects_are_named(
    source: Path, tmp_path: Path, stand_ins: list[str], why: str
) -> None:
    with pytest.raises(BuildError, match=why):
        folder.package(source, tmp_path / "package", stand_ins=stand_ins)


PLAIN = """#include <ntddk.h>
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT object, PUNICODE_STRING path)
{
    static char where[] = "at " __FUNCTION__;

    (void)object;
    (void)path;
    return where[0] ? STATUS_UNSUCCESSFUL : STATUS_SUCCESS;
}
"""


def plain(folder_: Path, inf_text: str) -> Path:
    """A driver of one C source, with an INX."""
    folder_.mkdir()
    (folder_ / "plain.c").write_text(PLAIN)
    (folder_ / "plain.inx").write_text(inf_text.replace(", @other.dll", ""))
    return folder_


def test_a_driver_that_lies_in_a_folder_of_the_disk_is_built_there(tmp_path: Path) -> None:
    """And its C source joins the name of a function to a text."""
    driver = plain(tmp_path / "driver", INX.replace('1 = "disk"', '1 = "disk",,,"\\x64 files"'))
    package = folder.package(driver, tmp_path / "package")
    assert package.sys == [tmp_path / "package" / "x64 files" / "foreign.sys"]
    assert (tmp_path / "package" / "foreign.pdb").is_file()


def test_the_name_of_an_object_type_stands_for_its_import_slot(tmp_path: Path) -> None:
    """mingw-w64's declarations have one indirection more: then this address is no constant."""
    driver = plain(tmp_path / "driver", INX)
    types = ("CmKey", "ExEvent", "ExSemaphore", "IoFile")
    names = [*(f"{name}ObjectType" for name in types), "PsProcessType", "PsThreadType", "SeTokenObjectType"]
    slots = "".join(f"POBJECT_TYPE **const Slot{number} = &{name};\n" for number, name in enumerate(names))
    (driver / "plain.c").write_text(PLAIN + slots)
    assert folder.package(driver, tmp_path / "package").sys


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (", @second.sys", r"plain.inx: copies 2 .sys files \(foreign.sys, second.sys\) that lie elsewhere"),
        (None, "plain.inx: copies no .sys file that lies elsewhere"),
    ],
)
def test_one_driver_is_built(tmp_path: Path, more: str | None, why: str) -> None:
    text = INX.replace("other.dll = 1", "second.sys = 1")
    text = text.replace(
        "CopyFiles = @foreign.sys, @other.dll", f"CopyFiles = @foreign.sys{more}" if more else ""
    )
    with pytest.raises(BuildError, match=why):
        folder.package(plain(tmp_path / "driver", text), tmp_path / "package")


def test_a_driver_of_a_layout_of_the_system_is_built(tmp_path: Path) -> None:
    driver = tmp_path / "driver"
    driver.mkdir()
    (driver / "plain.c").write_text(
        "#include <ntddk.h>\nNTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT object, PUNICODE_STRING path)\n"
        "{\n    (void)object;\n    (void)path;\n    return STATUS_UNSUCCESSFUL;\n}\n"
    )
    inf_text = INX.replace("$ARCH$", "amd64").replace(", @other.dll", "").replace("foreign.sys = 1\n", "")
    (driver / "plain.inf").write_text(
        inf_text.replace("[SourceDisksNames]", "LayoutFile = Layout.inf\n[SourceDisksNames]")
    )
    package = folder.package(driver, tmp_path / "package")
    assert [path.name for path in package.sys] == ["foreign.sys"]
