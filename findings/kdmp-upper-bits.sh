#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kdmp-parser 0.7.4: the upper sixteen bits of a virtual address do not count.
#
# x64 addresses have 48 bits, and bits 48 to 63 repeat bit 47; any other address faults on a processor, and a debugger
# says that nothing is there.  `read_virtual_page` and `translate_virtual` drop those bits: where 0xfffff80000000000
# is mapped, 0x0000f80000000000, 0xabcdf80000000000 and every other address with these lower bits give the same page,
# and no error.  A pointer that was overwritten in its upper half, as in a crash, looks as if it were a good one.
#
# Seen: 2026-11-30, Python 3.11.  Passes while this is so, fails (exit 1) when it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check install kdmp-parser==0.7.4 2>pip.log || { cat pip.log >&2; exit 2; }
venv/bin/python - >out.txt <<'PY' || { cat out.txt; exit 1; }
import pathlib
import struct

from kdmp_parser import KernelDumpParser

ADDRESS = 0xFFFFF80000000000
# Pages 1 to 4 are the four levels of page tables, page 5 is what ADDRESS is mapped to.
pages = [bytearray(0x1000) for _ in range(5)]
for level, shift in enumerate((39, 30, 21, 12)):
    struct.pack_into("<Q", pages[level], 8 * (ADDRESS >> shift & 0x1FF), (level + 2) << 12 | 3)
pages[4][:5] = b"there"
header = bytearray(b"PAGE" * 0x800)
header[0:8] = b"PAGEDU64"
struct.pack_into("<Q", header, 0x10, 0x1000)
struct.pack_into("<II", header, 0x30, 0x8664, 1)
struct.pack_into("<IIQQQ", header, 0x88, 1, 0, 5, 1, 5)
header[0x348:0xF00] = bytes(0xBB8)  # the context
struct.pack_into("<I", header, 0xF98, 1)
pathlib.Path("full.dmp").write_bytes(bytes(header) + b"".join(pages))
dump = KernelDumpParser("full.dmp")
found = []
for address in (ADDRESS, 0x0000F80000000000, 0xABCDF80000000000, ADDRESS + 0x1000):
    page = dump.read_virtual_page(address)
    found.append(None if page is None else bytes(page[:5]))
    print(f"{address:#018x}:", found[-1])
if found != [b"there", b"there", b"there", None]:
    raise SystemExit("this has changed")
PY
grep '^0x' out.txt # not what the parser itself prints
