# SPDX-License-Identifier: Apache-2.0
"""Packages in components: what extensions and software components add, and how Wine gets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers import inf, package_infs
from drivers.inf.wine import for_wine

DOCK = Path(__file__).parents[2] / "examples" / "componentised" / "driver"
DEVICE = r"Root\FabrikamDock"
PANEL = r"SWC\VID_FAB1&PID_0D0C"
SYSTEM = inf.System(10, 0, 26100, 1)


def infs(folder: Path = DOCK) -> dict[str, inf.Inf]:
    names = {path.name.lower(): path for path in sorted(folder.glob("*.inf"))}
    found, unreadable = package_infs.read(folder, names)
    assert unreadable == []
    return {one.name: one for one in found}


def changed(folder: Path, name: str, *changes: tuple[str, str]) -> dict[str, inf.Inf]:
    for path in DOCK.glob("*.inf"):
        (folder / path.name).write_bytes(path.read_bytes())
    text = (folder / name).read_text("utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / name).write_text(text, "utf-8")
    return infs(folder)


def test_the_base_installs_the_device_and_the_others_add_to_it() -> None:
    found = infs()
    assert package_infs.main(list(found.values()), DOCK, DEVICE).name == "dock.inf"
    assert [one.name for one in found.values() if one.adds_to_others()] == [
        "dock-extension.inf",
        "dock-panel.inf",
    ]
    assert [one.name for one in inf.extensions(found.values(), DEVICE.upper(), SYSTEM)] == [
        "dock-extension.inf"
    ]
    assert inf.extensions(found.values(), r"Root\Other", SYSTEM) == []
    assert inf.extensions(found.values(), DEVICE, inf.System(10, 0, 15063)) == []


def test_a_component_is_found_by_the_id_that_it_is_given() -> None:
    found = infs()
    (component,) = inf.components(found.values(), DEVICE, SYSTEM)
    assert (component.name, component.hardware_id, component.inf) == (
        "DockPanel",
        PANEL,
        found["dock-panel.inf"],
    )
    assert component.software == ()


def test_a_component_that_nobody_installs_and_one_that_runs_a_program(tmp_path: Path) -> None:
    found = changed(tmp_path, "dock-panel.inf", ("PID_0D0C", "PID_0000"))
    (component,) = inf.components(found.values(), DEVICE, SYSTEM)
    assert (component.hardware_id, component.inf) == (PANEL, None)
    notes = for_wine(found["dock.inf"], DEVICE, SYSTEM, list(found.values())).notes
    assert f"no INF of the package installs {PANEL}, the software component DockPanel" in notes
    found = changed(
        tmp_path,
        "dock-panel.inf",
        ("[Strings]", "[Panel_Install.NT.Software]\nAddSoftware = Panel,,X\n[Strings]"),
    )
    notes = for_wine(found["dock.inf"], DEVICE, SYSTEM, list(found.values())).notes
    assert "Wine does not know AddSoftware: Panel is not run" in notes


def test_components_may_add_components_and_end_somewhere(tmp_path: Path) -> None:
    found = changed(
        tmp_path,
        "dock-panel.inf",
        (
            "[Strings]",
            "[Panel_Install.NT.Components]\nAddComponent = Itself,,A\nAddComponent = More,,B\n"
            "AddComponent = Odd\n"
            "[A]\nComponentIDs = VID_FAB1&PID_0D0C\n[B]\ncomponentids = none, MORE\n[Strings]",
        ),
        (
            rf"{PANEL}",
            rf"{PANEL}" + "\n%PanelName% = Panel_Install,SWC\\More",
        ),
    )
    names = [(one.name, one.hardware_id) for one in inf.components(found.values(), DEVICE, SYSTEM)]
    assert names == [("DockPanel", PANEL), ("More", r"SWC\MORE")]


def test_the_copy_for_wine_has_what_the_extension_adds() -> None:
    found = infs()
    copy = for_wine(found["dock.inf"], DEVICE, SYSTEM, list(found.values()))
    assert copy.notes == (
        "on Wine the driver is installed from a rewritten copy of dock.inf: the models of"
        " NTamd64.10.0...16299 are called NTamd64; what dock-extension.inf adds is in it",
        "Wine ignores Include and Needs: KS.Registration of the system's INFs is not applied",
        f"Wine does not know AddComponent: DockPanel ({PANEL} of dock-panel.inf) is installed as a"
        " root-enumerated device, beside the driver's and not below it",
    )
    assert copy.data is not None
    again = inf.parse(copy.data, "copy.inf")
    (line,) = again.section("Dock_Install.NT.HW")
    (value,) = again.section(line.first())
    assert value.values == ("HKR", "", "Gain", "0x00010001", "42")
    assert again.files(DEVICE) == ["dock.sys"]
    assert again.services(DEVICE) == ["FabDock"]


EXTRA = r"""
[SourceDisksNames]
7 = "disk",,,"\more"
[SourceDisksFiles]
tune.dat = 7
one.dat = 7
old.dat = 7
[DestinationDirs]
DefaultDestDir = 10,%Folder%
Tables = 11
[Product_Install.NT]
CopyFiles = Tables,@one.dat
AddReg = Tuning, "Quoted"
DelFiles = Old
[Product_Install.NT.Filters]
AddFilter = FabFilter,,Filter
[Tables]
tune.dat
[Old]
old.dat
[Quoted]
HKR,,Text,,"%Folder%, Tuning; 100%%, %12%"
HKR,,Tables,,Tables
"""


def test_sections_files_and_strings_of_two_infs_are_not_mixed_up(tmp_path: Path) -> None:
    found = changed(
        tmp_path,
        "dock-extension.inf",
        ("[Product_Install.NT]\n", EXTRA),
        ("[Strings]", '[Strings]\nFolder = "Fabrikam, Ltd"\nDeviceName = "not the base\'s"'),
        ("[Tuning]", "[Dock.CopyFiles]\nnever.sys\n[Tuning]"),
    )
    copy = for_wine(found["dock.inf"], DEVICE, SYSTEM, list(found.values()))
    assert copy.data is not None
    again = inf.parse(copy.data, "copy.inf")
    assert again.files(DEVICE) == ["dock.sys", "more/tune.dat", "more/one.dat"]
    assert [line.key for line in again.section("Kshs.Models.1.NTamd64")] == ["Fabrikam Dock"]
    lines = {line.key: line.values for line in again.section("Dock_Install.NT")}
    tables, single = lines["CopyFiles"]
    quoted = [again.section(name) for name in lines["AddReg"]][1]
    assert [line.values[4] for line in quoted] == ["Fabrikam, Ltd, Tuning; 100%, %12%", "Tables"]
    places = {line.key: line.values for line in again.section("DestinationDirs")}
    assert places[tables] == ("11",)
    assert places[single] == places[lines["DelFiles"][0]] == ("10", "Fabrikam, Ltd")
    assert places["Dock.CopyFiles"] == ("13",)
    assert "Wine does not know AddFilter: FabFilter is not put over the device" in copy.notes


def test_needs_of_another_inf_of_the_package_are_followed(tmp_path: Path) -> None:
    (tmp_path / "shared.inf").write_text(
        '[Version]\nSignature = "$WINDOWS NT$"\n[Common.NT]\nAddReg = Registry\n[Registry]\nHKR,,%Name%,,x\n'
        "[Strings]\nName = Shared\n",
        "utf-8",
    )
    found = changed(
        tmp_path,
        "dock.inf",
        ("= ks.inf", "= ks.inf, Shared.inf"),
        ("KS.Registration", "Common, KS.Registration"),
    )
    copy = for_wine(found["dock.inf"], DEVICE, SYSTEM, list(found.values()))
    assert "what shared.inf adds is in it" in copy.notes[0]
    assert copy.data is not None
    again = inf.parse(copy.data, "copy.inf")
    (line,) = [line for line in again.section("Dock_Install.NT") if line.named("addreg")]
    assert [entry.values[2] for entry in again.section(line.first())] == ["Shared"]


@pytest.mark.parametrize(
    ("class_guid", "adds"),
    [
        ("{E2F84CE7-8EFA-411C-AA69-97454CA4CB57}", True),
        ("{5c4c3332-344d-483c-8739-259e934c9cc8}", True),
        ("{5989fce8-9cd0-467d-8a6a-5419e31529d4}", True),
        ("{4d36e96c-e325-11ce-bfc1-08002be10318}", False),
        ("", False),
    ],
)
def test_classes_that_add_to_the_devices_of_others(class_guid: str, adds: bool) -> None:
    text = f"[Version]\nSignature=$CHICAGO$\nClassGuid={class_guid}\n"
    assert inf.parse(text.encode(), "x.inf").adds_to_others() is adds
