# SPDX-License-Identifier: Apache-2.0
"""One interface to the guests of either family: which module does the work, and what is said of them."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import vm.image
import vm.lease
import vm.template
import vm.windows.lease
from vm import guests
from vm.config import VmConfig
from vm.errors import InputError, VmError
from vm.family import FAMILIES, Wine, family
from vm.image import RECIPES
from vm.windows import sealed
from vm.windows.profile import BUILTIN, Leg, Way, WindowsProfile

HARNESS = Path(__file__).parents[2] / "harness"


def _seal(config: VmConfig, profile: WindowsProfile = BUILTIN["win11"], days_left: int = 30) -> None:
    home = sealed.home(config, profile.name)
    home.mkdir(parents=True)
    installed = datetime.now(UTC) + timedelta(days=days_left - 90, minutes=1)
    manifest = {
        "digest": "d",
        "name": profile.name,
        "family": "windows",
        "profile": profile.model_dump(mode="json"),
        "installed": installed.isoformat(timespec="seconds"),
        "evaluation_days": 90,
        "medium": {"path": "/media/w.iso"},
        "disk_sha256": "s",
    }
    (home / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def config(tmp_path: Path) -> VmConfig:
    return VmConfig(cache_dir=tmp_path / "cache")


def test_a_recipe_and_a_sealed_guest_are_found_by_their_names(config: VmConfig) -> None:
    _seal(config)
    for name in RECIPES:
        found = guests.find(config, name)
        assert (found.name, found.family) == (name, name)
        assert found.facts() == {}
    windows = guests.find(config, "win11")
    assert (windows.name, windows.family) == ("win11", "windows")
    assert windows.facts() == {"evaluation_days_left": 30}
    assert windows.image().disk == config.cache_dir / "windows/win11/disk.qcow2", "it is there already"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("server2022", "the guest server2022 is not made; run: kshs provision server2022 --iso FILE"),
        ("nobody", "there is no guest 'nobody'; recipes: wine; or kshs provision"),
    ],
)
def test_what_is_not_there_is_told_with_the_way_to_it(config: VmConfig, name: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        guests.find(config, name)
    assert str(refused.value) == message


def test_a_damaged_guest_is_no_absent_one(config: VmConfig) -> None:
    _seal(config)
    (config.cache_dir / "windows/win11/manifest.json").write_text("{}")
    with pytest.raises(VmError, match="cannot be used"):
        guests.find(config, "win11")


def test_guests_whose_time_is_over_may_not_be_used(config: VmConfig) -> None:
    said: list[str] = []
    guests.find(config, "wine").check(said.append)
    assert said == []
    _seal(config, days_left=3)
    guests.find(config, "win11").check(said.append)
    assert len(said) == 1 and "evaluation period ends in 3 days" in said[0]
    _seal(config, BUILTIN["win11-ltsc"], days_left=-1)
    with pytest.raises(InputError, match="evaluation period ended"):
        guests.find(config, "win11-ltsc").check(said.append)


def test_each_family_is_leased_by_its_own_module(config: VmConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []

    def noted(what: str, result: object = None) -> Any:
        return lambda *_, **given: calls.append((what, given)) or result

    hv: Any = object()
    template: Any = object.__new__(vm.windows.lease.WindowsTemplate)
    monkeypatch.setattr(guests, "ensure_image", noted("build"))
    monkeypatch.setattr(vm.template, "ensure", noted("template"))
    monkeypatch.setattr(vm.lease, "acquire", noted("lease"))
    monkeypatch.setattr(vm.windows.lease, "ensure", noted("windows template", template))
    monkeypatch.setattr(vm.windows.lease, "acquire", noted("windows lease"))
    _seal(config)
    for name, way in (("wine", None), ("win11", Way.BOOT)):
        found = guests.find(config, name, way=way)
        prepared = found.template(hv, found.image())
        found.lease(hv, prepared, evidence=Path("e"), set_clock=False)
    assert calls == [
        ("build", {}),
        ("template", {}),
        ("lease", {"evidence": Path("e"), "set_clock": False}),
        ("windows template", {"way": Way.BOOT}),
        ("windows lease", {"evidence": Path("e")}),
    ]


@pytest.mark.parametrize(
    ("tried", "says"),
    [
        ({}, "saved"),
        ({"fork": "no SSH"}, "saved (fork does not work here: no SSH)"),
        ("torn", "saved"),
        (None, "saved"),
    ],
)
def test_a_run_says_how_its_guests_are_leased(config: VmConfig, tried: object, says: str) -> None:
    _seal(config)
    found = guests.find(config, "win11")
    image: Any = found.image()
    manifest = {"ways_that_failed": tried}
    mark: Any = SimpleNamespace()
    template = vm.windows.lease.WindowsTemplate("d", Path(), manifest, image, 1, mark, Way.SAVED)
    assert found.facts(template)["leases"] == says
    assert template.family is FAMILIES["windows"]


def test_the_verifier_leg_is_the_images(config: VmConfig) -> None:
    _seal(config, WindowsProfile(name="lab", legs=frozenset({Leg.VERIFIER}), verifier_drivers=("X.sys",)))
    _seal(config)
    settings = guests.find(config, "lab").image().verifier
    assert settings is not None and "x.sys" in settings.drivers and 17 in settings.classes
    assert guests.find(config, "win11").image().verifier is None
    plain = vm.image.Image("d", Path(), {"family": "wine", "recipe": "wine"})
    assert (plain.verifier, plain.name) == (None, "wine")


def test_the_families_answer_the_same_questions() -> None:
    assert set(FAMILIES) == {"wine", "windows"}
    wine, windows = family("wine"), family("windows")
    assert (wine.runs_on_linux, windows.runs_on_linux) == (True, False)
    assert Wine().session_log in (wine.bugchecks or "") and windows.bugchecks is None
    assert "/cmdline" in (wine.programs or "") and windows.programs is None
    assert windows.shut_down == "shutdown /s /t 0 /f"
    server, _, power = wine.shut_down.partition("sync; ")
    assert "wineserver64 -k" in server and power == "poweroff", "the registry is written first"
    with pytest.raises(VmError, match="no guest family 'nt'; families: wine, windows"):
        family("nt")


def test_what_a_driver_prints_is_no_bugcheck(tmp_path: Path) -> None:
    log = tmp_path / "session.log"
    log.write_text(
        " 47.079:0144:warn:debugstr:vDbgPrintExWithPrefix 00000000:00000001: as KeBugCheckEx 50 1 2 3\n"
        " 47.079:0144:warn:debugstr:vDbgPrintExWithPrefix 00000000:00000001:"
        " after 0144:err:ntoskrnl:KeBugCheckEx c4 1 2 3 4\n"
        " 47.100:0144:err:ntoskrnl:KeBugCheckEx e2 0 11 22 0\n"
    )
    command = Wine(session_log=str(log)).bugchecks
    assert command is not None
    told = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert told == "0144:err:ntoskrnl:KeBugCheckEx e2 0 11 22 0\n"


def test_what_wine_says_of_a_fault_is_told_and_nothing_that_a_driver_prints(tmp_path: Path) -> None:
    log = tmp_path / "session.log"
    fault = "wine: Unhandled page fault on read access to 0 at address 1 (thread 0150), starting debugger..."
    overflow = "0150:err:virtual:virtual_setup_exception stack overflow 1568 bytes addr 0x7b0150da"
    said = "47.079:0144:warn:debugstr:vDbgPrintExWithPrefix 00000000:00000001:"
    log.write_text(f" {said} {fault}\n {said} {overflow}\n{fault}\n116.075:{overflow}\n 16.1:{overflow}\n")
    command = Wine(session_log=str(log)).faults
    assert command is not None
    told = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == [fault, overflow, overflow]


def test_the_harness_asks_and_does_not_tell_families_apart_by_their_modules() -> None:
    """Guests are leased through `vm.guests` alone: no other room knows which module does it."""
    known = re.compile(
        r"vm\.windows\.lease|vm\.template\.ensure|vm\.lease\.acquire|isinstance\(.*Windows(Image|Template)"
    )
    for path in HARNESS.rglob("*.py"):
        assert not known.search(path.read_text()), path
