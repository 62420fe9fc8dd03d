# SPDX-License-Identifier: Apache-2.0
"""Whether memory integrity (HVCI) would keep a driver from loading, as far as its file shows that.

What a driver must not do is on the public page "Implement memory integrity compatible code" (Windows driver
documentation, driversecurity), and the errors that "Code integrity checking" (devtest) gives numbers are what
becomes of it.  Three of these rules can be read off the image:

* no section is both writable and executable (0x2003);
* the section alignment is a multiple of the page size, 0x1000, and so each section is page aligned (0x2004);
* the import address table does not lie in an executable section (0x2005).

What a driver does while it runs (executable pool, patched code) cannot be, and is left to the guest.
"""

from __future__ import annotations

from pathlib import Path

import pefile

from drivers import pe_image

PAGE = 0x1000
_EXECUTE = pefile.SECTION_CHARACTERISTICS["IMAGE_SCN_MEM_EXECUTE"]
_WRITE = pefile.SECTION_CHARACTERISTICS["IMAGE_SCN_MEM_WRITE"]
_IAT = pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_IAT"]


def problems(driver: Path) -> list[str]:
    """What memory integrity would object to in an image, a sentence each; empty where nothing is seen.

    Raises:
        BuildError: the file is no PE image.
    """
    image = pe_image.opened(driver)
    found = []
    alignment = image.OPTIONAL_HEADER.SectionAlignment
    if alignment == 0 or alignment % PAGE:
        found.append(f"its section alignment is {alignment:#x}, no multiple of {PAGE:#x}")
    for section in image.sections:
        if section.VirtualAddress % PAGE and not found:
            found.append(f"its section {_name(section)} is not page aligned")
        if section.Characteristics & _EXECUTE and section.Characteristics & _WRITE:
            found.append(f"its section {_name(section)} is writable and executable")
    directories = image.OPTIONAL_HEADER.DATA_DIRECTORY
    table = directories[_IAT] if len(directories) > _IAT else None
    if table is not None and table.Size:
        holder = image.get_section_by_rva(table.VirtualAddress)
        if holder is not None and holder.Characteristics & _EXECUTE:
            found.append(f"its import address table lies in the executable section {_name(holder)}")
    return found


def _name(section: pefile.SectionStructure) -> str:
    return str(section.Name.rstrip(b"\0").decode("ascii", "replace"))
