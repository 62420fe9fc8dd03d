# SPDX-License-Identifier: Apache-2.0
"""INFs as packages have them: read as Windows reads them, in time however large, and copied for Wine."""

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import inf
from drivers.components import ROOT
from drivers.errors import PackageError
from drivers.inf.fit import why_not
from drivers.inf.wine import for_wine
from tests.drivers.test_inf import BUILD, WINDOWS_10, WINDOWS_11, made

COPIES = "CopyFiles = Avshs.CopyFiles"


DRIVER = ("[Strings]", "[Strings]\nDriver = avshs")
NEEDED = ("[Strings]", f"[common.ntamd64]\n{COPIES}\n[Strings]")
LAYOUT = ("CatalogFile = avshs.cat", "CatalogFile = avshs.cat\nLayoutFile = layout.inf")
GONE = "%DeviceName% = ,Root\\None\n%DeviceName% = Gone,Root\\Gone"
FILES: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "trailing comma": ("avshs.sys", [(COPIES, f"{COPIES},")]),
    "empty values": ("avshs.sys", [(COPIES, f"{COPIES},,Avshs.CopyFiles , @avshs.sys")]),
    "case": ("avshs.sys", [(COPIES, "COPYFILES=avshs.COPYFILES")]),
    "empty value": ("avshs.sys", [("CopyFiles]\navshs.sys", "CopyFiles]\navshs.sys =")]),
    "quotes": ("AVSHS.SYS", [("CopyFiles]\navshs.sys", 'CopyFiles]\n"AVSHS.SYS",,,0x4000')]),
    "here": ("avshs.sys", [("CopyFiles]\navshs.sys", "CopyFiles]\n.\\avshs.sys")]),
    "folders": (
        "bin/x64/avshs.sys",
        [("avshs.sys = 1,,", "AVSHS.SYS = 01, .\\x64\\"), ("%DiskName%,,,", "%DiskName%,,,\\bin")],
    ),
    "strings": ("avshs.sys", [("CopyFiles]\navshs.sys", "CopyFiles]\n%Driver%.sys"), DRIVER]),
    "needs": ("avshs.sys", [(COPIES, ""), ("KS.Registration", "KS.Registration,Common"), NEEDED]),
    "odd models": ("avshs.sys", [("[Models.NTamd64]", f"[Models.NTamd64]\n{GONE}")]),
    "files of the system": ("avshs.sys", [LAYOUT, ("CopyFiles]\n", "CopyFiles]\nsystem.dll\n")]),
    "comment behind a section": ("avshs.sys", [("CopyFiles]\n", "CopyFiles] ; and more\n")]),
    "continued": ("avshs.sys", [(COPIES, f"{COPIES} \\ ; it goes on\n , \\\n @avshs.sys")]),
}


@pytest.mark.parametrize("name", FILES)
def test_what_windows_reads_is_read(name: str) -> None:
    file, changes = FILES[name]
    assert made(*changes).files() == [file]


def test_a_comment_of_c_above_the_first_section() -> None:
    text = (ROOT / "avshs" / "avshs.inf").read_text(encoding="utf-8")
    for comment in ("/*++\n[no section\n--*/\n", "; one\n\n /* two */ /* three\n*/ [Unused]\n", "/**/\r\n"):
        assert inf.parse((comment + text).encode(), "x.inf").files() == ["avshs.sys"]
    with pytest.raises(PackageError, match=r"line 2: the comment that begins there does not end with \*/"):
        inf.parse(f"; one\n/* two\n{text}".encode(), "x.inf")


def test_a_file_of_another_processor_is_called_so() -> None:
    for kind in ("x86", "arm64"):
        with pytest.raises(
            PackageError, match=rf"avshs.sys is copied but listed for {kind} alone, in \[Sourc"
        ):
            made(("[SourceDisksFiles]", f"[SourceDisksFiles.{kind}]")).files()


def test_a_comment_of_c_behind_a_semicolon_is_none() -> None:
    text = (ROOT / "avshs" / "avshs.inf").read_text(encoding="utf-8")
    assert inf.parse((";/*++\n; --*/\n" + text).encode(), "x.inf").odd == ()
    assert inf.parse(("/* x */\n" + text).encode(), "x.inf").odd == ("it has a comment in /* */",)


def test_layouts_and_needs_of_other_infs_of_the_package() -> None:
    read = made(
        ("CatalogFile = avshs.cat", "CatalogFile = avshs.cat\nLayoutFile = other.inf, layout.inf"),
        ("avshs.sys = 1,,", ""),
        ("= ks.inf", "= ks.inf, OTHER.inf"),
        ("KS.Registration", "KS.Registration, More"),
    )
    other = inf.parse(
        b"[Version]\nSignature=$CHICAGO$\n[SourceDisksNames]\n7=x,,,\\far\n[SourceDisksFiles]\navshs.sys=7\n"
        b"more.dll=7,away\n[More]\nCopyFiles=@more.dll\n",
        "other.inf",
    )
    read.beside = {"other.inf": other}
    assert read.files() == ["far/avshs.sys", "far/away/more.dll"]
    assert read.needs_of_the_system(read.installs()) == ["KS.Registration"]


