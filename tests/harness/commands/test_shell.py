# SPDX-License-Identifier: Apache-2.0
"""`kshs shell` says where things are, and what it asks of a guest to get its cmd."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.commands.shell import about, cmd
from harness.commands.shell_files import coming_out, fetch, going_in
from harness.errors import HarnessError, UsageError
from vm.errors import VmError


def lease(family: str) -> Any:
    return SimpleNamespace(family=family, shell=SimpleNamespace(wine=lambda argv: " ".join(["wine", *argv])))


def test_a_windows_guest_opens_cmd_by_itself() -> None:
    assert cmd(lease("windows")) == []


def test_under_wine_cmd_is_started_on_a_raw_terminal() -> None:
    """Otherwise Enter would come as a line feed, which Wine's console takes for Ctrl-J."""
    assert cmd(lease("wine")) == [r"stty raw -echo; wine cmd.exe /k cd /d C:\kshs"]


@pytest.mark.parametrize(
    ("family", "bare", "said", "unsaid"),
    [
        ("wine", False, [r"C:\kshs\kshsctl.exe", "/root/.wine/drive_c", "kshs shell --linux"], []),
        ("wine", True, ["/root/.wine/drive_c"], ["kshsctl.exe"]),
        ("windows", False, [r"C:\kshs\kshsctl.exe", r"C:\windows\system32\drivers"], ["Linux"]),
    ],
)
def test_where_things_are(family: str, bare: bool, said: list[str], unsaid: list[str]) -> None:
    text = "\n".join(about("r0-1", family, bare=bare))
    assert text.startswith("guest r0-1; it goes when this shell ends")
    assert all(word in text for word in said) and not any(word in text for word in unsaid)


def test_files_go_beside_the_agent(tmp_path: Path) -> None:
    driver, other = tmp_path / "kstrace.sys", tmp_path / "other" / "KSTRACE.SYS"
    driver.write_bytes(b"MZ")
    other.parent.mkdir()
    other.write_bytes(b"MZ")
    assert going_in([driver]) == {r"C:\kshs\kstrace.sys": driver}
    with pytest.raises(UsageError, match="no such file"):
        going_in([tmp_path])
    with pytest.raises(UsageError, match="two files of this name"):
        going_in([driver, other])


def test_files_come_out_under_their_names_and_replace_nothing(tmp_path: Path) -> None:
    assert coming_out(["field.capsule", r"C:\Windows\x.log", r"logs\y.log"], tmp_path) == {
        r"C:\kshs\field.capsule": tmp_path / "field.capsule",
        r"C:\Windows\x.log": tmp_path / "x.log",
        r"C:\kshs\logs\y.log": tmp_path / "y.log",
    }
    (tmp_path / "there").write_text("mine")
    for wrong, why in (
        (["there"], "there already"),
        (["a", r"b\a"], "there already"),
        (["C:\\"], "names no file"),
        (["C:x"], "names no file"),
        ([".."], "names no file"),
        ([""], "names no file"),
    ):
        with pytest.raises(UsageError, match=why):
            coming_out(wrong, tmp_path)


def test_what_is_not_there_costs_no_other_file(tmp_path: Path) -> None:
    class Shell:
        def get(self, remote: str, local: Path, *, limit: int) -> None:
            if "none" in remote:
                raise VmError("cannot be copied: No such file", remote)
            local.write_bytes(b"1234")

    shell: Any = Shell()
    files = coming_out(["none.txt", "some.txt"], tmp_path)
    with pytest.raises(HarnessError, match=r"none\.txt: cannot be copied.*some\.txt: 4 bytes"):
        fetch(shell, files)
    assert (tmp_path / "some.txt").read_bytes() == b"1234"
    assert fetch(shell, coming_out(["more.txt"], tmp_path)) == [f"{tmp_path / 'more.txt'}: 4 bytes"]
