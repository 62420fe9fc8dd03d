# SPDX-License-Identifier: Apache-2.0
"""`kshs shell` says where things are, and what it asks of a guest to get its cmd."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.commands.shell import about, cmd


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
