# SPDX-License-Identifier: Apache-2.0
"""An image with code, exports and relocations, and a coverage of a run, both made by hand."""

from __future__ import annotations

import struct
from pathlib import Path

from harness.coverage.model import (
    CoveredBlock,
    CoveredFunction,
    ModuleCoverage,
    Ran,
    RunCoverage,
    SourceFile,
)

BASE = 0x140000000
CODE = 0x1000
#: One absolute address, which moves with the image, at 0x1008.
TEXT = b"\x55\xc3" + b"\x90" * 6 + struct.pack("<Q", BASE + 0x1000) + b"\x31\xc0\xc3" + b"\xcc" * 45
_SECTIONS = 0x400


def image(path: Path) -> Path:
    """Exports First (0x1000) and Second (0x1010), and has unwind data for 0x1000 to 0x1010 alone."""
    exports = struct.pack("<IIHHIIIIIII", 0, 0, 0, 0, 0x2080, 1, 2, 2, 0x2028, 0x2030, 0x2038)
    exports += (
        struct.pack("<II", 0x1000, 0x1010) + struct.pack("<II", 0x2040, 0x2046) + struct.pack("<HH", 0, 1)
    )
    exports = exports.ljust(0x40, b"\0") + b"First\0Second\0"
    exports = exports.ljust(0x80, b"\0") + b"m.sys\0"
    relocations = struct.pack("<IIHH", 0x1000, 12, 10 << 12 | 8, 0)
    unwind = struct.pack("<III", 0x1000, 0x1010, 0x5000)
    parts = [
        (b".text", TEXT, 0x60000020),
        (b".edata", exports, 0x40000040),
        (b".reloc", relocations, 0x42000040),
        (b".pdata", unwind, 0x40000040),
    ]
    head = b"MZ" + bytes(58) + struct.pack("<I", 0x40)
    head += b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(parts), 7, 0, 0, 240, 0x22)
    optional = struct.pack("<HBBIIIII", 0x20B, 14, 0, 0x200, 0x200, 0, 0x1000, 0x1000)
    optional += struct.pack("<QII6H", BASE, 0x1000, 0x200, 6, 0, 0, 0, 6, 0)
    optional += struct.pack("<IIIIHH", 0, 0x6000, _SECTIONS, 0, 1, 0)
    optional += struct.pack("<QQQQII", 0x100000, 0x1000, 0x100000, 0x1000, 0, 16)
    directories = {0: (0x2000, len(exports)), 3: (0x4000, len(unwind)), 5: (0x3000, len(relocations))}
    optional += b"".join(struct.pack("<II", *directories.get(n, (0, 0))) for n in range(16))
    head += optional
    content = b""
    for number, (name, data, flags) in enumerate(parts):
        at = CODE * (number + 1)
        raw = _SECTIONS + 0x200 * number
        head += struct.pack("<8s6I2HI", name, len(data), at, 0x200, raw, 0, 0, 0, 0, flags)
        content += data.ljust(0x200, b"\0")
    path.write_bytes(head.ljust(_SECTIONS, b"\0") + content)
    return path


SOURCE = """\
#include <ntddk.h>
static int count;

/* adds */
int Add(int a, int b)
{
    if (a < 0)
        return b;
    return a + b;
}

int Unused(int a)
{
    return a * 2;
}

void DriverEntry(void)
{
    count = 1;
}
"""
_LINES = (5, 7, 8, 9, 12, 14, 17, 19)


def run_coverage(folder: Path) -> RunCoverage:
    """Of `SOURCE`: what `one` and `two` reach, and what deploying does.

    Block n has line n of 5, 7, 8, 9 (Add), 12, 14 (Unused), 17, 19 (DriverEntry).
    """
    source = folder / "add.c"
    source.write_text(SOURCE)
    functions = (("Add", 5, range(4)), ("Unused", 12, range(4, 6)), ("DriverEntry", 17, range(6, 8)))
    module = ModuleCoverage(
        name="m.sys",
        sha256="0" * 64,
        pdb="guid-1",
        code_bytes=80,
        files=(SourceFile(path="/kshs/add.c", shown=str(source), text=SOURCE),),
        lines=tuple((0, line) for line in _LINES),
        functions=tuple(
            CoveredFunction(name=name, offset=CODE + 10 * blocks[0], size=10 * len(blocks), file=0, line=line)
            for name, line, blocks in functions
        ),
        blocks=tuple(
            CoveredBlock(
                offset=CODE + 10 * n,
                size=10,
                lines=(n,),
                functions=tuple(f for f, (_, _, blocks) in enumerate(functions) if n in blocks),
            )
            for n in range(len(_LINES))
        ),
    )
    return RunCoverage(
        schema=1,
        run={"target": "sample", "guest": "wine", "started": "2026-11-30T00:00:00Z"},
        modules=(module,),
        ran=(
            Ran(kind="phase", id="deploying", blocks={"m.sys": 0b11000000}),
            Ran(kind="scenario", file="catalogue/a.toml", id="one", blocks={"m.sys": 0b1011}),
            Ran(kind="scenario", file="catalogue/a.toml", id="two", blocks={"m.sys": 0b0111}),
            Ran(kind="test", id="test_x.py::test_y", blocks={}),
        ),
    )
