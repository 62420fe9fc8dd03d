# SPDX-License-Identifier: Apache-2.0
"""The support library for drivers on Wine: a driver calls each function and says what it saw (support/)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import drivers.build
from drivers import folder, import_rewrite, imports
from drivers.package import Package
from tests.component.wine import WineGuest, copy_of, version

pytestmark = pytest.mark.component

SUPPORT = Path(__file__).with_name("support")
KEY = r"HKLM\SOFTWARE\kshs\Support"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The driver as a team would build it."""
    return folder.package(SUPPORT, tmp_path_factory.mktemp("support"))


@pytest.fixture(scope="module")
def rewritten(package: Package) -> import_rewrite.Rewritten:
    """The driver as it is deployed to the Wine of this host."""
    return import_rewrite.rewrite(package.sys[0], imports.wine(version()))


@pytest.fixture(scope="module")
def seen(
    build: drivers.build.Build,
    bare_template: Path,
    package: Package,
    rewritten: import_rewrite.Rewritten,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[dict[str, int], list[str]]]:
    """What the driver reported, by function, and what was called in vain."""
    driver = tmp_path_factory.mktemp("rewritten") / package.sys[0].name
    driver.write_bytes(rewritten.data)
    with copy_of(bare_template) as prefix:
        guest = WineGuest(prefix, build.agent, one_cpu=False)
        try:
            guest.hold()
            guest.must("install-ks", guest.put(build.refks, "ks.sys"))
            (guest.drivers / build.wdmsup.name).write_bytes(build.wdmsup.read_bytes())
            guest.put(package.inf)
            guest.put(driver)
            guest.kshsctl(
                "install-device", f"C:\\kshs\\{package.inf.name}", "Root\\KshsSupport", "KshsSupport"
            )
            text = guest.run("reg", "query", KEY).stdout
            values = re.findall(r"^\s+(\S+)\s+REG_DWORD\s+0x([0-9a-f]+)", text, re.MULTILINE)
            called = guest.must("info")["ks"]["unimplemented_calls"]
            yield {name: int(value, 16) for name, value in values}, called
        finally:
            guest.stop()


def test_every_function_does_what_its_page_says(seen: tuple[dict[str, int], list[str]]) -> None:
    reported, _ = seen
    assert reported.get("Finished") == 1, f"the driver did not come to its end: {reported}"
    assert [name for name, good in reported.items() if not good] == []
    source = (SUPPORT / "support.c").read_text(encoding="utf-8")
    assert set(re.findall(r"\bREPORT\((\w+),", source)) - {"name"} == set(reported)


def test_what_is_not_served_is_on_record(seen: tuple[dict[str, int], list[str]]) -> None:
    _, called = seen
    assert called == ["portcls.sys!PcInitializeAdapterDriver", "usbd.sys!USBD_CreateHandle"]


def test_only_what_wine_lacks_comes_from_the_library(
    rewritten: import_rewrite.Rewritten, package: Package, tmp_path: Path
) -> None:
    before = imports.imports(package.sys[0])
    changed = tmp_path / "support.sys"
    changed.write_bytes(rewritten.data)
    after = imports.imports(changed)
    assert [name for _, name in before] == [name for _, name in after]
    moved = {name for (old, name), (new, _) in zip(before, after, strict=True) if old != new}
    assert moved == {name.rpartition("!")[2] for name in rewritten.functions}
    assert {"KeSetTimer", "ExAllocatePool2", "RtlInsertElementGenericTable"} <= moved
    assert not moved & {"ExAllocatePoolWithTag", "KeSetEvent", "ZwClose"}
