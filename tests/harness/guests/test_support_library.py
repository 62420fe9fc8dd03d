# SPDX-License-Identifier: Apache-2.0
"""Foreign drivers get the support library on Wine, and only there; the guest must run what was sent."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from drivers import import_rewrite, imports, kernel_calls
from drivers.errors import BuildError
from harness.errors import DeployError, UsageError
from harness.guests import support_library
from harness.guests.deploy import Kit
from tests.drivers.pe import driver_image
from tests.harness.guests.test_deploy import FakeShell, kit, run

__all__ = ["kit"]


class Guest(FakeShell):
    """Keeps what was put there, by name."""

    def put(self, files: dict[str, Path]) -> None:
        super().put(files)
        self.bytes = getattr(self, "bytes", {}) | {name: path.read_bytes() for name, path in files.items()}

    def driver(self, service: str, path: Path) -> dict[str, Any]:  # type: ignore[override]
        data = self.bytes.get(f"C:\\kshs\\target\\{path.name}", path.read_bytes())
        return {"service": service, "state": "running", "sha256": hashlib.sha256(data).hexdigest()}


@pytest.fixture
def foreign(kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    """A package that is not our sample's, whose driver needs KeSetTimer of the library."""
    library = tmp_path / "wdmsup.sys"
    library.write_bytes(b"library")
    kit.build.avshs.directory = tmp_path / "ours"  # type: ignore[misc]
    kit.build.wdmsup = library  # type: ignore[misc]
    monkeypatch.setattr(imports, "imports", lambda pe: [])
    monkeypatch.setattr(imports, "exports_of", lambda pe: imports.Exports(frozenset()))

    def rewrite(driver: Path, offered: imports.Offered) -> import_rewrite.Rewritten:
        return import_rewrite.Rewritten(driver.name, b"rewritten", ("KeSetTimer",))

    monkeypatch.setattr(import_rewrite, "rewrite", rewrite)
    return kit


def test_wine_gets_the_library_and_the_rewritten_driver(foreign: Kit) -> None:
    shell = Guest(foreign, version={"version": "8.0"})
    before = foreign.package.sys[0].read_bytes()
    run(shell)
    assert shell.bytes[r"C:\windows\system32\drivers\wdmsup.sys"] == b"library"
    assert shell.bytes[r"C:\kshs\target\avshs.sys"] == b"rewritten"
    assert foreign.package.sys[0].read_bytes() == before


def test_a_guest_that_runs_the_original_is_said(foreign: Kit) -> None:
    original = hashlib.sha256(foreign.package.sys[0].read_bytes()).hexdigest()

    def bend(verb: str, answer: dict[str, Any]) -> tuple[int, Any, bytes] | None:
        for driver in answer.get("drivers", []):
            if driver["service"] == "avshs":
                driver["sha256"] = original
        return None

    with pytest.raises(DeployError, match=r"runs another avshs\.sys than was sent"):
        run(Guest(foreign, version={"version": "8.0"}, bend=bend))


def test_windows_gets_the_driver_as_it_is(foreign: Kit) -> None:
    driver = foreign.package.sys[0]
    assert support_library.as_deployed(driver, {"family": "windows"}) == driver.read_bytes()
    assert support_library.as_deployed(driver, {"family": "wine"}) == b"rewritten"


def test_the_record_names_the_functions(foreign: Kit) -> None:
    (said,) = support_library.notes(foreign.package.sys)
    assert said == (
        "avshs.sys was deployed with imports rewritten: on Wine 8.0, 10.0"
        " kshs's wdmsup.sys supplies KeSetTimer"
    )


def test_a_driver_that_cannot_be_rewritten_is_refused_in_one_line(
    foreign: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rewrite(driver: Path, offered: imports.Offered) -> import_rewrite.Rewritten:
        raise BuildError("has no room in its headers for another section", str(driver))

    monkeypatch.setattr(import_rewrite, "rewrite", rewrite)
    with pytest.raises(UsageError, match=r"cannot be prepared for a Wine guest: has no room") as caught:
        run(Guest(foreign, version={"version": "8.0"}))
    assert "\n" not in str(caught.value)


def test_a_driver_of_the_frameworks_is_told_apart(foreign: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "imports", lambda pe: [("wdfldr.sys", "WdfVersionBind")])
    with pytest.raises(UsageError, match=r"is a driver of the Windows Driver Frameworks \(KMDF\)") as caught:
        run(Guest(foreign, version={"version": "8.0"}))
    assert "framework library" in str(caught.value.hint)


def test_what_is_in_doubt_is_told_of_the_driver_as_it_is_deployed(
    foreign: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the library supplies is not Wine's to get wrong; what stays Wine's is."""
    image = driver_image({"ntoskrnl.exe": ["KeSetEvent", "KeBad"], "wdmsup.sys": ["KeSetTimer"]})
    bad = {name: kernel_calls.Answer(name, "wrong", "answers TRUE") for name in ("KeSetTimer", "KeBad")}
    calls = kernel_calls.Calls(
        "Wine 8.0", "", bad, {"KeSetTimer": kernel_calls.Answer("KeSetTimer", "right")}
    )
    monkeypatch.setattr(kernel_calls, "known", lambda version: calls)
    monkeypatch.setattr(
        import_rewrite,
        "rewrite",
        lambda driver, offered: import_rewrite.Rewritten(driver.name, image, ("KeSetTimer",)),
    )
    imports.wine.cache_clear()
    said = [str(doubt) for doubt in support_library.doubts(foreign.package.sys, "8.0")]
    imports.wine.cache_clear()
    assert said == ["avshs.sys imports KeBad: on Wine 8.0 KeBad answers TRUE"]
