# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers import inf
from drivers.components import ROOT
from drivers.errors import PackageError
from drivers.inf import decorations, syntax
from drivers.inf.fit import why_not
from drivers.inf.wine import for_wine

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

#: The same with names that a file can have.
PLAIN = TEXT.replace('"quoted ""name"".dll"', "plain.dll").replace('quoted "name".dll', "plain.dll")


def parsed(text: str = TEXT, encoding: str = "utf-8") -> inf.Inf:
    return inf.parse(text.encode(encoding), "x.inf")


def made(*changes: tuple[str, str]) -> inf.Inf:
    """The sample's INF with some of its text replaced."""
    text = (ROOT / "avshs" / "avshs.inf").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return inf.parse(text.encode(), "x.inf")


def test_a_rich_inf_is_understood() -> None:
    read = parsed()
    assert read.catalogue() == "Sixty Four.cat"
    assert read.hardware_ids() == ["Root\\One", "Root\\Compatible", "Root\\Two", "Root\\Old"]
    assert [line.key for line in read.section("manufacturer")] == ['Maker, "Ltd"', "Other; Inc."]
    assert [line.key for line in read.section("models.ntamd64.6.1")] == ["100% device"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings(encoding: str) -> None:
    assert parsed(TEXT, encoding).hardware_ids() == parsed().hardware_ids()
    if encoding.startswith("utf-16-"):
        return  # without a mark it is known by its zero bytes, which foreign letters do not have
    umlaut = TEXT.replace("Root\\Two", "Root\\Zwölf")
    assert "Root\\Zwölf" in parsed(umlaut, encoding).hardware_ids()


def test_files_are_source_names_with_their_folders() -> None:
    assert parsed(PLAIN).files() == ["source.sys", "plain.dll", "x/direct.sys", "sub/dir/co.dll"]


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
        ("source.sys = 1", "other.sys = 1", "source.sys is copied but not listed"),
        ("direct.sys = 1, x", "direct.sys = 1, ..\\..", "lies outside the package"),
        ("direct.sys = 1, x", "direct.sys = 1, c:\\x", "lies outside the package"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(old: str, new: str, told: str) -> None:
    with pytest.raises(PackageError, match=f"^x.inf: .*{told}"):
        parsed(PLAIN.replace(old, new, 1)).files()


@pytest.mark.parametrize("name", ["..\\evil.sys", "/etc/passwd", "..", "c:evil.sys"])
def test_names_never_lead_out_of_the_package(name: str) -> None:
    text = TEXT.replace("@direct.sys", f"@{name}").replace("direct.sys =", f"{name} =")
    with pytest.raises(PackageError, match="lies outside the package"):
        parsed(text).files()


@given(st.binary(max_size=400))
@example(b"[")
@example(b"\xff\xfe\x00")
@example(b"\xff\xfe\x00\xd8[\x00")
@example(b"/*")
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
            read.registered(hardware_id)
            inf.components([read], hardware_id)
            for_wine(read, hardware_id, inf.System(10, 0, 26100), [read])
            why_not(read, hardware_id, inf.System(6, 1, 7601))
        inf.further_infs(read)
        inf.listed_files(read)
        for path in read.files():
            assert ".." not in Path(path).parts
            assert not Path(path).is_absolute()
    except PackageError as error:
        assert str(error).startswith("x.inf: ")


@given(st.lists(st.text(st.characters(exclude_characters="\r\n%", exclude_categories=["Cs"])), min_size=1))
def test_quoted_values_come_back(values: list[str]) -> None:
    quoted = ",".join('"' + value.replace('"', '""') + '"' for value in values)
    assert list(syntax.entry(1, f"key = {quoted}").values) == values


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


WINDOWS_11 = inf.System(10, 0, 22631, product=1, suites=0x100)
WINDOWS_10 = inf.System(10, 0, 17763, product=1, suites=0x100)
SERVER_2012_R2 = inf.System(6, 3, 9600, product=3, suites=0x80)
WINDOWS_7 = inf.System(6, 1, 7601, product=1, suites=0x100)


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        # system:                     11, 10, 2012 R2, 7
        ("", ("", "", "", "")),
        ("NTamd64", ("NTamd64",) * 4),
        ("ntAMD64.10.0...16299", ("ntAMD64.10.0...16299", "ntAMD64.10.0...16299", None, None)),
        ("NTamd64.10.0...22000,NTamd64", ("NTamd64.10.0...22000", "NTamd64", "NTamd64", "NTamd64")),
        ("NTamd64,NTamd64.6.1,NTamd64.10.0", ("NTamd64.10.0", "NTamd64.10.0", "NTamd64.6.1", "NTamd64.6.1")),
        ("NTamd64.6.3", ("NTamd64.6.3", "NTamd64.6.3", "NTamd64.6.3", None)),
        # A build counts only where the version before it is the same.
        ("NTamd64.6.3...14310", ("NTamd64.6.3...14310", "NTamd64.6.3...14310", None, None)),
        ("NTamd64...3,NTamd64...1", ("NTamd64...1", "NTamd64...1", "NTamd64...3", "NTamd64...1")),
        ("NTamd64....0x80,NTamd64", ("NTamd64", "NTamd64", "NTamd64....0x80", "NTamd64")),
        # The example of "INF Manufacturer Section": the version goes before product and suites.
        ("NT,NT.5,NT.55,NT....0x80", ("NT.5",) * 4),
        ("NTx86.6.0,NT.6.1", ("NT.6.1",) * 4),
        ("NTamd64,NT", ("NTamd64",) * 4),
        ("NTarm64,NTx86,NTia64.6.1,NTarm", (None,) * 4),
        # What is no decoration is as if it was not there.
        ("amd64,NTamd64.10.0...16299.7,NTamd64.x,NTsparc,NTamd64.0x", (None,) * 4),
        ("NTamd64.0xA.0", ("NTamd64.0xA.0", "NTamd64.0xA.0", None, None)),
    ],
)
def test_models_are_chosen_as_windows_chooses_them(text: str, chosen: tuple[str | None, ...]) -> None:
    systems = (WINDOWS_11, WINDOWS_10, SERVER_2012_R2, WINDOWS_7)
    given = text.split(",") if text else []
    found = [decorations.chosen(given, system) for system in systems]
    assert found == [[] if one is None else [one] for one in chosen]


