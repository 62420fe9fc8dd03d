# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from harness.config import Config
from harness.errors import UsageError
from harness.guests.package import find_target
from harness.language import target
from harness.language.target import TargetError

if TYPE_CHECKING:
    from drivers.build import Build

#: Without the line of its licence, so that lines count from what is meant.
GOOD = (target.BUILTIN / "avshs.toml").read_text("utf-8").partition("\n")[2]


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf-8")
    return path


def test_the_sample_target() -> None:
    sample, file = target.find("avshs")
    assert sample.name == "avshs"
    assert sample.behaviour
    assert target.package_directory(sample, file) is None
    assert sample.find_pin("source2") is sample.find_pin(2)
    assert sample.find_pin("none") is None


def test_a_target_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("builtin:avshs", "package"))
    mine, file = target.find(str(path))
    with pytest.raises(TargetError, match="there is no directory") as caught:
        target.package_directory(mine, file)
    assert (caught.value.line, caught.value.key) == (5, "package")
    (tmp_path / "package").mkdir()
    assert target.package_directory(mine, file) == tmp_path / "package"


def with_package(tmp_path: Path, *infs: str, hardware_id: str = r"Root\KshsAvshs") -> Path:
    """A target file for the service avshs, with a package of INFs beside it."""
    (tmp_path / "package").mkdir()
    for number, text in enumerate(infs):
        (tmp_path / "package" / f"driver{number}.inf").write_text(text, "utf-8")
    text = GOOD.replace("builtin:avshs", "package").replace(r"Root\KshsAvshs", hardware_id)
    return write(tmp_path, text)


INF = (Path(__file__).parents[3] / "drivers" / "avshs" / "avshs.inf").read_text("utf-8")


@pytest.mark.parametrize(
    "inf",
    [
        INF.replace("AddService = avshs", "AddService = AVSHS"),
        INF.replace("AddService = avshs", "Needs = Theirs"),
    ],
    ids=["other case", "of another INF"],
)
def test_a_service_that_may_well_be_there_is_taken(tmp_path: Path, inf: str) -> None:
    file = with_package(tmp_path, inf)
    assert find_target(str(file), Config()).file == file


@pytest.mark.parametrize("hardware_id", [r"Root\KshsAvshs", r"ROOT\kshsavshs"])
def test_a_package_for_the_device_is_taken(tmp_path: Path, hardware_id: str) -> None:
    file = with_package(tmp_path, INF, hardware_id=hardware_id)
    assert find_target(str(file), Config()).file == file


@pytest.mark.parametrize(
    ("infs", "hardware_id", "line", "key", "words"),
    [
        ([], r"Root\KshsAvshs", 5, "package", "there is no INF in .*build it: kshs build --driver"),
        (
            [INF, INF],
            r"Root\KshsAvshs",
            5,
            "package",
            "driver0.inf and driver1.inf both install Root.KshsAvshs .leave one",
        ),
        (["no inf"], r"Root\KshsAvshs", 5, "package", "text before the first section"),
        ([INF.replace("NTamd64", "NTx86")], r"Root\KshsAvshs", 5, "package", "no device for 64-bit systems"),
        (
            [INF.replace("AddService = avshs", "AddService = other")],
            r"Root\KshsAvshs",
            7,
            "service",
            r"adds no service 'avshs' for 'Root.KshsAvshs' .there: other.",
        ),
        ([INF], r"Root\Other", 6, "hardware_id", r"'Root.Other' is not in .*there: Root.KshsAvshs"),
    ],
)
def test_a_package_that_cannot_be_deployed_is_told_before_anything_else(
    tmp_path: Path, infs: list[str], hardware_id: str, line: int, key: str, words: str
) -> None:
    file = with_package(tmp_path, *infs, hardware_id=hardware_id)
    with pytest.raises(TargetError, match=words) as caught:
        find_target(str(file), Config())
    assert (caught.value.line, caught.value.key) == (line, key)
    assert str(caught.value).startswith(f"{file}:{line}: ")
    assert "\n" not in str(caught.value)


def test_a_package_whose_parts_do_not_fit_is_the_targets_mistake(tmp_path: Path) -> None:
    """No catalogue: seen when the package is loaded, and no failure of ours."""
    found = find_target(str(with_package(tmp_path, INF)), Config())
    with pytest.raises(TargetError, match=r"avshs\.cat") as caught:
        found.package(cast("Build", None))
    assert caught.value.key == "package"


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("hardware_id", "hardwareid", 6, "unknown key 'hardwareid' (did you mean 'hardware_id'?)"),
        ('flow = "out"', 'flow = "up"', 22, "'up' is not one of"),
        ('category = "6B', 'category = "6', 8, "is no GUID"),
        ('accepts = ["a"]', 'accepts = ["c"]', 23, "'c' is not among [protocols] (there: a, b)"),
        ('name = "sink"', 'name = "source"', 29, "another pin is called 'source'"),
        ("id = 1", "id = 0", 28, "another pin has the id 0"),
        ("\nb = ", "\nunknown = ", 17, "scenarios use the word"),
        ("xor = ", "xr = ", 24, "did you mean 'xor'?"),
    ],
)
def test_mistakes_have_their_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    with pytest.raises(TargetError) as caught:
        target.load(write(tmp_path, GOOD.replace(old, new, 1)))
    assert any(item.line == line and words in str(item) for item in caught.value.complaints), str(
        caught.value
    )


IMPORTS = [("ks.sys", "KsInitializeDriver"), ("ntoskrnl.exe", "ExFreePool"), ("hal.dll", "#7")]


@pytest.mark.parametrize("names", [[], ["KS.SYS!KsInitializeDriver", "hal.dll!#7"]])
def test_imports_that_a_driver_has_may_be_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    monkeypatch.setattr("drivers.imports.imports", lambda pe: IMPORTS)
    file = with_package(tmp_path, INF)
    file.write_text(file.read_text().replace("\n[format]", f"imports.allow = {names}\n[format]", 1))
    (tmp_path / "package" / "avshs.sys").touch()
    assert find_target(str(file), Config()).target.imports.allow == names


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ks.sys!KsInitializeDrver", "is no import of the package's drivers (did you mean 'ks.sys!KsInit"),
        ("ks.sys!ksinitializedriver", "is no import of the package's drivers (did you mean 'ks.sys!KsInit"),
        ("x.sys!Y", "is no import of the package's drivers (drivers: avshs.sys)"),
        ("KsInitializeDriver", "is not of the form that is needed here"),
    ],
)
def test_an_import_that_no_driver_has_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    monkeypatch.setattr("drivers.imports.imports", lambda pe: IMPORTS)
    file = with_package(tmp_path, INF)
    (tmp_path / "package" / "avshs.sys").touch()
    file.write_text(file.read_text().replace("\n[format]", f'imports.allow = ["{name}"]\n[format]', 1))
    with pytest.raises(TargetError) as caught:
        find_target(str(file), Config())
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{file}:10: imports.allow[0]: ")


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'avshs'"):
        target.find("avsh")
    with pytest.raises(UsageError, match="one of: avshs"):
        target.find("zzzz")


def test_the_documented_examples_are_good(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text("utf-8")
    examples = [block for block in re.findall(r"```toml\n(.+?)```", text, re.DOTALL) if "[[pin]]" in block]
    names = [target.load(write(tmp_path, example)).name for example in examples]
    assert names == ["bridge", "camera", "clock"]
