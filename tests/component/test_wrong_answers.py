# SPDX-License-Identifier: Apache-2.0
"""A driver that goes by answers which Wine gets wrong: the support library has the right ones.

Without them nothing is held against the driver.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from drivers import folder
from harness.commands.target_init import Request, author
from harness.onboarding import wishes
from tests.component.package_guest import PackageProvider
from tests.component.test_example import CONFTEST
from tests.component.test_target_init import EXAMPLES, plugin_run

pytestmark = pytest.mark.component

CLOCK = "clock=A7C1D2E0-3B54-4F6A-8C90-5D2E71B40601:sink,source"
#: What the callback asks before it agrees: its own interface, a value by default, an interface that is there.
ASKS = r"""
static NTSTATUS NTAPI Arrived(PVOID Change, PVOID Context)
{
    (void)Change;
    InterlockedIncrement(Context);
    return STATUS_SUCCESS;
}

static BOOLEAN Misled(PKSPIN Pin)
{
    static volatile LONG arrivals;
    GUID category = Categories[0];
    RTL_QUERY_REGISTRY_TABLE table[2];
    ULONG rate = 0, standard = 9;
    PVOID entry = NULL;
    PWSTR list = NULL;
    BOOLEAN misled = !NT_SUCCESS(IoGetDeviceInterfaces(&category, NULL, 0, &list)) || !list || !list[0];

    RtlZeroMemory(table, sizeof(table));
    table[0].Flags = RTL_QUERY_REGISTRY_DIRECT;
    table[0].Name = (PWSTR)L"Rate";
    table[0].EntryContext = &rate;
    table[0].DefaultType = REG_DWORD;
    table[0].DefaultData = &standard;
    table[0].DefaultLength = sizeof(standard);
    (void)RtlQueryRegistryValues(RTL_REGISTRY_SERVICES, L"", table, NULL, NULL);
    (void)IoRegisterPlugPlayNotification(EventCategoryDeviceInterfaceChange,
                                         PNPNOTIFY_DEVICE_INTERFACE_INCLUDE_EXISTING_INTERFACES, &category,
                                         KsPinGetDevice(Pin)->FunctionalDeviceObject->DriverObject, Arrived,
                                         (PVOID)(ULONG_PTR)&arrivals, &entry);
    if (entry)
        (void)IoUnregisterPlugPlayNotification(entry);
    if (list)
        ExFreePool(list);
    return misled || rate != standard || !arrivals;
}

"""
SCENARIOS = """
schema = 1
[[scenario]]
id = "answers.agrees"
title = "The callback agrees if all that it asks is answered rightly"
rule = "H9"
open = ["source"]
steps = [{ do = "handshake", on = "source", protocol = "clock" }]
"""
#: A support library as it was before it knew of device interfaces and defaults.
WITHOUT = """
import drivers.import_rewrite, drivers.wdmsup_exports
whole = drivers.wdmsup_exports.supplied()
drivers.import_rewrite.supplied = lambda: drivers.wdmsup_exports.Supplied(
    tuple(
        drivers.wdmsup_exports.Group(group.kind, group.reason, group.functions - {"RtlQueryRegistryValues"})
        for group in whole.groups
        if "IoGetDeviceInterfaces" not in group.functions
    ),
    whole.stubs,
)
"""


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A relay whose callback goes by them, with the target file that was written for it."""
    place = tmp_path_factory.mktemp("asking")
    shutil.copytree(EXAMPLES / "relay" / "driver", place / "driver")
    source = place / "driver" / "relay.c"
    text = source.read_text("utf-8")
    begin = "    RELAY_PIN *pin = Pin->Context;\n    ULONG_PTR value;\n\n"
    start = "/* Called at PASSIVE_LEVEL, possibly by several senders at once. */\n"
    assert text.count(begin) == text.count(start) == 1
    text = text.replace(begin, f"{begin}    if (Misled(Pin))\n        return STATUS_UNSUCCESSFUL;\n")
    source.write_text(text.replace(start, f"{ASKS}{start}"), encoding="utf-8")
    folder.package(place / "driver", place / "package")
    (place / "x.scenario.toml").write_text(SCENARIOS, encoding="utf-8")
    before = Path.cwd()
    os.chdir(place)
    try:
        author(Request(Path("package"), wishes=wishes.read([CLOCK])), PackageProvider, lambda text: None)
    finally:
        os.chdir(before)
    return place


def run(place: Path, before: str) -> tuple[str, str | None]:
    """Verdict and reason of the scenario."""
    done = plugin_run(place, Path("relay.toml"), place / "x.scenario.toml", CONFTEST + before)
    records = [json.loads(line) for line in (place / "out" / "results.jsonl").read_text().splitlines()]
    (found,) = [(one["verdict"], one["reason"]) for one in records if one["kind"] == "scenario"]
    assert found[0] != "error" or before, done.stdout[-3000:]
    return found


def test_with_the_support_library_it_gets_the_right_answers(asking: Path) -> None:
    assert run(asking, "") == ("passed", None)


def test_where_an_answer_is_wrong_nothing_is_held_against_it(asking: Path) -> None:
    verdict, reason = run(asking, WITHOUT)
    assert verdict == "error"
    assert reason is not None and "STATUS_UNSUCCESSFUL" in reason
    assert "but relay.sys imports IoGetDeviceInterfaces: on Wine " in reason
    assert reason.endswith("nothing is known about the driver, which a Windows guest can tell")