def test_what_a_system_does_not_say_fits() -> None:
    unknown = inf.System(10, 0, 17763)
    assert decorations.chosen(["NTamd64...3"], unknown) == ["NTamd64...3"]
    assert decorations.chosen(["NTamd64....0x80"], unknown) == ["NTamd64....0x80"]


BUILD = [
    ("Models,NTamd64", "Models,NTamd64.10.0...16299"),
    ("[Models.NTamd64]", "[Models.NTamd64.10.0...16299]"),
]


@pytest.mark.parametrize(
    ("changes", "system", "told"),
    [
        ([], WINDOWS_7, None),
        (BUILD, WINDOWS_11, None),
        (
            BUILD,
            WINDOWS_7,
            "names Root.KshsAvshs for NTamd64.10.0...16299, .* this guest, 6.1.7601, does not",
        ),
        ([("Models,NTamd64", "Models.NTamd64")], WINDOWS_11, "are undecorated, and 64-bit Windows takes"),
        ([("Models,NTamd64", "Models,NTarm64")], WINDOWS_11, "names no device Root.KshsAvshs for x86_64"),
        ([("= Avshs.Device,", "= Gone,")], WINDOWS_11, r"section \[Gone\] for Root.KshsAvshs does not exist"),
    ],
)
def test_why_a_system_installs_nothing(
    changes: list[tuple[str, str]], system: inf.System, told: str | None
) -> None:
    read = made(*changes)
    reason = why_not(read, "Root\\KshsAvshs", system, undecorated=False)
    if told is None:
        assert reason is None
    else:
        assert re.search(told, reason or ""), reason
    assert bool(why_not(read, "ROOT\\kshsavshs", system)) == (told is not None and "undecorated" not in told)
