# SPDX-License-Identifier: Apache-2.0
"""What of memory integrity's rules can be read off a driver's file."""

from __future__ import annotations

from pathlib import Path

import pefile
import pytest

from drivers import build, hvci
from drivers.errors import BuildError

#: A compiler, and where drivers are loaded Wine, are needed.
pytestmark = pytest.mark.component

EXECUTE = pefile.SECTION_CHARACTERISTICS["IMAGE_SCN_MEM_EXECUTE"]
WRITE = pefile.SECTION_CHARACTERISTICS["IMAGE_SCN_MEM_WRITE"]
IAT = pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_IAT"]


@pytest.fixture(scope="module")
def made() -> build.Build:
    """What is built for every guest, from the cache of the user: `home` gives each test another one."""
    return build.build()


@pytest.fixture(scope="module")
def driver(made: build.Build) -> Path:
    """The sample target, as it is built for every guest."""
    return made.avshs.sys[0]


def changed(driver: Path, folder: Path, change: str) -> Path:
    """The driver with one rule broken."""
    image = pefile.PE(data=driver.read_bytes(), fast_load=True)
    table = image.OPTIONAL_HEADER.DATA_DIRECTORY[IAT]
    text = next(section for section in image.sections if section.Name.startswith(b".text"))
    match change:
        case "writable code":
            text.Characteristics |= WRITE
        case "executable data":
            next(s for s in image.sections if s.Name.startswith(b".data")).Characteristics |= EXECUTE
        case "alignment":
            image.OPTIONAL_HEADER.SectionAlignment = 0x80
        case "unaligned section":
            next(s for s in image.sections if s.Name.startswith(b".rsrc")).VirtualAddress += 0x200
        case "no alignment":
            image.OPTIONAL_HEADER.SectionAlignment = 0
        case "imports in code":
            table.VirtualAddress = text.VirtualAddress + 16
        case "no imports":
            table.VirtualAddress = table.Size = 0
    path = folder / "crafted.sys"
    image.write(str(path))
    image.close()
    return path


@pytest.mark.component
def test_our_own_drivers_keep_the_rules(made: build.Build) -> None:
    assert {path.name: hvci.problems(path) for path in (made.client, made.tracer, *made.avshs.sys)} == {
        "ksclient.sys": [],
        "kstrace.sys": [],
        "avshs.sys": [],
    }


@pytest.mark.component
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("writable code", ["its section .text is writable and executable"]),
        ("executable data", ["its section .data is writable and executable"]),
        ("alignment", ["its section alignment is 0x80, no multiple of 0x1000"]),
        ("unaligned section", ["its section .rsrc is not page aligned"]),
        ("no alignment", ["its section alignment is 0x0, no multiple of 0x1000"]),
        ("imports in code", ["its import address table lies in the executable section .text"]),
        ("no imports", []),
    ],
)
def test_a_broken_rule_is_named(driver: Path, tmp_path: Path, change: str, said: list[str]) -> None:
    assert hvci.problems(changed(driver, tmp_path, change)) == said


@pytest.mark.parametrize("data", [b"", b"MZ", b"\x7fELF" + bytes(100), b"MZ" + b"\xff" * 4096])
def test_what_is_no_image_is_said(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.sys"
    path.write_bytes(data)
    with pytest.raises(BuildError, match=r"x\.sys: is no PE image"):
        hvci.problems(path)
    with pytest.raises(BuildError, match="is no PE image"):
        hvci.problems(tmp_path / "missing.sys")
