# SPDX-License-Identifier: Apache-2.0
"""Program: reads pages of one dump with kdmp-parser, with bounded memory and time, for `page_memory`.

It stands alone, imports nothing of the project, and speaks binary on descriptors of its own, because
kdmp-parser prints on standard output and may end the process: one byte when the dump is open; then for each
request, a 64-bit address of a page, one byte whether it is there and, where it is, its 4096 bytes.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import struct
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from pathlib import Path

PAGE = 0x1000
OPENED, ABSENT, PRESENT = b"O", b"A", b"P"
#: Seconds of processor time, bytes that may be printed, bytes of address space beside file and heap.
_CPU_SECONDS = 300
_MAX_PRINTED = 1 << 16
_BESIDE = 2 << 30


def _limit(memory: int, file_size: int) -> None:
    space = memory + file_size + _BESIDE
    for kind, bound in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, _CPU_SECONDS),
        (resource.RLIMIT_FSIZE, _MAX_PRINTED),
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_AS, space),
    ):
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            bound = min(bound, hard)
        resource.setrlimit(kind, (bound, bound))


def _find_extension() -> None:
    """Loads kdmp-parser's extension where Python does not find it by its name.

    The wheel of 0.7.4 is for every Python from 3.12 on, but the file in it has a name that 3.12 alone looks
    for (findings/kdmp-wheel-name.sh).
    """
    name = "kdmp_parser._kdmp_parser"
    package = importlib.util.find_spec("kdmp_parser")
    folders = package.submodule_search_locations if package is not None else None
    found = next(
        (so for folder in folders or () for so in Path(folder).glob("_kdmp_parser.cpython-*.so")), None
    )
    if found is None or found.name.endswith(tuple(EXTENSION_SUFFIXES[:-1])):
        return
    loader = ExtensionFileLoader(name, str(found))
    spec = importlib.util.spec_from_file_location(name, found, loader=loader)
    if spec is not None:
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
        sys.modules[name] = module


def main(path: str, memory: str, requests: str, replies: str) -> None:
    """Serves pages until nobody asks any more."""
    _limit(int(memory), Path(path).stat().st_size)
    _find_extension()
    from kdmp_parser import KernelDumpParser

    with os.fdopen(int(requests), "rb", 0) as asked, os.fdopen(int(replies), "wb", 0) as answers:
        dump = KernelDumpParser(path)
        answers.write(OPENED)
        while len(data := asked.read(8)) == 8:
            page = dump.read_virtual_page(struct.unpack("<Q", data)[0])
            reply = ABSENT if page is None or len(page) != PAGE else PRESENT + bytes(page)
            while reply:
                reply = reply[answers.write(reply) or 0 :]


if __name__ == "__main__":
    main(*sys.argv[1:])
