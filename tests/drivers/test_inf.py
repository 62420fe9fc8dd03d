# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import inf
from drivers.components import ROOT
from drivers.errors import PackageError

TEXT = r'''
; a comment
[version]
SIGNATURE = "$WINDOWS NT$"  ; after a value
CatalogFile = plain.cat
CatalogFile.NTamd64 = "Sixty Four.cat"

[Manufacturer]
%Maker% = Models, NTx86, NTamd64.6.1, NTamd64.10.0...18362
"Other; Inc." = Old

[Models.NTx86]
"x86 only" = Install, Root\X86
[Models.NTamd64.6.1]
%Device% = Install, Root\One, Root\Compatible
[Models.NTamd64.10.0...18362]
%Device% = Install, root\ONE, Root\Two
[Old]
"Old" = Install.Old, Root\Old

[Install.NTamd64]
CopyFiles = Files, \
            @direct.sys
[Install.NTamd64.Services]
DelService = Gone
AddService = , 2
AddService = %Service%, 2, Service
AddService = HELPER,, Service
[Install]
CopyFiles = Never
[Install.Services]
AddService = Never, 2, Service
[Install.NTamd64.CoInstallers]
CopyFiles = Co
[Install.Old]
CopyFiles = Files

[Files]
target.sys, source.sys,, 0x2
"quoted ""name"".dll"
[Co]
co.dll

[SourceDisksNames]
1 = "disk",,,
2 = "disk",,, \sub\dir
[SourceDisksFiles]
source.sys = 1
direct.sys = 1, x
co.dll = 2
[SourceDisksFiles.amd64]
quoted "name".dll = 1,,

[Strings]
Maker = "Maker, ""Ltd"""
Device = "100%% device"
Service = "Helper"
[Strings.0407]
Device = "Gerät"
'''


def parsed(text: str = TEXT, encoding: str = "utf-8") -> inf.Inf:
    return inf.parse(text.encode(encoding), "x.inf")


def test_a_rich_inf_is_understood() -> None:
    read = parsed()
    assert read.catalogue() == "Sixty Four.cat"
    assert read.hardware_ids() == ["Root\\One", "Root\\Compatible", "Root\\Two", "Root\\Old"]
    assert [line.key for line in read.section("manufacturer")] == ['Maker, "Ltd"', "Other; Inc."]
    assert [line.key for line in read.section("models.ntamd64.6.1")] == ["100% device"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(encoding: str) -> None:
    assert parsed(TEXT, encoding).hardware_ids() == parsed().hardware_ids()
    umlaut = TEXT.replace("Root\\Two", "Root\\Zwölf")
    assert "Root\\Zwölf" in parsed(umlaut, encoding).hardware_ids()


def test_files_are_source_names_with_their_folders() -> None:
    text = TEXT.replace('"quoted ""name"".dll"', "plain.dll").replace('quoted "name".dll', "plain.dll")
    assert parsed(text).files() == ["source.sys", "plain.dll", "x/direct.sys", "sub/dir/co.dll"]


@pytest.mark.parametrize("hardware_id", ["Root\\One", "ROOT\\two"])
def test_services_are_those_of_the_device(hardware_id: str) -> None:
    # The x86 model and the undecorated section have services of their own that no 64-bit system adds.
    assert parsed().services(hardware_id) == ["Helper"]
    assert parsed(TEXT.replace("HELPER,,", "Filter,,")).services(hardware_id) == ["Helper", "Filter"]
    assert parsed().services("Root\\Old") == []
    assert parsed().services("Root\\X86") == []


def test_the_sample_target() -> None:
    read = inf.load(ROOT / "avshs" / "avshs.inf")
    assert (read.catalogue(), read.files(), read.hardware_ids()) == (
        "avshs.cat",
        ["avshs.sys"],
        ["Root\\KshsAvshs"],
    )
    assert read.services("Root\\KshsAvshs") == ["avshs"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[version]", "nonsense\n[version]", "line 3: text before the first section"),
        ("[Files]", "[Files", r"section name does not end with \]"),
        ("$WINDOWS NT$", "$NO$", "has no valid Signature"),
        ("[Co]", "[Ca]", r"section \[Co\] does not exist"),
        ("= Install, Root\\One", "= Nothing, Root\\One", r"install section \[Nothing\] does not exist"),
        ("source.sys = 1", "other.sys = 1", "source.sys is copied but not listed"),
        ("direct.sys = 1, x", "direct.sys = 1, ..\\..", "lies outside the package"),
        ("direct.sys = 1, x", "direct.sys = 1, c:\\x", "lies outside the package"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(old: str, new: str, told: str) -> None:
    with pytest.raises(PackageError, match=f"^x.inf: .*{told}"):
        parsed(TEXT.replace(old, new, 1)).files()


@pytest.mark.parametrize("name", ["..\\evil.sys", "/etc/passwd", "..", "c:evil.sys"])
def test_names_never_lead_out_of_the_package(name: str) -> None:
    text = TEXT.replace("@direct.sys", f"@{name}").replace("direct.sys =", f"{name} =")
    with pytest.raises(PackageError, match="lies outside the package"):
        parsed(text).files()


@given(st.binary(max_size=400))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    try:
        inf.parse(b"[Version]\nSignature=$CHICAGO$\n" + data, "x.inf")
        inf.parse(data, "x.inf")
    except PackageError as error:
        assert str(error).startswith("x.inf: ")


@given(
    st.lists(st.sampled_from([*TEXT.splitlines(), "[", "]", "=", '"', "\\", "%", ",,", "CopyFiles=Files"]))
)
def test_any_mixture_of_lines_is_answered(lines: list[str]) -> None:
    try:
        read = parsed("[Version]\nSignature=$CHICAGO$\n" + "\n".join(lines))
        for hardware_id in read.hardware_ids():
            read.services(hardware_id)
        for path in read.files():
            assert ".." not in Path(path).parts
            assert not Path(path).is_absolute()
    except PackageError as error:
        assert str(error).startswith("x.inf: ")


@given(st.lists(st.text(st.characters(exclude_characters="\r\n%", exclude_categories=["Cs"])), min_size=1))
def test_quoted_values_come_back(values: list[str]) -> None:
    quoted = ",".join('"' + value.replace('"', '""') + '"' for value in values)
    assert list(inf._entry(1, f"key = {quoted}", {}).values) == values


def test_a_file_that_is_not_there_or_too_large(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="cannot be read: No such file"):
        inf.load(tmp_path / "x.inf")
    with (tmp_path / "x.inf").open("wb") as file:
        file.truncate(5 << 20)
    with pytest.raises(PackageError, match="too many for an INF"):
        inf.load(tmp_path / "x.inf")


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("DriverVer = 11/22/2026,1.2.3.4", "1.2.3.4"),
        ('driverver="11/22/2026" , " 1.2.3.4 "', " 1.2.3.4 "),
        ("DriverVer = %Date%,%Number%", "7.0"),
        ("DriverVer = 11/22/2026", None),
        ("DriverVer =", None),
        ("", None),
    ],
)
def test_the_version_that_windows_keeps_with_the_device(line: str, version: str | None) -> None:
    text = f'[Version]\nSignature = "$CHICAGO$"\n{line}\n[Strings]\nDate = 11/22/2026\nNumber = 7.0\n'
    assert inf.parse(text.encode(), "x.inf").driver_version() == version
