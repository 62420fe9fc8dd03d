from __future__ import annotations

from pathlib import Path

import pytest

from harness import config
from harness.errors import UsageError
from harness.guests.package import find_target


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "kshs.toml"
    path.write_text(text)
    return path


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = config.load()
    assert (found.run.guest, found.run.target, found.file) == ("wine", "avshs", None)


def test_the_file_of_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, '[run]\nguest = "win10"\n')
    monkeypatch.chdir(tmp_path)
    assert config.load().run.guest == "win10"


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[run]\nout = "o"\nscenarios = ["s"]\n[targets]\nmine = "driver/target.toml"\n')
    found = config.load(path)
    assert found.run.out == tmp_path / "o"
    assert found.run.scenarios == [tmp_path / "s"]
    assert found.targets["mine"] == tmp_path / "driver/target.toml"


def test_files_of_a_guest_are_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "kshs.toml"
    file.write_text('[guests.lab]\nfiles = { "tool.exe" = "tools/tool.exe", "other" = "/opt/other" }\n')
    files = config.load(file).guests["lab"].files
    assert files == {"tool.exe": tmp_path / "tools/tool.exe", "other": Path("/opt/other")}


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ("drv/t.toml", "{base}/drv/t.toml"),
        ("t.toml", "{base}/t.toml"),
        ("/elsewhere/t.toml", "/elsewhere/t.toml"),
        ("avshs", "avshs"),
        ("mine.toml", "mine.toml"),  # a name of [targets]
    ],
)
def test_a_target_that_is_a_path_is_relative_to_the_file(tmp_path: Path, given: str, becomes: str) -> None:
    text = f"[run]\ntarget = '{given}'\n[targets]\n'mine.toml' = 'driver/target.toml'\n"
    assert config.load(write(tmp_path, text)).run.target == becomes.format(base=tmp_path)


def test_where_a_target_was_set_is_known(tmp_path: Path) -> None:
    path = write(tmp_path, "[run]\ntarget = 'drv/t.toml'\n[targets]\nmine = 'm.toml'\n")
    found = config.load(path)
    assert found.said(found.run.target) == (path, "run.target")
    assert found.said("mine") == (path, "targets.mine")
    assert found.said("avshs") is None
    assert config.load(write(tmp_path, "[run]\nguest = 'wine'\n")).said("avshs") is None
    assert config.Config().said("avshs") is None


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        ("[run]\ntarget = 'drv/t.toml'\n", None, r"run\.target: there is no target file {base}/drv/t\.toml"),
        ("[run]\ntarget = 'avsh'\n", None, r"run\.target: there is no target 'avsh' \(did you mean 'avshs'"),
        ("[targets]\nmine = 'm.toml'\n", "mine", r"targets\.mine: there is no target file {base}/m\.toml"),
    ],
)
def test_a_target_that_is_not_there_is_told_with_file_and_key(
    tmp_path: Path, text: str, name: str | None, says: str
) -> None:
    path = write(tmp_path, text)
    found = config.load(path)
    with pytest.raises(UsageError, match=says.format(base=tmp_path)) as caught:
        find_target(name or found.run.target, found)
    assert str(caught.value).startswith(f"{path}: ")
    assert "--target" not in str(caught.value)


def test_a_target_of_the_command_line_is_told_as_such(tmp_path: Path) -> None:
    found = config.load(write(tmp_path, "[targets]\nmine = 'm.toml'\n"))
    with pytest.raises(UsageError, match=r"^--target: there is no target 'mime' \(did you mean 'mine'"):
        find_target("mime", found)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[run]\ngest = 'x'\n", r"run\.gest: there is no such key \(did you mean guest\?\)"),
        ("[vm]\nmemory = 3\n", r"vm\.memory: there is no such key \(did you mean memory_mib\?\)"),
        ("[vm]\nmemory_mib = 1\n", r"vm\.memory_mib: input should be greater than or equal to 256"),
        ("[runn]\n", r"runn: there is no such key \(did you mean run\?\)"),
        ("xyz = 1\n", r"xyz: there is no such key \(known here: run, targets, vm, guests\)"),
        ("file = 'x'\n", "file: there is no such key"),
        ("[run\n", "is not TOML"),
        ("[run]\nguest = 3\n", r"run\.guest: input should be a valid string"),
    ],
)
def test_errors_name_file_key_and_way_out(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError, match=says) as caught:
        config.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        config.load(tmp_path / "none.toml")
