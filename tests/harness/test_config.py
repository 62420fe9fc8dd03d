from __future__ import annotations

from pathlib import Path

import pytest

from harness import config
from harness.errors import UsageError


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
