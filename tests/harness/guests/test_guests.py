# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import DeployError, UsageError
from harness.guests import deploy, support_library
from harness.guests.crash_record import crash_sentence, crashes_in
from harness.guests.provider import VmGuest, VmProvider
from vm.config import VmConfig
from vm.events import GuestEvents
from vm.image import Image
from vm.windows.sealed import WindowsImage

RECORD: dict[str, Any] = {
    "kind": "exception",
    "pid": 120,
    "process": "winedevice.exe",
    "code": "0xc0000005",
    "access": "write",
    "target": "0x0",
    "fault": {"address": "0x35412d7", "module": "avshs.sys", "offset": "0x12d7"},
    "driver": "avshs.sys",
}


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (RECORD, "exception 0xc0000005 at avshs.sys+0x12d7, write of 0x0 in winedevice.exe"),
        (
            {**RECORD, "fault": {"address": "0x170000010", "module": "ntdll.dll", "offset": "0x10"}},
            "exception 0xc0000005 at ntdll.dll+0x10, called by avshs.sys, write of 0x0 in winedevice.exe",
        ),
        (
            {"code": 5, "module": "ntdll.dll", "offset": "0x10", "driver": "avshs.sys", "unwound": True},
            "exception 0x5 at ntdll.dll+0x10, called by avshs.sys",
        ),
        (
            {"code": 5, "module": "ntdll.dll", "offset": "0x10", "driver": "avshs.sys", "unwound": False},
            "exception 0x5 at ntdll.dll+0x10, perhaps called by avshs.sys",
        ),
        (
            {"kind": "ended", "process": "winedevice.exe", "code": "0x1"},
            "winedevice.exe ended with exit code 0x1",
        ),
        (
            {"code": 0xC0000094, "address": 4096, "module": None, "offset": None},
            "exception 0xc0000094 at 0x1000",
        ),
        (
            {"kind": "bugcheck", "code": "0xde", "process": "winedevice.exe"},
            "bugcheck 0xde in winedevice.exe",
        ),
        ({}, "exception unknown"),
    ],
)
def test_crash_records_in_words(record: dict[str, Any], says: str) -> None:
    assert crash_sentence(record) == says


def test_torn_and_foreign_lines_are_kept_as_they_are() -> None:
    text = json.dumps(RECORD) + '\n{"kind": "exc\n\nerr:ntoskrnl:KeBugCheckEx 000000DE\n[1]\n'
    assert crashes_in(text).driver[1:] == ('{"kind": "exc', "err:ntoskrnl:KeBugCheckEx 000000DE", "[1]")
    assert all(len(line) <= 500 for line in crashes_in("x" * 10_000).driver)


# ---- what a guest's family changes --------------------------------------------------


@pytest.mark.parametrize(
    ("family", "gone", "driver"),
    [("wine", True, ()), ("windows", False, ("the hypervisor reports: the guest crashed (0xD1)",))],
)
def test_a_panic_is_the_drivers_only_where_drivers_are_a_part_of_the_kernel(
    family: str, gone: bool, driver: tuple[str, ...]
) -> None:
    events = GuestEvents()
    events.record("panicked", "0xD1")
    lease: Any = nullcontext()
    lease.family, lease.events, lease.standstill = family, events, lambda: None
    evidence = VmGuest(lease).evidence()
    assert (evidence.gone, evidence.driver) == (gone, driver)
    assert "0xD1" in "".join([*evidence.driver, *evidence.other])


BUILD: Any = SimpleNamespace(digest="b", client=Path("ksclient.sys"))
PACKAGE: Any = SimpleNamespace(digest="p", sys=[Path("theirs.sys")])


def provider() -> VmProvider:
    allowed = SimpleNamespace(allow=["theirs.sys!Of"])
    named = SimpleNamespace(
        hardware_id=r"Root\Theirs", service="theirs", imports=allowed, root_enumerated=None
    )
    target: Any = SimpleNamespace(target=named)
    return VmProvider(VmConfig(), target)


def windows(*legs: str, family: str = "windows") -> WindowsImage:
    manifest = {
        "family": family,
        "name": "lab",
        "profile": {"name": "lab", "legs": list(legs), "verifier_drivers": ["Extra.sys"]},
    }
    return WindowsImage("d", Path("lab"), manifest)


def test_a_target_is_checked_against_what_the_images_family_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(build: Any, package: Any, wine: str | None, allowed: list[str]) -> None:
        raise UsageError(f"theirs.sys imports KsFoo, allowed {allowed}")

    monkeypatch.setattr(deploy, "check_imports", refused)
    for image in (Image("d", Path("wine"), {"family": "wine"}), windows(family="wine")):
        with pytest.raises(UsageError, match=r"imports KsFoo, allowed \['theirs.sys!Of'\]"):
            provider().layer(BUILD, PACKAGE, image, print)
    assert provider().layer(BUILD, PACKAGE, windows(), print).digest


def test_the_verifier_leg_is_part_of_the_layer_and_of_every_guest() -> None:
    given = provider()
    plain, leg = (given.layer(BUILD, PACKAGE, image, print) for image in (windows(), windows("verifier")))
    assert plain.digest != leg.digest
    info: dict[str, Any] = {"verifier": {"flags": 0, "drivers": [], "settings": None, "active": None}}
    given._build, given._package = BUILD, PACKAGE
    given.check_guest(info)  # no image, no leg
    given._image = windows()
    given.check_guest(info)
    given._image = windows("verifier")
    with pytest.raises(DeployError, match=r"classes 1 2 4 .*is off there"):
        given.check_guest(info)
    watched = [{"name": name, "loads": 1} for name in ("avshs.sys", "ksclient.sys", "extra.sys")]
    info["verifier"]["active"] = {"flags": 0xFFFFFFFF, "drivers": watched}
    with pytest.raises(DeployError, match=r"does not watch theirs\.sys, only avshs\.sys, extra\.sys, ks"):
        given.check_guest(info)
    watched.append({"name": "theirs.sys", "loads": 2})
    given.check_guest(info)


def test_imports_are_checked_against_the_wine_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr(deploy, "check_imports", lambda build, package, wine, allow: asked.append(wine))
    for manifest in ({"family": "wine", "wine": "8.0"}, {"family": "wine"}):
        provider().layer(BUILD, PACKAGE, Image("d", Path("wine"), manifest), print)
    assert asked == ["8.0", None]


def test_what_wine_gets_wrong_is_weighed_for_somebody_elses_driver_on_wine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(support_library, "doubts", lambda paths, wine: ([p.name for p in paths], wine))
    ours: Any = SimpleNamespace(avshs=SimpleNamespace(directory=Path("ours")))

    def of(image: Any, directory: str) -> object:
        given = provider()
        given._build, given._image = ours, image
        package: Any = SimpleNamespace(directory=Path(directory), sys=[Path("theirs.sys")])
        given._package = package
        return given.doubts()

    wine = Image("d", Path("wine"), {"family": "wine", "wine": "8.0"})
    assert of(wine, "theirs") == (["theirs.sys"], "8.0")
    assert of(wine, "ours") == ()
    assert of(windows(), "theirs") == ()
    assert provider().doubts() == (), "nothing is known before guests were prepared"
