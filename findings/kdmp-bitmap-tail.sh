#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kdmp-parser 0.7.4: of a bitmap dump whose number of pages is no multiple of eight, the last pages are not there.
#
# The bitmap has one bit a page; the parser goes through `Pages / 8` bytes of it, rounded down.  Of a dump of 12 pages,
# all present, it has eight: the other four are in the file and in the bitmap, the header counts them
# (TotalPresentPages), and nothing is said: no exception, no warning, pages 8 to 11 read as absent.  With 16 pages
# all 16 are there.  Whoever looks for a structure in the highest memory concludes that it was not dumped.
#
# Seen: 2026-11-30, Python 3.11.  Passes while this is so, fails (exit 1) when it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check install kdmp-parser==0.7.4 2>pip.log || { cat pip.log >&2; exit 2; }
venv/bin/python - <<'PY'
import pathlib
import struct

from kdmp_parser import KernelDumpParser


def bitmap_dump(pages):
    header = bytearray(b"PAGE" * 0x800)
    header[0:8] = b"PAGEDU64"
    header[0x348:0xF00] = bytes(0xBB8)  # the context
    struct.pack_into("<II", header, 0x30, 0x8664, 1)
    struct.pack_into("<I", header, 0xF98, 5)
    head = b"SDMPDUMP" + bytes(0x18) + struct.pack("<QQQ", 0x3000, pages, pages)
    bitmap = ((1 << pages) - 1).to_bytes((pages + 7) // 8, "little")
    memory = b"".join(bytes([number]) * 0x1000 for number in range(pages))
    return (bytes(header) + head + bitmap).ljust(0x3000, b"\0") + memory


def read(pages):
    path = pathlib.Path(f"{pages}.dmp")
    path.write_bytes(bitmap_dump(pages))
    dump = KernelDumpParser(path)
    return [number for number in range(pages) if dump.read_physical_page(number * 0x1000) is not None]


twelve, sixteen = read(12), read(16)
print("12 pages in the bitmap and in the file: read", len(twelve), twelve)
print("16 pages in the bitmap and in the file: read", len(sixteen))
if twelve != list(range(8)) or len(sixteen) != 16:
    raise SystemExit("this has changed")
PY
