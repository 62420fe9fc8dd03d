# SPDX-License-Identifier: Apache-2.0
"""A check that every ``__try`` of the sources protects something in the image.

clang catches faults of *calls* inside a ``__try`` and drops handlers of blocks that make none: a plain load
or store is not protected, and nothing warns.  (``-fasync-exceptions`` of clang 14 makes handlers with empty
tables of this target: worse, because it looks right.)  Code that may fault therefore goes through a call
that is not inlined, such as memcpy with ``-fno-builtin``; this check finds what was forgotten.

Formats: "x64 exception handling" (RUNTIME_FUNCTION, UNWIND_INFO, scope tables of __C_specific_handler).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from pathlib import Path

import pefile

from drivers import pe_image
from drivers.errors import BuildError

_COMMENT_OR_TEXT = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"", re.DOTALL)
_TRY = re.compile(r"\b__try\b")
_EXCEPTION_HANDLER = 1  # UNW_FLAG_EHANDLER
_HANDLER_NAME = b"__C_specific_handler"


def count_blocks(source: str) -> int:
    """How many ``__try`` blocks a C source has, comments and strings aside."""
    return len(_TRY.findall(_COMMENT_OR_TEXT.sub(" ", source)))


def count_protected(image: Path) -> int:
    """How many ranges of code the scope tables of an image protect."""
    pe = pe_image.opened(image)
    pe.parse_data_directories([pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_IMPORT"]])
    slots = {
        function.address - pe.OPTIONAL_HEADER.ImageBase
        for module in getattr(pe, "DIRECTORY_ENTRY_IMPORT", [])
        for function in module.imports
        if function.name == _HANDLER_NAME
    }
    directory = pe.OPTIONAL_HEADER.DATA_DIRECTORY[pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_EXCEPTION"]]
    memory = pe.get_memory_mapped_image()
    total = 0
    for entry in range(directory.VirtualAddress, directory.VirtualAddress + directory.Size, 12):
        (unwind,) = struct.unpack_from("<I", memory, entry + 8)
        if not memory[unwind] >> 3 & _EXCEPTION_HANDLER:
            continue
        codes = memory[unwind + 2]
        data = unwind + 4 + 2 * (codes + codes % 2)
        handler, scopes = struct.unpack_from("<II", memory, data)
        if _is_jump_to(memory, handler, slots):
            total += scopes
    return total


def _is_jump_to(memory: bytes, address: int, slots: set[int]) -> bool:
    """Whether the code there is the linker's ``jmp [rip + slot]`` for an imported function."""
    if memory[address : address + 2] != b"\xff\x25":
        return False
    (offset,) = struct.unpack_from("<i", memory, address + 2)
    return address + 6 + offset in slots


def require(image: Path, sources: Iterable[Path]) -> None:
    """Raise `BuildError` where the sources have more ``__try`` blocks than the image protects."""
    blocks = {path: count_blocks(path.read_text(encoding="utf-8", errors="replace")) for path in sources}
    wanted = sum(blocks.values())
    if wanted and count_protected(image) < wanted:
        names = ", ".join(sorted(path.name for path, count in blocks.items() if count))
        raise BuildError(
            f"{wanted} __try blocks but only {count_protected(image)} protected ranges",
            f"{image.name} ({names})",
            "move what may fault into a call that is not inlined",
        )
