# SPDX-License-Identifier: Apache-2.0
"""Gives a driver for a guest on Wine the functions that this Wine lacks, from our support library.

Wine resolves imports by module and name.  Of the copy that is deployed the import directory is written
anew, in a section of its own: what the support library supplies is imported from it, everything else as it
was.  No code changes: the slots through which the driver calls stay where they are.  The signature is taken
off (Wine looks at none), and the check sum is made anew.  Files of a user are never changed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pefile

from drivers.errors import BuildError, ImportRefused
from drivers.wdmsup_exports import KERNEL_MODULES, MODULE, Supplied, supplied

if TYPE_CHECKING:
    from drivers.imports import Offered

SECTION = b".kshsimp"
_DESCRIPTOR = struct.Struct("<5I")
_SECTION_HEADER = struct.Struct("<8s6I2HI")
_READABLE_DATA = 0x40000040  # IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ
_DIRECTORY = pefile.DIRECTORY_ENTRY
_FRAMEWORKS = ("wdfldr.sys", "wudfx.dll", "wudfx02000.dll")
_FRAMEWORK_HINT = (
    "it needs Windows' framework library (WdfLdr.sys, Wdf01000.sys), which guests on Wine do not have and"
    " which may not be passed on: run it on a Windows guest (--guest)"
)


@dataclass(frozen=True)
class Rewritten:
    """One driver as it is deployed: its bytes, and the names of its imports that the library supplies.

    ``functions`` are sorted; those of modules that are not served read ``usbd.sys!USBD_CreateHandle``.
    ``reasons`` say why Wine's own function was not taken, where it has one.
    """

    name: str
    data: bytes
    functions: tuple[str, ...]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Slot:
    """One import: whence, and the word of the lookup table that names it."""

    module: bytes
    lookup: int
    function: str
    by: bytes


def require_no_framework(driver: Path) -> None:
    """Refuses a KMDF driver, whose imports are those of a framework and not of the kernel.

    Raises:
        ImportRefused: it imports from WDFLDR.SYS.
    """
    from drivers import imports

    found = {module for module, _ in imports.imports(driver)} & set(_FRAMEWORKS)
    if found:
        raise ImportRefused(
            f"{driver.name} is a driver of the Windows Driver Frameworks (KMDF): it imports WdfVersionBind"
            f" and its kin from {sorted(found)[0]}",
            str(driver),
            hint=_FRAMEWORK_HINT,
        )


def with_library(offered: Offered, library: Supplied | None = None) -> Offered:
    """What a Wine offers together with the support library, for checks of imports.

    Functions of the library count as there, and so do the modules that it stands for where Wine has none.
    """
    from drivers.imports import Exports

    library = library or supplied()
    modules = dict(offered.modules)
    for name in KERNEL_MODULES & modules.keys():
        own = modules[name]
        refused = {one: why for one, why in own.refused.items() if one not in library.kernel}
        modules[name] = Exports(own.functions | library.kernel, refused, own.wrong)
    for name, functions in library.stubs.items():
        modules.setdefault(name, Exports(functions))
    return replace(offered, modules=modules)


def rewrite(driver: Path, offered: Offered, library: Supplied | None = None) -> Rewritten:
    """The driver for a guest with this Wine.

    Args:
        driver: the file, which stays as it is.
        offered: what the guest's Wine has (`drivers.imports.wine`).
        library: what is supplied, by default by our own.

    Raises:
        ImportRefused: it is a KMDF driver.
        BuildError: it is no x64 image, or its headers have no room for one section more.
    """
    require_no_framework(driver)
    library = library or supplied()
    data = driver.read_bytes()
    try:
        image = pefile.PE(data=data, fast_load=True)
    except pefile.PEFormatError as error:
        raise BuildError(f"is no PE image: {error}", str(driver)) from error
    try:
        if image.FILE_HEADER.Machine != pefile.MACHINE_TYPE["IMAGE_FILE_MACHINE_AMD64"]:
            raise BuildError("is no image for x86_64", str(driver))
        image.parse_data_directories([_DIRECTORY["IMAGE_DIRECTORY_ENTRY_IMPORT"]])
        descriptors = _slots(image, offered, library)
        taken = [slot for _, slots in descriptors for slot in slots if slot.by != slot.module]
        if not taken:
            return Rewritten(driver.name, data, ())
        rewritten = _write(image, descriptors, driver)
    finally:
        image.close()
    return Rewritten(
        driver.name, rewritten, tuple(sorted({_said(slot) for slot in taken})), _reasons(taken, library)
    )


def _said(slot: _Slot) -> str:
    module = slot.module.decode("ascii", "replace").lower()
    return slot.function if module in KERNEL_MODULES else f"{module}!{slot.function}"


def _reasons(taken: Iterable[_Slot], library: Supplied) -> tuple[str, ...]:
    names = {slot.function for slot in taken}
    return tuple(
        group.reason for group in library.groups if group.kind == "always" and group.functions & names
    )


def _slots(image: pefile.PE, offered: Offered, library: Supplied) -> list[tuple[int, list[_Slot]]]:
    """Of each import descriptor the address of its first slot, and its slots in order."""
    tables = [
        (entry.dll, entry.struct.FirstThunk, list(entry.imports))
        for entry in getattr(image, "DIRECTORY_ENTRY_IMPORT", [])
    ]
    lacking = frozenset(
        _name(one)
        for module, _, imports in tables
        if module.decode("ascii", "replace").lower() in KERNEL_MODULES
        for one in imports
        if _lacks(offered, module.decode("ascii", "replace").lower(), _name(one))
    )
    return [
        (first, [_slot(module, one, lacking, offered, library) for one in imports])
        for module, first, imports in tables
    ]


def _slot(
    module: bytes, one: pefile.ImportData, lacking: frozenset[str], offered: Offered, library: Supplied
) -> _Slot:
    name, own = _name(one), module.decode("ascii", "replace").lower()
    if own in KERNEL_MODULES:
        ours = library.taken(name, lacking)
    else:
        ours = name in library.stubs.get(own, ()) and own not in offered.modules
    lookup = (1 << 63 | one.ordinal) if one.import_by_ordinal else one.hint_name_table_rva
    return _Slot(module, lookup, name, MODULE.encode() if ours else module)


def _name(one: pefile.ImportData) -> str:
    return one.name.decode("ascii", "replace") if one.name else f"#{one.ordinal}"


def _lacks(offered: Offered, module: str, function: str) -> bool:
    exports = offered.modules.get(module)
    return exports is None or function not in exports.functions or function in exports.wrong


def _write(image: pefile.PE, descriptors: list[tuple[int, list[_Slot]]], driver: Path) -> bytes:
    """The image with a new import directory in a section at its end, and without its signature."""
    optional = image.OPTIONAL_HEADER
    end = max(
        section.VirtualAddress + max(section.Misc_VirtualSize, section.SizeOfRawData)
        for section in image.sections
    )
    address = _round(max(end, optional.SizeOfImage), optional.SectionAlignment)
    content, size = _directory(list(_runs(descriptors)), address)
    data = bytearray(image.__data__[: _unsigned_length(image)])
    data += bytes(-len(data) % optional.FileAlignment)
    header = image.sections[-1].get_file_offset() + _SECTION_HEADER.size
    first_data = min(section.PointerToRawData for section in image.sections if section.PointerToRawData)
    if header + _SECTION_HEADER.size > min(optional.SizeOfHeaders, first_data):
        raise BuildError(
            "has no room in its headers for another section", str(driver), "run it on Windows (--guest)"
        )
    raw = len(data)
    data += content + bytes(-len(content) % optional.FileAlignment)
    _SECTION_HEADER.pack_into(
        data, header, SECTION, len(content), address, len(data) - raw, raw, 0, 0, 0, 0, _READABLE_DATA
    )
    changed = pefile.PE(data=bytes(data), fast_load=True)
    try:
        changed.FILE_HEADER.NumberOfSections += 1
        changed.OPTIONAL_HEADER.SizeOfImage = address + _round(len(content), optional.SectionAlignment)
        directories = changed.OPTIONAL_HEADER.DATA_DIRECTORY
        directory = directories[_DIRECTORY["IMAGE_DIRECTORY_ENTRY_IMPORT"]]
        directory.VirtualAddress, directory.Size = address, size
        for name in ("IMAGE_DIRECTORY_ENTRY_SECURITY", "IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT"):
            directories[_DIRECTORY[name]].VirtualAddress = directories[_DIRECTORY[name]].Size = 0
        changed.OPTIONAL_HEADER.CheckSum = changed.generate_checksum()
        return bytes(changed.write())
    finally:
        changed.close()


def _runs(descriptors: list[tuple[int, list[_Slot]]]) -> Iterator[tuple[int, bytes, list[int]]]:
    """Neighbouring slots from one module: address of the first, module, words of the lookup table."""
    for first, slots in descriptors:
        position = first
        for by, run in groupby(slots, key=lambda slot: slot.by):
            words = [slot.lookup for slot in run]
            yield position, by, words
            position += 8 * len(words)


def _directory(runs: list[tuple[int, bytes, list[int]]], address: int) -> tuple[bytes, int]:
    """Descriptors, their lookup tables and the modules' names; and the size of the descriptors."""
    size = _DESCRIPTOR.size * (len(runs) + 1)
    tables, names = bytearray(), bytearray()
    tables_at = address + _round(size, 8)
    names_at = tables_at + sum(8 * (len(words) + 1) for _, _, words in runs)
    head, known = bytearray(), {}
    for slot, module, words in runs:
        if module not in known:
            known[module] = names_at + len(names)
            names += module + b"\0"
        head += _DESCRIPTOR.pack(tables_at + len(tables), 0, 0, known[module], slot)
        tables += struct.pack(f"<{len(words) + 1}Q", *words, 0)
    head += bytes(tables_at - address - len(head))
    return bytes(head + tables + names), size


def _unsigned_length(image: pefile.PE) -> int:
    """Where the signature begins, which stands at the end of a file, or the whole length."""
    security = image.OPTIONAL_HEADER.DATA_DIRECTORY[_DIRECTORY["IMAGE_DIRECTORY_ENTRY_SECURITY"]]
    length = len(image.__data__)
    return security.VirtualAddress if security.Size and security.VirtualAddress < length else length


def _round(value: int, to: int) -> int:
    return -(-value // to) * to
