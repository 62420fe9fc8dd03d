# SPDX-License-Identifier: Apache-2.0
"""Every function that ks.h declares for drivers is exported by the reference class driver."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drivers import toolchain
from drivers.components import ROOT

#: The header is read by the compiler's preprocessor.
pytestmark = pytest.mark.component

REFKS = ROOT / "refks"
DOCUMENT = ROOT.parent / "docs" / "refks.md"

# Exported on top: how the module is known, and what the kernel calls when it loads and unloads it.
OUR_OWN = {"KshsReferenceKs", "DllInitialize", "DllUnload"}
# What Microsoft's ks.h has for systems newer than those of mingw-w64's.
NEWER = {
    "KsCreateClock2",
    "KsDeviceRegisterThermalDispatch",
    "KsGenerateThermalEvent",
    "KsInitializeDeviceProfile",
    "KsPersistDeviceProfile",
    "KsPublishDeviceProfile",
}


def declared(header: Path) -> set[str]:
    """The functions that ks.h imports where ntddk.h came first, without those for user mode."""
    text = header.read_text(encoding="utf-8", errors="replace")
    for_drivers, found, _ = text.partition("#else /* _NTDDK_ */")
    assert found, f"{header} does not look like ks.h any more"
    return set(re.findall(r"^KSDDKAPI\s+[\w\s*]*?\b(\w+)\s*\(", for_drivers, re.MULTILINE))


def exported(definition: Path) -> list[str]:
    """The names of a module definition file."""
    lines = definition.read_text(encoding="utf-8").partition("EXPORTS")[2].splitlines()
    return [line.split()[0] for line in lines if line.strip() and not line.lstrip().startswith(";")]


def missing() -> list[str]:
    """The exports that only answer that they are not there."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(REFKS.glob("missing_*.c")))
    names = re.findall(r"^MISSING(?:_VOID|_DISPATCH)?\((\w+),", text, re.MULTILINE)
    names += re.findall(r"^MISSING_VALUE\([^,]+,\s*[^,]+,\s*(\w+),", text, re.MULTILINE)
    return names + re.findall(r"^ +REFKS_RECORD_MISSING\((\w+)\)", text, re.MULTILINE)


@pytest.fixture(scope="module")
def header() -> Path:
    return toolchain.find().includes / "ks.h"


@pytest.mark.component
def test_the_header_is_understood(header: Path) -> None:
    names = declared(header)
    assert len(names) > 180
    assert {"KsPinHandshake", "_KsEdit", "KsGetOuterUnknown", "KsStreamPointerGetMdl"} <= names
    assert not {"KsGateTurnInputOn", "KsEdit", "KsDeleteFilterFactory"} & names


@pytest.mark.component
def test_everything_that_a_driver_may_import_is_exported(header: Path) -> None:
    names = exported(REFKS / "ks.def")
    assert len(names) == len(set(names))
    assert declared(header) - set(names) == set()
    assert set(names) - declared(header) == OUR_OWN | NEWER


@pytest.mark.component
@pytest.mark.parametrize("name", ["KsStreamPointerClone", "KsInitializeDriver"])
def test_an_export_that_goes_is_noticed(header: Path, tmp_path: Path, name: str) -> None:
    text = (REFKS / "ks.def").read_text(encoding="utf-8")
    shorter = tmp_path / "ks.def"
    shorter.write_text(re.sub(rf"^ +{name}\n", "", text, flags=re.MULTILINE), encoding="utf-8")
    assert declared(header) - set(exported(shorter)) == {name}


def test_what_is_not_implemented_is_documented() -> None:
    names = missing()
    assert len(names) == len(set(names)) > 100
    section = DOCUMENT.read_text(encoding="utf-8").partition("## Not implemented")[2].partition("\n## ")[0]
    rows = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    assert sorted(re.findall(r"`(_?Ks\w+)`", rows)) == sorted(names)
