# SPDX-License-Identifier: Apache-2.0
"""Sources that were written on Windows: spellings that no other file system takes, and INX files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from drivers import foreign_sources, inf
from drivers.toolchain import Adapted


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working directory with a driver's folder behind a link, as a build has it."""
    real = tmp_path / "src" / "driver"
    (real / "sub").mkdir(parents=True)
    (tmp_path / "src" / "Common").mkdir()
    (tmp_path / "system").mkdir()
    for name in ("driver/Camera.h", "driver/sub/Deep.h", "Common/Shared.h"):
        (tmp_path / "src" / name).write_text("#pragma once\n")
    (tmp_path / "system" / "ntddk.h").write_text("")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "driver").symlink_to(real, target_is_directory=True)
    return tmp_path / "work"


def spelled(work: Path, text: str) -> dict[str, Path]:
    """What the names that are spelt otherwise lead to."""
    (work / "driver" / "a.cpp").write_text(text, "utf-8")
    found = {}
    for name in foreign_sources.spell(work, ["driver"], [work.parent / "system"]):
        for spelling in {name, name.replace("\\", "/")}:
            place = Path(os.path.normpath(work / foreign_sources.SPELLED / spelling))
            said = place.read_text("utf-8").removeprefix("#include ").strip()
            folder = work.parent / "system" if said.startswith("<") else place.parent
            found[spelling] = (folder / said.strip('<>"')).resolve()
    return found


@pytest.mark.parametrize(
    ("include", "real"),
    [
        ('"camera.H"', "src/driver/Camera.h"),
        ("<CAMERA.h>", "src/driver/Camera.h"),
        ('"SUB/deep.h"', "src/driver/sub/Deep.h"),
        (r'"sub\Deep.h"', "src/driver/sub/Deep.h"),
        (r'"..\common\shared.h"', "src/Common/Shared.h"),
        ('"../COMMON/Shared.h"', "src/Common/Shared.h"),
        (r'".\Camera.h"', "src/driver/Camera.h"),
        ("<NTDDK.h>", "system/ntddk.h"),
    ],
)
def test_another_spelling_leads_to_the_header(work: Path, include: str, real: str) -> None:
    found = spelled(work, f"// first\n  #  include {include} // and more\n")
    name = include[1:-1]
    assert found == dict.fromkeys({name, name.replace("\\", "/")}, work.parent / real)


@pytest.mark.parametrize(
    "text",
    [
        '#include "Camera.h"\n#include <ntddk.h>\n#include "sub/Deep.h"\n',
        '#include <nowhere.h>\n#include MACRO\n#include ""\n',
        r'#include "C:\Camera.h"' + '\n#include "/etc/passwd"\n',
        "// #include is no directive here\nint include;\n",
    ],
)
def test_what_is_right_or_nowhere_is_left_alone(work: Path, text: str) -> None:
    assert spelled(work, text) == {}


def test_a_name_that_leads_far_up_makes_nothing_there(work: Path) -> None:
    up = "../" * 12
    spelled_name = f"{up}tmp/../{work.parent.as_posix().lstrip('/')}/SYSTEM/ntddk.h"
    (work / "driver" / "a.c").write_text(f'#include "{spelled_name}"\n')
    before = sorted(path for path in work.parent.rglob("*") if path.name != "a.c")
    foreign_sources.spell(work, ["driver"], [work.parent / "system"])
    assert sorted(path for path in work.parent.rglob("*") if path.name != "a.c") == before


def adapted(work: Path, name: str, data: bytes) -> tuple[Adapted, str]:
    """What is done to one source, and the copy that the compiler reads ("" where it is not changed)."""
    path = work / "driver" / name
    path.write_bytes(data)
    shutil.rmtree(work / "adapted", ignore_errors=True)
    made = foreign_sources.adapt(work, ["driver"])
    copies = sorted((work / "adapted").glob("*")) if made.flags else []
    assert path.read_bytes() == data
    path.unlink()
    return made, copies[0].read_text("utf-8") if copies else ""


@pytest.mark.parametrize(
    ("text", "read", "said"),
    [
        ("const Level = 1;", "const int Level = 1;", "a constant without a type is an int"),
        ("static const Other=2;", "static const int Other=2;", "a constant without a type is an int"),
        (
            "ULONGLONG At = ( p->Flags & 1 ) ? *p : 0;",
            "ULONGLONG At = ( p->Flags & 1 ) ? (ULONGLONG)*p : 0;",
            "is converted to what it initialises",
        ),
        ("const int Third = 3;", "", ""),
        ("constexpr int x = 1;", "", ""),
        ("int b = c ? *d : 1;", "", ""),
        ("Thing t = c ? *d : 0;", "", ""),
        ("const char *x = __FUNCTION__;", "", ""),
    ],
)
def test_what_microsoft_s_compiler_takes_is_read_so(work: Path, text: str, read: str, said: str) -> None:
    made, copy = adapted(work, "a.cpp", text.encode())
    assert copy == read
    assert made.flags == (("-ivfsoverlay", foreign_sources.OVERLAY) if read else ())
    assert len(made.said) == (1 if said else 0) and all(said in sentence for sentence in made.said)
    assert adapted(work, "a.c", text.encode()) == (Adapted(), "")