def test_services_components_and_registered_files() -> None:
    read = made(
        ("[Strings]", "[Common.Services]\nAddService = helper,,Avshs.Service\n"
         "[Avshs.Device.NTamd64.Components]\nAddComponent = Panel,,Panel.Install\n"
         "[Registered]\n11,,panel.dll,1\n[Strings]"),
        ("KS.Registration", "KS.Registration\nRegisterDlls = Registered"),
        ("AddService = avshs", "Needs = Common.Services\nAddService = avshs"),
    )  # fmt: skip
    assert read.services("Root\\KshsAvshs") == ["avshs", "helper"]
    (component,) = inf.components([read], "Root\\KshsAvshs")
    assert (component.name, component.hardware_id, component.inf) == ("Panel", "SWC\\Panel", None)
    assert read.registered("Root\\KshsAvshs") == ["panel.dll"]
    assert for_wine(read, "Root\\KshsAvshs", WINDOWS_11).notes[-2:] == (
        "no INF of the package installs SWC\\Panel, the software component Panel",
        "RegisterDlls runs code of panel.dll while the driver is installed",
    )


def test_processors_without_guests_are_told_apart() -> None:
    read = made(("Models,NTamd64", "Models,NTarm64.10.0,NTx86"))
    assert (read.hardware_ids(), read.architectures()) == ([], ["NTarm64.10.0", "NTx86"])


HEAD = "[Version]\nSignature=$CHICAGO$\n[Manufacturer]\nA=M,NTamd64\n"
MANY = 20_000
LARGE = {
    "continued lines": HEAD + "[X]\nA=" + "a,\\\n" * 150_000,
    "models of one section": HEAD + "[M.NTamd64]\n" + "A=I,Root\\A\n" * 50_000 + "[I]\nCopyFiles=F\n[F]\n",
    "models of many sections": HEAD
    + "[M.NTamd64]\n"
    + "".join(f"A=I{n},Root\\A{n}\n[I{n}]\nCopyFiles=F\nNeeds=N\n[M.NTamd64]\n" for n in range(MANY))
    + "[N]\nCopyFiles=F\n[F]\nx.sys\n[SourceDisksFiles]\nx.sys=1\n",
    "files": HEAD
    + "[M.NTamd64]\nA=I,Root\\A\n[I]\nCopyFiles=F\n[F]\n"
    + "".join(f"file{n}.dll\n" for n in range(MANY))
    + "[SourceDisksNames]\n1=x\n[SourceDisksFiles]\n"
    + "".join(f"file{n}.dll=1,sub{n}\n" for n in range(MANY)),
    "needs in a row": HEAD
    + "[M.NTamd64]\nA=I0,Root\\A\n"
    + "".join(f"[I{n}]\nNeeds=I{n + 1},I{n},I0\n" for n in range(MANY))
    + f"[I{MANY}]\n",
    "quotes": HEAD + "[M.NTamd64]\nA=" + '"a""b" , ' * 30_000,
    "quotes that do not end": HEAD + "[M.NTamd64]\n" + 'A="a;=""\n' * 30_000,
    "percent signs": HEAD + "[M.NTamd64]\nA=" + "%" * 3_900_000,
    "tokens": HEAD + "[M.NTamd64]\nA=I," + "%a%,x" * 150_000 + "\n[Strings]\na=b\n",
    "comments": "/*" + "*" * 3_900_000 + "/" + HEAD,
    "includes": HEAD + "[M.NTamd64]\nA=I,Root\\A\n[I]\n" + "Include=ks.inf\nNeeds=KS.Registration\n" * 30_000,
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_inf_is_read_in_seconds(name: str) -> None:
    """Nothing is quadratic: with these sizes that would be minutes or hours."""
    data = LARGE[name].encode()
    assert 1 << 18 < len(data) <= 4 << 20
    began = time.process_time()
    read = inf.parse(data, "x.inf")
    with contextlib.suppress(PackageError):
        for hardware_id in read.hardware_ids()[:3]:
            read.services(hardware_id)
        inf.copied_files(read)
        inf.listed_files(read)
        for_wine(read, "Root\\A", inf.System(10, 0, 26100))
    assert time.process_time() - began < 15


def test_strings_cannot_fill_the_memory() -> None:
    text = HEAD + "[M.NTamd64]\n" + "A=x%a%\n" * 100_000 + f"[Strings]\na={'y' * 4000}\n"
    with pytest.raises(PackageError, match=r"^x.inf: line \d+: its strings make it too large for an INF$"):
        inf.parse(text.encode(), "x.inf").hardware_ids()


SECTIONS = [
    *("Version", "Manufacturer", "Models.NTamd64", "Models", "I", "I.NTamd64", "I.Services", "F", "Strings"),
    *("SourceDisksFiles", "SourceDisksNames", "SourceDisksFiles.amd64"),
]
ENTRIES = st.from_regex(
    r"(CopyFiles|Needs|Include|AddService|CopyINF|LayoutFile|1|x\.sys|%a%|A)?( ?= ?)?"
    r"((I|F|@x\.sys|@\.\.\\x|x\.sys|1|Models|NTamd64(\.10\.0\.\.\.1)?|Root\\A|%a%|%%|\"|,|;|\\|\s)*)",
    fullmatch=True,
)


EXTENSION = (
    "[Version]\nSignature=$CHICAGO$\nClassGuid={e2f84ce7-8efa-411c-aa69-97454ca4cb57}\n"
    "[Manufacturer]\nA=Models,NTamd64\n[Models.NTamd64]\nA=I,Root\\A\n"
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(SECTIONS[4:]), st.lists(ENTRIES, max_size=4)), max_size=12))
def test_extensions_of_any_content_are_lent(sections: list[tuple[str, list[str]]]) -> None:
    text = EXTENSION + "".join(
        f"[{name}]\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections
    )
    read = made(("Root\\KshsAvshs", "Root\\A"))
    try:
        other = inf.parse(text.encode(), "x.inf")
        copy = for_wine(read, "Root\\A", WINDOWS_11, [read, other])
        if copy.data is not None:
            again = inf.parse(copy.data, "copy.inf")
            files = {*read.files("Root\\A", WINDOWS_11), *other.files("Root\\A", WINDOWS_11)}
            assert {*again.files("Root\\A")} == files
            assert again.services("Root\\A")[0] == "avshs"
    except PackageError as error:
        assert str(error).startswith(("x.inf: ", "copy.inf: "))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(SECTIONS), st.lists(ENTRIES, max_size=4)), max_size=12))
