# SPDX-License-Identifier: Apache-2.0
"""Which errors of a DEVICE step mean that the guest cannot do it: skipped, and no error of the harness."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import drivers.build
from drivers import toolchain
from drivers.toolchain import Options
from tests.component.wine import WineGuest

pytestmark = pytest.mark.component


#: Codes by which guests say that they cannot change a device, and codes that mean something else.
CANNOT = (0x1, 0x32, 0x57, 0x78, 0x3F1, 0xE000020E, 0xE0000231, 0xE0000235 - 1)
MEANS_US = (0x0, 0x5, 0x6, 0x8, 0xE, 0x522, 0xE000020B, 0xE0000235)


def test_a_guest_that_cannot_change_a_device_is_told_from_one_that_was_asked_wrongly(
    plain_guest: WineGuest, tmp_path: Path
) -> None:
    tools = toolchain.find()
    (tmp_path / "drivers").symlink_to(drivers.build.ROOT, target_is_directory=True)
    shutil.copyfile(Path(__file__).with_name("device_errors.c"), tmp_path / "main.c")
    options = Options(False, ("drivers/kshsctl", "drivers/abi", "drivers/common"))
    for source in ("main.c", "drivers/kshsctl/device_errors.c", "drivers/common/chkstk.S"):
        tools.compile(tmp_path, source, source.replace("/", "-") + ".o", options)
    objects = sorted(path.name for path in tmp_path.glob("*.o"))
    tools.link_program("device_errors.exe", objects, (), tmp_path)
    codes = [*CANNOT, *MEANS_US]
    done = plain_guest.run(plain_guest.put(tmp_path / "device_errors.exe"), *(f"{code:x}" for code in codes))
    answers = dict(zip(codes, done.stdout.split(), strict=True))
    assert answers == dict.fromkeys(CANNOT, "1") | dict.fromkeys(MEANS_US, "0"), done
