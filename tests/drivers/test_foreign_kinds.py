# SPDX-License-Identifier: Apache-2.0
"""Sources of drivers that no handshake can be tested of: told by their kind, with the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers import folder
from drivers.errors import BuildError
from drivers.foreign_kinds import require_minidriver

PLAIN = """// PcInitializeAdapterDriver(DriverObject) is what others do
/* WdfDriverCreate(
 * HW_INITIALIZATION_DATA */
#include <ks.h>
static const char text[] = "WdfDriverCreate(\\"";
int MyWdfDriverCreateEx;
"""


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("return PcInitializeAdapterDriver(Object, Path, Add);", "is a port class driver"),
        ("PCFILTER_DESCRIPTOR Filter = { 0 };", "is a port class driver"),
        ("HW_INITIALIZATION_DATA data;", "is a minidriver of the stream class"),
        ("StreamClassRegisterMinidriver (a, b, &data);", "is a minidriver of the stream class"),
        (
            "status = WdfDriverCreate(Object, Path, NULL, &config, &driver);",
            "Windows Driver Frameworks",
        ),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_driver_of_another_kind_is_told_with_the_line(
    tmp_path: Path, code: str, kind: str, encoding: str
) -> None:
    source = tmp_path / "driver.cpp"
    source.write_text(PLAIN + code, encoding)
    with pytest.raises(BuildError, match=rf"driver\.cpp:7: .*{kind}.* \(it says \w+\)") as refused:
        folder.package(tmp_path, tmp_path / "out")
    assert refused.value.hint
    assert not (tmp_path / "out").exists()


def test_what_only_speaks_of_it_is_none(tmp_path: Path) -> None:
    source = tmp_path / "driver.c"
    declared = "NTSTATUS NTAPI PcInitializeAdapterDriver(PVOID, PVOID, PVOID);\n"
    source.write_text(f"{PLAIN}{declared}NTSTATUS called = PcInitializeAdapterDriver(0, 0, 0);\n")
    require_minidriver([source])
