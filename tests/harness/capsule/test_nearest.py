# SPDX-License-Identifier: Apache-2.0
"""Which guest of this machine is nearest to that of a failure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.capsule.manifest import Kernel
from harness.capsule.nearest import build_number, choose
from harness.errors import UsageError
from vm.config import VmConfig
from vm.known_guests import KnownGuest, known
from vm.windows.profile import BUILTIN, Leg

WINE = KnownGuest("wine", "wine")
W10 = KnownGuest("win10", "windows", 19045)
W11 = KnownGuest("win11", "windows", 22631)
LAB = KnownGuest("lab", "windows", 22631, verifier=True)
ALL = (WINE, W10, W11, LAB)


def kernel(**said: Any) -> Kernel:
    return Kernel(family="windows", **said)


@pytest.mark.parametrize(
    ("said", "name", "why"),
    [
        (kernel(build="22631.3007", verifier="off"), "win11", "build 22631, as then"),
        (kernel(build="20348", verifier="off"), "win10", "build 19045, the nearest to 20348"),
        (
            kernel(build="22631", verifier="in force: flags 0x209bb"),
            "lab",
            "build 22631, as then, with Driver Verifier",
        ),
        # A guest of the same name need not be the same guest: its build counts more.
        (kernel(build="22631", recipe="win10"), "win11", "build 22631, as then"),
        (kernel(build=None, recipe="win10"), "win10", "family windows"),
        (Kernel(family="wine", build="19043", recipe="wine"), "wine", "family wine"),
        (
            Kernel(family="nt", build="5.2"),
            "wine",
            "it was seen on a guest of family nt, and there is none of it",
        ),
        (Kernel(), "wine", "the capsule does not say where it was seen"),
    ],
)
def test_the_nearest(said: Kernel, name: str, why: str) -> None:
    choice = choose(said, ALL, "wine")
    assert (choice.name, choice.why[: len(why)]) == (name, why)


def test_none_of_that_family() -> None:
    choice = choose(kernel(build="22631"), [WINE], "wine")
    assert choice.name == "wine" and "there is none of it here" in choice.why


def test_a_guest_under_another_build_with_the_verifier() -> None:
    said = kernel(build="19045", verifier="in force: flags 0x9bb")
    assert (
        choose(said, ALL, "wine").why == "build 19045, as then, without Driver Verifier, which watched then"
    )
    assert choose(said, ALL, "wine", verifier=True).name == "lab"
    with pytest.raises(UsageError, match="no guest here has Driver Verifier"):
        choose(said, [WINE, W10], "wine", verifier=True)


@pytest.mark.parametrize(
    ("text", "number"),
    [("22631.3007", 22631), ("7601", 7601), ("?", None), (None, None), ("x1", None), ("", None)],
)
def test_build_numbers(text: str | None, number: int | None) -> None:
    assert build_number(text) == number


def test_what_there_is(tmp_path: Path) -> None:
    """Recipes, and sealed guests as their manifests say; a damaged one is none."""
    manifest = {
        "digest": "d",
        "name": "lab",
        "family": "windows",
        "profile": {**BUILTIN["server2025"].model_dump(mode="json"), "legs": [Leg.VERIFIER.value]},
        "installed": "2026-11-01T00:00:00+00:00",
        "medium": {"path": "x.iso"},
        "image": {"name": "Windows Server 2025", "build": 26100},
    }
    for name, text in (("lab", json.dumps(manifest)), ("bad", "{"), ("half.work", "{}")):
        (tmp_path / "windows" / name).mkdir(parents=True)
        (tmp_path / "windows" / name / "manifest.json").write_text(text)
    found = known(VmConfig(cache_dir=tmp_path))
    assert found == [WINE, KnownGuest("lab", "windows", 26100, verifier=True)]
