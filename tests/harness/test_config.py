# SPDX-License-Identifier: Apache-2.0
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
        (
            "xyz = 1\n",
            r"\(known here: run, limits, store, gate, targets, vm, incidents, capsule, guests, nights,"
            r" hosts\)",
        ),
        ("file = 'x'\n", "file: there is no such key"),
        ("[guests.lab]\nname = 'x'\n", r"guests: lab\.name: there is no such key; the guest is called"),
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


TEXT = '[run]\nguest = "lab"\n'


@pytest.mark.parametrize(
    "raw", [TEXT.encode(), b"\xef\xbb\xbf" + TEXT.encode(), TEXT.replace("\n", "\r\n").encode()], ids=len
)
def test_files_are_taken_as_editors_save_them(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "kshs.toml").write_bytes(raw)
    assert config.load(tmp_path / "kshs.toml").run.guest == "lab"


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (TEXT.encode("utf-16"), r"kshs\.toml:1: is UTF-16, where UTF-8 is needed \(save it as UTF-8\)"),
        (TEXT.encode("utf-16-le"), r"kshs\.toml:1: is UTF-16"),
        (TEXT.encode("utf-16-be"), r"kshs\.toml:1: is UTF-16"),
        (b"[run]\n# gr\xfc\xdfe\n", r"kshs\.toml:2: is not UTF-8 \(save it as UTF-8\)"),
        (b"[run]\n\n\0\0\n", r"kshs\.toml:3: holds NUL bytes"),
        (b"a = " + b"[" * 100_000, r"kshs\.toml: is n"),
    ],
    ids=["UTF-16", "UTF-16 without its mark", "UTF-16 big-endian", "Latin-1", "NUL", "nested"],
)
def test_what_is_no_text_is_told_with_its_line(tmp_path: Path, raw: bytes, says: str) -> None:
    (tmp_path / "kshs.toml").write_bytes(raw)
    with pytest.raises(UsageError, match=says) as caught:
        config.load(tmp_path / "kshs.toml")
    assert "\n" not in str(caught.value)


def test_a_name_in_capitals_is_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "KSHS.TOML").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    assert config.load().run.guest == "lab"
    write(tmp_path, '[run]\nguest = "own"\n')
    assert config.load().run.guest == "own"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("KSHS_RUNTIME_DIR", "/tmp/" + "x" * 120, "runtime_dir must be at most 48 bytes long"),
        ("KSHS_CACHE_DIR", "/dev/null/cache", "/dev/null is no directory"),
        ("KSHS_CACHE_DIR", "~nobody-at-all/x", "there is no user whose home ~nobody-at-all would be"),
    ],
)
@pytest.mark.parametrize("file", [None, TEXT], ids=["no file", "a file"])
def test_a_wrong_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str, file: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)
    if file is not None:
        write(tmp_path, file)
    with pytest.raises(UsageError) as caught:
        config.load()
    assert str(caught.value).startswith(f"environment variable {name}: {says}"), caught.value
    assert "\n" not in str(caught.value)


def test_a_wrong_path_of_the_file_is_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSHS_CACHE_DIR", str(tmp_path))
    with pytest.raises(UsageError, match=r"kshs\.toml: vm\.cache_dir: /dev/null is no directory"):
        config.load(write(tmp_path, "[vm]\ncache_dir = '/dev/null/x'\n"))


def test_paths_of_guests_are_relative_to_the_file_or_in_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/somebody")
    text = "[vm]\ncache_dir = 'cache'\napt_sources = 'list'\n[run]\nout = '~/o'\ntarget = '~/t.toml'\n"
    found = config.load(write(tmp_path, text))
    assert (found.vm.cache_dir, found.vm.apt_sources) == (tmp_path / "cache", tmp_path / "list")
    assert (str(found.run.out), found.run.target) == ("/somebody/o", "/somebody/t.toml")


def test_a_misspelt_key_of_a_guest_has_a_hint(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"guests\.lab\.memory: there is no such key \(did you mean memory_mib"
    ):
        config.load(write(tmp_path, "[guests.lab]\nmemory = 8192\n"))
