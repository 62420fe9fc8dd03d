# SPDX-License-Identifier: Apache-2.0
"""Installation media: which ISO this is, what is in it, and whether it is the one that was asked for.

The table of known evaluation media comes from the public lists of two image builders
(dockur/windows ``src/define.sh`` and rgl/windows-vagrant ``windows-evaluation-isos.json``).  An ISO that
is not in it is accepted only when the user names its SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from vm.errors import InputError
from vm.windows import wim

_WIM_PATHS = ("/sources/install.wim", "/sources/install.esd")
_CHUNK = 4 << 20


@dataclass(frozen=True)
class KnownMedia:
    """An evaluation ISO as Microsoft published it; `size` in bytes, None where no source gives it."""

    title: str
    sha256: str
    size: int | None
    evaluation_days: int


KNOWN_MEDIA: dict[str, KnownMedia] = {
    "server2025": KnownMedia(
        "Windows Server 2025 evaluation, 26100.32230, en-us",
        "7b052573ba7894c9924e3e87ba732ccd354d18cb75a883efa9b900ea125bfd51",
        8_152_356_864,
        180,
    ),
    "server2022": KnownMedia(
        "Windows Server 2022 evaluation, en-us",
        "3e4fa6d8507b554856fc9ca6079cc402df11a8b79344871669f0251535255325",
        5_044_094_976,
        180,
    ),
    "win11": KnownMedia(
        "Windows 11 Enterprise 25H2 evaluation, 26200.6584, en-us",
        "a61adeab895ef5a4db436e0a7011c92a2ff17bb0357f58b13bbc4062e535e7b9",
        7_092_807_680,
        90,
    ),
    "win11-ltsc": KnownMedia(
        "Windows 11 Enterprise LTSC 24H2 evaluation, 26100.1742, en-us",
        "67cec5865eaa037a72ddc633a717a10a2bed50778862267223ddb9c60ef5da68",
        5_112_850_432,
        90,
    ),
}


@dataclass(frozen=True)
class Media:
    """An ISO that was read: its digest, where the WIM lies in it, and the images inside."""

    path: Path
    size: int
    sha256: str
    wim_path: str
    images: tuple[wim.WimImage, ...]


def digest(path: Path, progress: Callable[[float], None] | None = None) -> str:
    """SHA-256 of the file in hex; `progress` gets the fraction done.

    Raises:
        InputError: the file cannot be read.
    """
    hasher = hashlib.sha256()
    done = 0
    try:
        total = path.stat().st_size
        with path.open("rb") as stream:
            while block := stream.read(_CHUNK):
                hasher.update(block)
                done += len(block)
                if progress and total:
                    progress(done / total)
    except OSError as error:
        raise InputError(
            f"cannot read the ISO: {error.strerror}", where=str(path), hint="check --iso"
        ) from None
    return hasher.hexdigest()


def read(path: Path, progress: Callable[[float], None] | None = None) -> Media:
    """Open the ISO (UDF, as Windows media are; ISO 9660 with Joliet as a second choice) and read its WIM.

    Raises:
        InputError: not readable, no ISO, or no Windows installation medium.
    """
    sha256 = digest(path, progress)
    iso = pycdlib.PyCdlib()
    try:
        iso.open(str(path))
    except (PyCdlibException, OSError) as error:
        raise InputError(f"this is not an ISO image: {error}", where=str(path), hint="check --iso") from None
    try:
        wim_path, stream, size = _open_wim(iso, path)
        with stream:
            images = wim.describe(stream, size, f"{path}:{wim_path}")
    except PyCdlibException as error:
        raise InputError(
            f"the ISO image is damaged: {error}", where=str(path), hint="compare its SHA-256"
        ) from None
    finally:
        iso.close()
    return Media(path, path.stat().st_size, sha256, wim_path, images)


def _open_wim(iso: pycdlib.PyCdlib, path: Path) -> tuple[str, BinaryIO, int]:
    kinds = [
        kind for kind, there in (("udf_path", iso.has_udf()), ("joliet_path", iso.has_joliet())) if there
    ]
    for kind in kinds:
        for name in _WIM_PATHS:
            try:
                record = iso.get_record(**{kind: name})
            except PyCdlibException:
                continue
            stream = iso.open_file_from_iso(**{kind: name})
            stream.__enter__()  # type: ignore[no-untyped-call]
            return name, cast(BinaryIO, stream), int(record.get_data_length())
    raise InputError(
        "no sources/install.wim in this ISO",
        where=str(path),
        hint="give a Windows installation medium, not a language, driver or recovery disc",
    )


@dataclass(frozen=True)
class Wanted:
    """What a guest of the configuration needs of its medium; None means that anything will do."""

    name: str
    edition: str | None = None
    image_index: int | None = None
    image_name: str | None = None
    minimum_build: int = 0
    maximum_build: int | None = None
    language: str | None = None
    architecture: str = "amd64"


def choose(
    media: Media, wanted: Wanted, *, expected_sha256: str | None, known: KnownMedia | None
) -> wim.WimImage:
    """Pick the image to install, or refuse the medium with the reason.

    Args:
        media: what was read.
        wanted: what the guest needs.
        expected_sha256: the hash by which the user vouches for an ISO that is not in the table.
        known: the table's entry for this guest, if there is one.

    Raises:
        InputError: another medium than the one asked for, a retail medium, another architecture, build or
            language, no such image, or more than one that would fit.
    """
    where = str(media.path)
    if expected_sha256 is not None and expected_sha256.lower() != media.sha256:
        raise InputError(
            f"SHA-256 is {media.sha256}, not {expected_sha256.lower()} as --sha256 says", where=where
        )
    if expected_sha256 is None and (known is None or known.sha256 != media.sha256):
        title = f"the known medium of {wanted.name} ({known.title})" if known else "a known medium"
        raise InputError(
            f"this ISO is not {title}",
            where=where,
            hint=f"if you trust it, say so by its hash: --sha256 {media.sha256}",
        )
    candidates = [image for image in media.images if _fits(image, wanted)]
    if len(candidates) == 1:
        image = candidates[0]
    else:
        offered = "; ".join(f"{i.index} {i.name or i.display_name} [{i.edition}]" for i in media.images)
        problem = "no image fits" if not candidates else f"{len(candidates)} images fit"
        raise InputError(
            f"{problem} {_sought(wanted)}",
            where=where,
            hint=f"set image_index to one of: {offered}",
        )
    _check(image, wanted, where)
    return image


def _fits(image: wim.WimImage, wanted: Wanted) -> bool:
    if wanted.image_index is not None:
        return image.index == wanted.image_index
    if wanted.image_name is not None:
        return wanted.image_name in (image.name, image.display_name)
    return wanted.edition is None or image.edition.lower() == wanted.edition.lower()


def _sought(wanted: Wanted) -> str:
    if wanted.image_index is not None:
        return f"image_index {wanted.image_index}"
    if wanted.image_name is not None:
        return f"image_name {wanted.image_name!r}"
    return f"edition {wanted.edition!r}"


def _check(image: wim.WimImage, wanted: Wanted, where: str) -> None:
    if image.architecture != wanted.architecture:
        raise InputError(
            f"image {image.index} is for {image.architecture}, the guest is {wanted.architecture}",
            where=where,
        )
    if (
        not image.edition.lower().endswith("eval")
        and wanted.image_index is None
        and wanted.image_name is None
    ):
        raise InputError(
            f"image {image.index} is {image.edition}: a retail or volume edition, which would ask for a key",
            where=where,
            hint="download the evaluation medium, or choose the image by image_index and accept its licence",
        )
    too_new = wanted.maximum_build is not None and image.build > wanted.maximum_build
    if image.build < wanted.minimum_build or too_new:
        builds = f"{wanted.minimum_build} to {wanted.maximum_build or 'any'}"
        raise InputError(
            f"image {image.index} is build {image.build}; {wanted.name} wants {builds}",
            where=where,
        )
    if wanted.language and wanted.language.lower() not in {name.lower() for name in image.languages}:
        raise InputError(
            f"image {image.index} speaks {', '.join(image.languages) or 'nothing'}, not {wanted.language}",
            where=where,
            hint="set locale to a language of the medium",
        )