def test_sections_of_any_content_are_answered(sections: list[tuple[str, list[str]]]) -> None:
    text = "[Version]\nSignature=$CHICAGO$\n"
    text += "".join(f"[{name}]\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections)
    try:
        read = inf.parse(text.encode(), "x.inf")
        for hardware_id in [*read.hardware_ids(), "Root\\A"]:
            read.services(hardware_id)
            why_not(read, hardware_id, WINDOWS_10)
            copy = for_wine(read, hardware_id, WINDOWS_11)
            if copy.data is not None:
                again = inf.parse(copy.data, "copy.inf")
                assert again.files(hardware_id) == read.files(hardware_id, WINDOWS_11)
        for copied in inf.copied_files(read):
            assert ".." not in Path(copied.path).parts
    except PackageError as error:
        assert str(error).startswith(("x.inf: ", "copy.inf: "))
        assert "\n" not in str(error)


def test_what_wine_can_read_is_not_copied() -> None:
    for changes in ([], [("Models,NTamd64", "Models,NTx86,NTAMD64")]):
        copy = for_wine(made(*changes), "Root\\KshsAvshs", WINDOWS_11)
        assert copy.data is None
        assert [note[:30] for note in copy.notes] == ["Wine ignores Include and Needs"]


@pytest.mark.parametrize("key", ["LoadOrderGroup", "  loadordergroup "])
def test_the_copy_for_wine_names_no_load_order_group(key: str) -> None:
    read = made(("LoadOrderGroup = WinePlugPlay", f"{key}= Base"))
    copy = for_wine(read, "root\\kshsavshs", WINDOWS_11)
    assert copy.data is not None
    assert "LoadOrderGroup of [" in copy.notes[0] and "is left out" in copy.notes[0]
    again = inf.parse(copy.data, "copy.inf")
    (service,) = [
        name for name in again.raw if any(line.named("servicebinary") for line in again.section(name))
    ]
    keys = [(line.key or "").lower() for line in again.section(service)]
    assert "loadordergroup" not in keys and {"servicetype", "starttype", "servicebinary"} <= set(keys)


def test_the_copy_for_wine_says_the_same_in_its_words() -> None:
    read = made(
        *BUILD,
        ("KS.Registration", "Common, KS.Registration"),
        ("[Strings]", "[Common.NT]\nAddReg = Avshs.Interface.AddReg\n[Strings]"),
        ("avshs.sys = 1,,", "avshs.sys = 1,x64"),
    )
    copy = for_wine(read, "root\\kshsavshs", WINDOWS_11)
    assert copy.data is not None
    again = inf.parse(copy.data, "copy.inf")
    assert [(model.decoration, model.ids) for model in again.models()] == [("NTamd64", ("Root\\KshsAvshs",))]
    assert again.files() == ["x64/avshs.sys"]
    assert [line.values[3:] for line in again.section("SourceDisksNames")] == [("\\x64",)]
    assert [line.key for line in again.section("Avshs.Device.NTamd64")] == ["CopyFiles", "AddReg"]
    assert again.section("Avshs.Interface.AddReg") != []
    assert again.services("Root\\KshsAvshs") == ["avshs"]
    assert again.section("Manufacturer")[0].key == "kshs"
    assert copy.notes == (
        "on Wine the driver is installed from a rewritten copy of x.inf:"
        " the models of NTamd64.10.0...16299 are called NTamd64; Needs of [avshs.device.ntamd64] is followed;"
        " the folders of its files are said as Wine reads them",
        "Wine ignores Include and Needs: KS.Registration of the system's INFs is not applied",
    )
