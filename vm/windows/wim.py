# SPDX-License-Identifier: Apache-2.0
"""What a WIM file says about the images inside it, read by wimlib.

An ``install.wim`` is several gigabytes inside an ISO.  wimlib wants a file, but to describe the images
it reads only three places of it: the header, the lookup table and the XML data.  `describe` therefore
gives wimlib a sparse file of the right size that holds just these, and copies a few megabytes, not five
gigabytes.  Layout of the header: "Windows Imaging File Format (WIM)" by Microsoft, section "Header".
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lxml import etree

from vm.errors import InputError, VmError

_MAGIC = b"MSWIM\0\0\0"
_HEADER_SIZE = 208
_RESOURCES_AT = {"lookup table": 48, "XML data": 72}
_METADATA_LIMIT = 64 << 20
_ARCHITECTURES = {0: "x86", 5: "arm", 9: "amd64", 12: "arm64"}


@dataclass(frozen=True)
class WimImage:
    """One image of a WIM: what Setup would install for this index.

    ``build`` is the third part of the version (26100), ``revision`` the fourth.
    """

    index: int
    name: str
    display_name: str
    edition: str
    architecture: str
    major: int
    minor: int
    build: int
    revision: int
    languages: tuple[str, ...]
    default_language: str
    installation_type: str


def describe(stream: BinaryIO, size: int, where: str) -> tuple[WimImage, ...]:
    """Return the images of the WIM that `stream` holds from its position 0.

    Args:
        stream: seekable and readable; ``install.wim`` inside an opened ISO will do.
        size: its length in bytes.
        where: how messages name it.

    Raises:
        VmError: it is no WIM, is damaged, is split, or wimlib cannot be run.
    """
    stream.seek(0)
    header = stream.read(_HEADER_SIZE)
    if len(header) < _HEADER_SIZE or not header.startswith(_MAGIC):
        raise InputError("this is not a WIM file", where=where, hint="give an original Windows medium")
    part, parts = struct.unpack_from("<HH", header, 40)
    if (part, parts) != (1, 1):
        raise InputError(
            f"this WIM is part {part} of {parts}",
            where=where,
            hint="join the parts first: wimlib-imagex join",
        )
    with tempfile.TemporaryDirectory(prefix="kshs-wim-") as folder:
        skeleton = Path(folder) / "skeleton.wim"
        with skeleton.open("wb") as out:
            out.write(header)
            for label, at in _RESOURCES_AT.items():
                length, offset = _resource(header, at)
                if length > _METADATA_LIMIT or offset + length > size:
                    raise InputError(
                        f"the WIM's {label} lies outside the file ({length} bytes at {offset})",
                        where=where,
                        hint="the medium is damaged or cut off: compare its SHA-256",
                    )
                stream.seek(offset)
                out.seek(offset)
                out.write(stream.read(length))
            out.truncate(size)
        return parse(_wimlib_xml(skeleton, where), where)


def _resource(header: bytes, at: int) -> tuple[int, int]:
    """Stored length and offset of a resource; the length's top byte holds flags."""
    packed, offset = struct.unpack_from("<QQ", header, at)
    return packed & ((1 << 56) - 1), offset


def _wimlib_xml(path: Path, where: str) -> bytes:
    command = ["wimlib-imagex", "info", str(path), "--xml"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    except FileNotFoundError:
        raise VmError(
            "wimlib-imagex is not installed", where=where, hint="apt-get install wimtools"
        ) from None
    except subprocess.TimeoutExpired:
        raise VmError("wimlib-imagex did not answer within 120 s", where=where) from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise InputError(f"wimlib refuses the WIM: {said[-1] if said else done.returncode}", where=where)
    return done.stdout


def parse(xml: bytes, where: str) -> tuple[WimImage, ...]:
    """Return the images that a WIM's XML data describes (UTF-16 with a byte order mark, or UTF-8).

    Raises:
        VmError: the XML is not well-formed, or an image lacks what an installation needs to know.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    try:
        root = etree.fromstring(xml, parser)
    except etree.XMLSyntaxError as error:
        raise InputError(f"the WIM's XML data is not well-formed: {error}", where=where) from None
    images = tuple(_image(node, where) for node in root.findall("IMAGE"))
    if not images:
        raise InputError("the WIM holds no image", where=where)
    return tuple(sorted(images, key=lambda image: image.index))


def _image(node: etree._Element, where: str) -> WimImage:
    index = int(node.get("INDEX") or 0)

    def text(path: str, default: str | None = None) -> str:
        value = node.findtext(path, default)
        if value is None:
            raise InputError(
                f"image {index} of the WIM has no {path}",
                where=where,
                hint="this is not a Windows installation image",
            )
        return value.strip()

    def number(path: str) -> int:
        value = text(path, "0")
        if not value.isdigit():
            raise InputError(f"image {index} of the WIM: {path} is {value!r}, not a number", where=where)
        return int(value)

    architecture = int(text("WINDOWS/ARCH"))
    return WimImage(
        index=index,
        name=text("NAME", ""),
        display_name=text("DISPLAYNAME", ""),
        edition=text("WINDOWS/EDITIONID"),
        architecture=_ARCHITECTURES.get(architecture, f"unknown ({architecture})"),
        major=number("WINDOWS/VERSION/MAJOR"),
        minor=number("WINDOWS/VERSION/MINOR"),
        build=number("WINDOWS/VERSION/BUILD"),
        revision=number("WINDOWS/VERSION/SPBUILD"),
        languages=tuple(child.text or "" for child in node.findall("WINDOWS/LANGUAGES/LANGUAGE")),
        default_language=text("WINDOWS/LANGUAGES/DEFAULT", ""),
        installation_type=text("WINDOWS/INSTALLATIONTYPE", ""),
    )