@pytest.mark.parametrize("name", ["a.cpp", "a.c", "a.h"])
def test_a_function_s_name_that_is_joined_is_a_text(work: Path, name: str) -> None:
    made, _ = adapted(work, name, b'char x[] = "at " __FUNCTION__;')
    assert made.flags == ('-D__FUNCTION__=""',)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.rc", 'VALUE "\u00a9"'.encode("utf-16")),
        ("a.rc", b'#pragma code_page(1252)\r\nVALUE "\xa9"'),
        ("a.c", 'VALUE "\u00a9"'.encode("utf-16")),
        ("A.CPP", b"\xfe\xff" + 'VALUE "\u00a9"'.encode("utf-16-be")),
    ],
)
def test_texts_of_other_encodings_are_read_as_utf_8(work: Path, name: str, data: bytes) -> None:
    made, copy = adapted(work, name, data)
    assert copy.strip() == 'VALUE "\u00a9"' and made.said == ()


TRACED = b"""
#include "Driver.TMH"
// begin_wpp config
// FUNC TraceEvents(LEVEL, FLAGS, MSG, ...);
// FUNC Say{LEVEL=TRACE_LEVEL_ERROR, FLAGS=ALL}(MSG, ...);
// end_wpp
"""


def test_headers_of_the_tracing_preprocessor_are_made_without_anything_in_them(work: Path) -> None:
    (work / "driver" / "a.c").write_bytes(TRACED)
    (work / "driver" / "a.vcxproj").write_text("<o>-func:Project(LEVEL,MSG,...)</o>")
    (work / "driver" / "made.tmh").write_text("")
    (work / "driver" / "b.c").write_text('#include "made.tmh"\n')
    assert foreign_sources.spell(work, ["driver"], [work.parent / "system"]) == ["Driver.TMH"]
    made = (work / foreign_sources.SPELLED / "Driver.TMH").read_text("utf-8")
    for name in ("DoTraceMessage", "WPP_INIT_TRACING", "TraceEvents", "Say", "Project"):
        assert f"#ifndef {name}\n#define {name}(...) ((void)0)\n" in made


def test_guids_of_the_driver_s_own_are_defined(work: Path) -> None:
    assert foreign_sources.guids(work, ["driver"]) == ""
    (work / "driver" / "Camera.h").write_text(
        'DEFINE_GUIDSTRUCT( "5F0C8E11-7c1b-4B61-9A2E-305B7D11C409" ,OURS);\nDEFINE_GUIDSTRUCT(text, NO);\n'
    )
    assert foreign_sources.guids(work, ["driver"]).splitlines()[1:] == [
        "extern const guid OURS;",
        "__attribute__((weak)) const guid OURS ="
        " { 0x5F0C8E11, 0x7c1b, 0x4B61, { 0x9A, 0x2E, 0x30, 0x5B, 0x7D, 0x11, 0xC4, 0x09 } };",
    ]


def test_guids_of_headers_are_defined_where_they_are_named(work: Path) -> None:
    header = work.parent / "system" / "ks.h"
    header.write_text(
        'DEFINE_GUIDSTRUCT("5F0C8E11-7C1B-4B61-9A2E-305B7D11C409", NAMED);\n'
        'DEFINE_GUIDSTRUCT("5F0C8E12-7C1B-4B61-9A2E-305B7D11C409", NAMED_OTHERWISE);\n'
    )
    (work / "driver" / "a.c").write_text("const GUID *first = &NAMED;\n")
    made = foreign_sources.guids(work, ["driver"], [header, header.with_name("nowhere.h")])
    assert "extern const guid NAMED;" in made and "OTHERWISE" not in made


INX = (
    '[Version]\nSignature="$WINDOWS NT$"\n[Manufacturer]\nA=M,NT$ARCH$.10.0...16299\n'
    "[M.NT$arch$.10.0...16299]\nB=I,Root\\A\n"
)


def test_an_inx_is_stamped_for_x64(tmp_path: Path) -> None:
    (tmp_path / "camera.inx").write_text(INX, "utf-16")
    (path,) = foreign_sources.stamped(tmp_path, tmp_path / "stamped")
    assert path == tmp_path / "stamped" / "camera.inf"
    read = inf.load(path)
    assert [(model.decoration, model.ids) for model in read.models()] == [
        ("NTamd64.10.0...16299", ("Root\\A",))
    ]


def test_an_inf_that_is_written_as_an_inx_is_stamped_too(tmp_path: Path) -> None:
    (tmp_path / "camera.inf").write_text(INX, "utf-8")
    (path,) = foreign_sources.stamped(tmp_path, tmp_path / "stamped")
    assert path == tmp_path / "stamped" / "camera.inf"
    assert inf.load(path).hardware_ids() == ["Root\\A"]
    assert "$ARCH$" in (tmp_path / "camera.inf").read_text("utf-8")


def test_an_inf_beside_it_is_what_counts(tmp_path: Path) -> None:
    (tmp_path / "Camera.inf").write_text("[Version]\n")
    (tmp_path / "camera.INX").write_text(INX)
    (tmp_path / "other.inx").write_text(INX)
    (tmp_path / "folder.inf").mkdir()
    found = foreign_sources.stamped(tmp_path, tmp_path / "stamped")
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["Camera.inf", "stamped/other.inf"]
