# SPDX-License-Identifier: Apache-2.0
"""What of a package goes into a guest, and what a guest refuses or gets in its place."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import UsageError
from harness.guests import package_files
from tests.harness import fake_windows

HARDWARE_ID = r"Root\KshsAvshs"
WINDOWS = {"family": "windows", "kernel": {"major": 10, "minor": 0, "build": 17763}}
#: Wine's own word about its version is a setting, and is not looked at.
WINE = {"family": "wine", "kernel": {"major": 6, "minor": 1, "build": 7601}, "wine": {"version": "8.0"}}


class Shell:
    """Keeps what is put into the guest."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def put(self, files: dict[str, Path]) -> None:
        self.texts |= {name: path.read_bytes().decode("utf-16") for name, path in files.items()}


def package(folder: Path, decoration: str = "NTamd64", **more: Path) -> Any:
    text = fake_windows.INF.replace("Models,NTamd64", f"Models,{decoration}".rstrip(","))
    text = text.replace("[Models.NTamd64]", f"[Models.{decoration}]".replace(".]", "]"))
    (folder / "avshs.inf").write_text(text)
    inf = folder / "avshs.inf"
    return SimpleNamespace(
        inf=inf, files={"avshs.inf": inf, **more}, notes=("extra.inf is not deployed: why",)
    )


def test_names_in_the_guest_keep_their_folders(tmp_path: Path) -> None:
    more: dict[str, Path] = {r"x64\prop.dll": tmp_path / "x64" / "prop.dll"}
    assert package_files.in_guest(package(tmp_path, **more)) == {
        r"target\avshs.inf": tmp_path / "avshs.inf",
        r"target\x64\prop.dll": tmp_path / "x64" / "prop.dll",
    }


@pytest.mark.parametrize(
    ("decoration", "info", "told"),
    [
        ("NTamd64", WINDOWS, None),
        ("NTamd64", WINE, None),
        ("NTamd64", {"family": "nt"}, None),
        ("NTamd64.10.0...16299", WINDOWS, None),
        ("NTamd64.10.0...16299", WINE, None),
        ("NTamd64.10.0...22000", WINE, None),
        (
            "NTamd64.10.0...22000",
            WINDOWS,
            r"for NTamd64.10.0...22000, and .* 10.0.17763, does not",
        ),
        ("", WINE, None),
        (
            "",
            WINDOWS,
            r"models of Root\\KshsAvshs are undecorated, and 64-bit Windows",
        ),
        ("NTarm64", WINE, r"names no device Root\\KshsAvshs for x86_64"),
    ],
)
def test_a_guest_that_would_not_install_it_is_told_before(
    tmp_path: Path, decoration: str, info: dict[str, Any], told: str | None
) -> None:
    given = package(tmp_path, decoration)
    if told is None:
        package_files.check_device(given, HARDWARE_ID, info)
        return
    with pytest.raises(
        UsageError, match=rf"avshs.inf: this guest would not install the driver: .*{told}"
    ) as caught:
        package_files.check_device(given, HARDWARE_ID, info)
    assert "\n" not in str(caught.value)


def test_wine_gets_a_copy_where_it_needs_one(tmp_path: Path) -> None:
    shell: Any = Shell()
    said = package_files.put_for_wine(shell, package(tmp_path, "NTamd64.10.0...16299"), HARDWARE_ID, WINE)
    assert said == (
        "on Wine the driver is installed from a rewritten copy of avshs.inf:"
        " the models of NTamd64.10.0...16299 are called NTamd64",
    )
    text = shell.texts[r"C:\kshs\target\avshs.inf"]
    assert ",NTamd64\r\n" in text
    assert "16299" not in text


def test_wine_gets_the_inf_itself_where_it_can(tmp_path: Path) -> None:
    shell: Any = Shell()
    assert package_files.put_for_wine(shell, package(tmp_path), HARDWARE_ID, WINE) == ()
    assert shell.texts == {}


def test_the_record_says_how_it_was_deployed(tmp_path: Path) -> None:
    given = package(tmp_path, "NTamd64.10.0")
    left_out, copied = package_files.notes(given, HARDWARE_ID, "wine")
    assert left_out == "extra.inf is not deployed: why"
    assert copied.endswith("the models of NTamd64.10.0 are called NTamd64")
    assert package_files.notes(given, HARDWARE_ID, "windows") == [left_out]
    assert package_files.notes(given, r"Root\Other", "wine") == [left_out]
