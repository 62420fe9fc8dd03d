# SPDX-License-Identifier: Apache-2.0
"""What a file is, by its first bytes: which are dumps for us, and what the others are instead."""

from __future__ import annotations

from harness.evidence.dump.source import Source

#: The first eight bytes of every 64-bit kernel dump.
SIGNATURE = b"PAGEDU64"

_TRY = "give a MEMORY.DMP or a Minidump\\*.dmp of 64-bit Windows"
_UNPACK = "unpack it first"

#: First bytes, what a file that begins so is, and what to do.
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"PAGEDUMP", "is a dump of 32-bit Windows; only 64-bit ones are read", _TRY),
    (b"PAGE", "begins as a dump and is none that is known", _TRY),
    (b"MDMP", "is a minidump of one process (user mode), no dump of a kernel", _TRY),
    (
        b"\x7fELF",
        "is an ELF file: what a hypervisor saves of a machine in its own form",
        "save it as win-dmp, or give the guest's own dump",
    ),
    (b"KDMP", "is a compressed dump of makedumpfile (Linux)", _TRY),
    (b"QEVM", "is a saved state of QEMU", _TRY),
    (b"LibvirtQemudSave", "is a saved state of libvirt", _TRY),
    (b"hibr", "is a hibernation file of Windows", _TRY),
    (b"HIBR", "is a hibernation file of Windows", _TRY),
    (b"\x1f\x8b", "is compressed (gzip)", _UNPACK),
    (b"PK\x03\x04", "is a ZIP archive", _UNPACK),
    (b"PK\x05\x06", "is an empty ZIP archive", _TRY),
    (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive", _UNPACK),
    (b"\xfd7zXZ\x00", "is compressed (xz)", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "is compressed (zstd)", _UNPACK),
    (b"\x04\x22\x4d\x18", "is compressed (lz4)", _UNPACK),
    (b"BZh", "is compressed (bzip2)", _UNPACK),
    (b"MSCF", "is a cabinet", _UNPACK),
    (b"Rar!", "is a RAR archive", _UNPACK),
    (b"MZ", "is a program or driver, no dump", _TRY),
    (b"Microsoft C/C++ MSF", "is a PDB, no dump", "give its directory to --symbols"),
    (b"ElfFile", "is an event log of Windows", _TRY),
    (b"QFI\xfb", "is a disk image (qcow2)", _TRY),
    (b"%PDF", "is a PDF", _TRY),
    (b"{", "is text (JSON?), no dump", _TRY),
)


def check_signature(source: Source) -> None:
    """That a file begins as a 64-bit kernel dump.

    Raises:
        DumpError: it does not; it says what the file is instead.
    """
    if source.size == 0:
        raise source.error("is empty: nothing was written into it", "was the dump interrupted?")
    head = source.read(0, min(source.size, 4096), "the beginning")
    if head.startswith(SIGNATURE):
        return
    if SIGNATURE.startswith(head):
        raise source.error(f"is cut short: it has only {len(head)} bytes")
    for begin, words, hint in _KINDS:
        if head.startswith(begin):
            raise source.error(words, hint)
    if not any(head):
        raise source.error(
            "begins with nothing but zero bytes: it was not on the disk yet when the machine stopped"
        )
    if head[257:262] == b"ustar":
        raise source.error("is a TAR archive", _UNPACK)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        raise source.error("is a page of HTML or XML, such as a server sends in the place of a file", _TRY)
    if not any(byte < 9 or 13 < byte < 32 for byte in head[:512]):
        raise source.error("is text, no dump", _TRY)
    raise source.error(f"is no memory dump of Windows: it begins with {head[:8].hex(' ')}", _TRY)
