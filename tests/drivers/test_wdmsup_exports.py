# SPDX-License-Identifier: Apache-2.0
"""What the support library says that it supplies, and which imports are taken from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drivers import imports, wdmsup_exports
from drivers.import_rewrite import with_library

SOURCES = wdmsup_exports.DEFINITION.parent


def test_every_export_is_in_one_group_and_has_its_function() -> None:
    text = wdmsup_exports.DEFINITION.read_text(encoding="utf-8")
    exports = re.findall(r"^ +(\w+)=(\w+)$", text, re.MULTILINE)
    assert all(internal == f"Sup{name}" for name, internal in exports)
    library = wdmsup_exports.supplied()
    listed = [name for group in library.groups for name in group.functions]
    listed += [name for names in library.stubs.values() for name in names]
    assert sorted(listed) == sorted(name for name, _ in exports)
    assert len(listed) == len(set(listed))
    assert set(library.stubs) == {"usbd.sys", "cng.sys", "bdasup.sys", "stream.sys", "portcls.sys"}


def test_a_family_comes_whole_and_others_as_they_lack() -> None:
    library = wdmsup_exports.supplied()
    assert library.taken("ExAllocatePool2", frozenset({"ExAllocatePool2"}))
    assert not library.taken("ExQueueWorkItem", frozenset({"ExAllocatePool2"}))
    assert library.taken("RtlInitializeGenericTable", frozenset({"RtlInsertElementGenericTable"}))
    assert not library.taken("RtlInitializeGenericTable", frozenset({"ExAllocatePool2"}))
    assert library.taken("KeSetTimer", frozenset())
    assert not library.taken("ZwClose", frozenset({"ZwClose"}))


def test_timers_say_why() -> None:
    (group,) = (group for group in wdmsup_exports.supplied().groups if group.kind == "always")
    assert "KeCancelTimer" in group.functions
    assert "pace themselves by a timer" in group.reason


@pytest.mark.parametrize("version", imports.wine_versions())
def test_with_the_library_what_it_has_counts_as_there(version: str) -> None:
    wine = imports.wine(version)
    both = with_library(wine)
    kernel = both.modules["ntoskrnl.exe"]
    assert wdmsup_exports.supplied().kernel <= kernel.functions
    assert not wdmsup_exports.supplied().kernel & kernel.refused.keys()
    assert "EtwRegister" not in wine.modules["ntoskrnl.exe"].functions
    assert "USBD_CreateHandle" in both.modules["usbd.sys"].functions
    assert "usbd.sys" not in wine.modules


def test_an_export_without_a_group_is_refused(tmp_path: Path) -> None:
    definition = tmp_path / "x.def"
    definition.write_text("EXPORTS\n    Foo=SupFoo\n", encoding="utf-8")
    with pytest.raises(ValueError, match="Foo=SupFoo stands in no group"):
        wdmsup_exports.supplied(definition)
