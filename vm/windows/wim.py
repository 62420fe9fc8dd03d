# SPDX-License-Identifier: Apache-2.0
"""What a WIM file says about the images inside it.

An ``install.wim`` is several gigabytes inside an ISO.  What describes the images is its XML data, which is
stored as it is, so it is read where it lies; whether the rest is a WIM is wimlib's to say.  wimlib wants a
file, but to open one it reads only the header, the XML data, the table of resources, and the first bytes of
each solid resource.  So it gets a sparse file of the right size that holds just these: a few megabytes are
copied, not five gigabytes.  Layout: "Windows Imaging File Format (WIM)" by Microsoft; solid resources, which
that does not describe: wimlib's documentation.
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lxml import etree

from vm.errors import InputError, VmError
from vm.words import printable

_MAGIC = b"MSWIM\0\0\0"
_PIPABLE_MAGIC = b"WLPWM\0\0\0"
_HEADER_SIZE = 208
_TABLE_AT, _XML_AT = 48, 72
_METADATA_LIMIT = 64 << 20
_COMPRESSED, _SOLID = 0x04, 0x10  # flags of a resource
_TABLE_ENTRY = struct.Struct("<QQQHI20s")
_SOLID_HEADER = 16  # bytes: unpacked size, chunk size, compression format
_ARCHITECTURES = {0: "x86", 5: "arm", 9: "amd64", 12: "arm64"}
_NUMBER = re.compile(r"[0-9]{1,9}\Z")
_XML_INVALID = 73  # wimlib's error code for XML data, also that of a single odd image
_DAMAGED = "the medium is damaged or cut off: compare its SHA-256"


@dataclass(frozen=True)
class WimImage:
    """One image of a WIM: what Setup would install for this index.

    What the WIM does not say is empty or None: that matters only when this image is chosen.
    ``build`` is the third part of the version (26100), ``revision`` the fourth.
    """

    index: int
    name: str = ""
    display_name: str = ""
    edition: str = ""
    architecture: str = ""
    major: int | None = None
    minor: int | None = None
    build: int | None = None
    revision: int | None = None
    languages: tuple[str, ...] = ()
    default_language: str = ""
    installation_type: str = ""

    @property
    def server(self) -> bool:
        """Whether this is Windows Server, as INSTALLATIONTYPE says it; where that is missing, the edition."""
        return (self.installation_type or self.edition).casefold().startswith("server")

    @property
    def version(self) -> str:
        """Build and revision, for people."""
        if self.build is None:
            return "build unknown"
        return f"build {self.build}" + ("" if self.revision is None else f".{self.revision}")

    def __str__(self) -> str:
        kind = ", ".join(text for text in (self.edition or "no EDITIONID", self.installation_type) if text)
        return f"{self.index} {self.name or self.display_name or 'without a name'} [{kind}]"


def describe(stream: BinaryIO, size: int, where: str) -> tuple[WimImage, ...]:
    """The images of the WIM that `stream` holds from its position 0.

    Args:
        stream: seekable and readable; ``install.wim`` inside an opened ISO will do.
        size: its length in bytes.
        where: how messages name it.

    Raises:
        InputError: it is no WIM, is damaged, is split, or is of a form that Windows Setup does not read.
        VmError: wimlib cannot be run.
    """
    header = _header(stream, size, where)
    xml = _resource(header, _XML_AT)
    table = _resource(header, _TABLE_AT)
    for label, resource in (("XML data", xml), ("table of resources", table)):
        if resource.size > _METADATA_LIMIT or resource.offset + resource.size > size:
            raise InputError(
                f"the WIM's {label} lies outside the file ({resource.size:,} bytes at {resource.offset:,})",
                where,
                _DAMAGED,
            )
    with tempfile.TemporaryDirectory(prefix="kshs-wim-") as folder:
        skeleton = Path(folder) / "skeleton.wim"
        with skeleton.open("wb") as out:
            out.write(header)
            pieces = [(xml.offset, xml.size), (table.offset, table.size)]
            for offset, length in (*pieces, *_solid_headers(stream, table, size)):
                stream.seek(offset)
                out.seek(offset)
                out.write(stream.read(length))
            out.truncate(size)
        said = _wimlib_xml(skeleton, where)
    if xml.flags & _COMPRESSED:
        return parse(said, where)
    stream.seek(xml.offset)
    return parse(stream.read(xml.size), where)


def _header(stream: BinaryIO, size: int, where: str) -> bytes:
    stream.seek(0)
    header = stream.read(_HEADER_SIZE)
    if not size:
        raise InputError("the WIM is empty", where, _DAMAGED)
    if header.startswith(_PIPABLE_MAGIC):
        raise InputError(
            "this is a pipable WIM, which wimlib alone reads and Windows Setup does not",
            where,
            "make an ordinary one: wimlib-imagex export install.wim all NEW.wim",
        )
    if len(header) < _HEADER_SIZE or not header.startswith(_MAGIC):
        raise InputError("this is not a WIM file", where, "give an original Windows medium")
    part, parts = struct.unpack_from("<HH", header, 40)
    if (part, parts) != (1, 1):
        raise InputError(
            f"this WIM is split: it is part {part} of {parts}",
            where,
            "join the parts first: wimlib-imagex join install.wim install*.swm",
        )
    return header


@dataclass(frozen=True)
class _Resource:
    size: int
    flags: int
    offset: int


def _resource(header: bytes, at: int) -> _Resource:
    """Stored length, flags (the length's top byte) and offset of a resource."""
    packed, offset = struct.unpack_from("<QQ", header, at)
    return _Resource(packed & ((1 << 56) - 1), packed >> 56, offset)


def _solid_headers(stream: BinaryIO, table: _Resource, size: int) -> Iterator[tuple[int, int]]:
    """Where the solid resources begin: wimlib asks each for its own size when it reads the table."""
    if table.flags & _COMPRESSED:
        return  # nobody writes such a table; wimlib may judge it
    stream.seek(table.offset)
    entries = stream.read(table.size)
    whole = len(entries) - len(entries) % _TABLE_ENTRY.size
    for packed, offset, *_ in _TABLE_ENTRY.iter_unpack(entries[:whole]):
        if (packed >> 56) & _SOLID and offset + _SOLID_HEADER <= size:
            yield offset, _SOLID_HEADER


def _wimlib_xml(path: Path, where: str) -> bytes:
    command = ["wimlib-imagex", "info", str(path), "--xml"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    except FileNotFoundError:
        raise VmError("wimlib-imagex is not installed", where, "apt-get install wimtools") from None
    except subprocess.TimeoutExpired:
        raise VmError("wimlib-imagex did not answer within 120 s", where) from None
    if done.returncode == 0:
        return done.stdout
    if done.returncode == _XML_INVALID:
        return b""  # ours to judge, by the image that is chosen
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    reason = printable(said[-1]) if said else f"it ended with {done.returncode}"
    raise InputError(f"wimlib refuses the WIM: {reason}", where, _DAMAGED)


def parse(xml: bytes, where: str) -> tuple[WimImage, ...]:
    """The images that a WIM's XML data describes (UTF-16 with a byte order mark, or UTF-8), by index.

    Raises:
        InputError: the XML is not well-formed, or there is no image that could be chosen.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    try:
        root = etree.fromstring(xml, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise InputError(f"the WIM's XML data is not well-formed: {error}", where, _DAMAGED) from None
    images = [image for node in root.findall("IMAGE") if (image := _image(node)) is not None]
    if not images:
        raise InputError("the WIM holds no image", where, "give an original Windows medium")
    return tuple(sorted(images, key=lambda image: image.index))


def _image(node: etree._Element) -> WimImage | None:
    """What is said of one image; None where it has no index, by which Setup could be told of it."""
    index = _number(node.get("INDEX"))
    if not index:
        return None

    def text(path: str) -> str:
        return printable(node.findtext(path) or "")

    architecture = text("WINDOWS/ARCH")
    number = _number(architecture)
    languages = (printable(child.text or "") for child in node.findall("WINDOWS/LANGUAGES/LANGUAGE"))
    return WimImage(
        index=index,
        name=text("NAME"),
        display_name=text("DISPLAYNAME"),
        edition=text("WINDOWS/EDITIONID"),
        architecture=_ARCHITECTURES.get(-1 if number is None else number, architecture),
        major=_number(text("WINDOWS/VERSION/MAJOR")),
        minor=_number(text("WINDOWS/VERSION/MINOR")),
        build=_number(text("WINDOWS/VERSION/BUILD")),
        revision=_number(text("WINDOWS/VERSION/SPBUILD")),
        languages=tuple(language for language in languages if language),
        default_language=text("WINDOWS/LANGUAGES/DEFAULT"),
        installation_type=text("WINDOWS/INSTALLATIONTYPE"),
    )


def _number(text: str | None) -> int | None:
    """A number of up to nine digits; None for anything else."""
    stripped = (text or "").strip()
    return int(stripped) if _NUMBER.match(stripped) else None
