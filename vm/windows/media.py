# SPDX-License-Identifier: Apache-2.0
"""Installation media: which ISO this is, what is in it, and whether it is the one that was asked for.

The table of known evaluation media comes from the public lists of two image builders
(dockur/windows ``src/define.sh`` and rgl/windows-vagrant ``windows-evaluation-isos.json``).  An ISO that
is not in it is accepted only when the user names its SHA-256.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vm.errors import InputError
from vm.windows import wim
from vm.windows.disc import Disc, DiscFile

_FOLDER = "sources"
_WIM_NAMES = ("install.wim", "install.esd")
_SPLIT = re.compile(r"install[0-9]*\.swm[0-9]*", re.IGNORECASE)
_CHUNK = 4 << 20


@dataclass(frozen=True)
class KnownMedia:
    """An evaluation ISO as Microsoft published it; `size` in bytes, None where no source gives it."""

    title: str
    sha256: str
    size: int | None
    evaluation_days: int

    def __str__(self) -> str:
        size = f"{self.size:,} bytes, " if self.size else ""
        return f"{self.title} ({size}SHA-256 {self.sha256})"


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
        raise InputError(f"cannot be read: {error.strerror}", str(path)) from None
    return hasher.hexdigest()


def read(
    path: Path, known: KnownMedia | None = None, progress: Callable[[float], None] | None = None
) -> Media:
    """Opens the ISO and reads the images of its WIM.

    Args:
        path: the ISO.
        known: the medium that this should be; named where this one is damaged.
        progress: gets the fraction done of what takes long.

    Raises:
        InputError: not readable, no ISO, damaged or cut off, or no Windows installation medium.
    """
    again = f"download it again: {known}" if known else None
    with Disc(path, "--iso", **({"again": again} if again else {})) as disc:
        file = _find_wim(disc)
        with disc.open(file) as stream:
            images = wim.describe(stream, file.size, f"{path}:{file.path}")
    return Media(path, disc.size, digest(path, progress), file.path, images)


def _find_wim(disc: Disc) -> DiscFile:
    for name in _WIM_NAMES:
        if (file := disc.find(_FOLDER, name)) is not None:
            return file
    if parts := {file.name for file in disc.files(_FOLDER) if _SPLIT.fullmatch(file.name)}:
        raise InputError(
            f"the image of this medium is split ({', '.join(sorted(parts))})",
            str(disc.path),
            "join the parts: wimlib-imagex join install.wim install*.swm; or take the medium as published",
        )
    raise InputError(
        f"no {_FOLDER}/{_WIM_NAMES[0]} in this ISO",
        str(disc.path),
        "give a Windows installation medium, not a language, driver or recovery disc",
    )


@dataclass(frozen=True)
class Wanted:
    """What a guest of the configuration needs of its medium; None means that anything will do.

    ``evaluation``: the guest counts on an evaluation period, so only an evaluation edition will do.
    ``licensed``: a product key is given, so an edition that asks for one will do.
    """

    name: str
    edition: str | None = None
    installation: str | None = None
    image_index: int | None = None
    image_name: str | None = None
    minimum_build: int = 0
    maximum_build: int | None = None
    language: str | None = None
    architecture: str = "amd64"
    evaluation: bool = False
    licensed: bool = False

    def __str__(self) -> str:
        """The image that is wanted, in words."""
        return ", ".join(self._words()) or "any image"

    def _words(self) -> Iterator[str]:
        if self.image_index is not None:
            yield f"image_index {self.image_index}"
        if self.image_name is not None:
            yield f"image_name {self.image_name!r}"
        if self.edition is not None:
            yield f"edition {self.edition}"
        if self.installation is not None:
            yield f"installation type {self.installation}"


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
        InputError: another medium than the one asked for, a retail medium, another edition, architecture,
            build or language, no such image, or more than one that would fit.
    """
    _check_identity(media, wanted, expected_sha256, known)
    offered = f"the medium offers: {'; '.join(map(str, media.images))}"
    candidates = [image for image in media.images if _fits(image, wanted)]
    if len(candidates) != 1:
        problem = "no image of the medium fits" if not candidates else f"{len(candidates)} images fit"
        raise InputError(
            f"{wanted.name} wants {wanted}; {problem}", str(media.path), f"{offered}; {_WAYS_TO_CHOOSE}"
        )
    (image,) = candidates
    for problem, hint in itertools.islice(_objections(image, wanted), 1):
        raise InputError(
            f"image {image} {problem}", str(media.path), f"{offered}; {hint}" if hint else offered
        )
    return image


_WAYS_TO_CHOOSE = "set edition, installation, image_index or image_name in kshs.toml"


def _check_identity(
    media: Media, wanted: Wanted, expected_sha256: str | None, known: KnownMedia | None
) -> None:
    where = str(media.path)
    if expected_sha256 is not None and expected_sha256.lower() != media.sha256:
        raise InputError(f"SHA-256 is {media.sha256}, not {expected_sha256.lower()} as --sha256 says", where)
    if expected_sha256 is None and (known is None or known.sha256 != media.sha256):
        title = f"the known medium of {wanted.name} ({known.title})" if known else "a known medium"
        raise InputError(
            f"this ISO is not {title}",
            where,
            f"if you trust it, say so by its hash: --sha256 {media.sha256}",
        )


def _fits(image: wim.WimImage, wanted: Wanted) -> bool:
    """By what chooses: index or name; else edition and type."""
    if wanted.image_index is not None:
        return image.index == wanted.image_index
    if wanted.image_name is not None:
        return wanted.image_name.casefold() in (image.name.casefold(), image.display_name.casefold())
    return _same(image.edition, wanted.edition) and _installed_as(image, wanted.installation)


def _installed_as(image: wim.WimImage, wanted: str | None) -> bool:
    if image.installation_type:
        return _same(image.installation_type, wanted)
    return wanted in (None, "Server" if image.server else "Client")


def _same(there: str, wanted: str | None) -> bool:
    return wanted is None or there.casefold() == wanted.casefold()


def _objections(image: wim.WimImage, wanted: Wanted) -> Iterator[tuple[str, str | None]]:
    """What speaks against the chosen image, the weightiest first, each with what to do about it."""
    if not _same(image.architecture, wanted.architecture):
        given = f"is for {image.architecture}" if image.architecture else "says no architecture"
        yield f"{given}, and the guest is {wanted.architecture}", None
    if not _same(image.edition, wanted.edition):
        yield (
            f"is not of the edition {wanted.edition} that {wanted.name} wants",
            f"set edition of [guests.{wanted.name}] in kshs.toml if this one is meant",
        )
    if not _installed_as(image, wanted.installation):
        yield (
            f"is not of the installation type {wanted.installation} that {wanted.name} wants",
            f"set installation of [guests.{wanted.name}] in kshs.toml if this one is meant",
        )
    if not image.edition.casefold().endswith("eval") and not wanted.licensed:
        yield from _not_an_evaluation(wanted)
    yield from _build_objections(image, wanted)
    spoken = image.languages or tuple(filter(None, [image.default_language]))
    if wanted.language and wanted.language.lower() not in {name.lower() for name in spoken}:
        yield (
            f"speaks {', '.join(spoken) or 'no language that it names'}, not {wanted.language}",
            "set locale to a language of the medium" if spoken else "take a medium that names it",
        )


def _not_an_evaluation(wanted: Wanted) -> Iterator[tuple[str, str | None]]:
    if wanted.evaluation:
        yield (
            f"is no evaluation, and {wanted.name} counts on one (evaluation_days)",
            "download the evaluation medium, or leave out evaluation_days and give product_key",
        )
    if wanted.image_index is None and wanted.image_name is None:
        yield (
            "is a retail or volume edition, which would ask for a key",
            "download the evaluation medium, or choose the image by image_index and accept its licence",
        )


def _build_objections(image: wim.WimImage, wanted: Wanted) -> Iterator[tuple[str, str | None]]:
    lowest, highest = wanted.minimum_build, wanted.maximum_build
    if image.build is None:
        if lowest or highest is not None:
            yield f"does not say its build; {wanted.name} wants {_builds(wanted)}", None
    elif image.build < lowest or (highest is not None and image.build > highest):
        yield f"is build {image.build}; {wanted.name} wants {_builds(wanted)}", None


def _builds(wanted: Wanted) -> str:
    if wanted.maximum_build == wanted.minimum_build:
        return f"build {wanted.minimum_build}"
    if wanted.maximum_build is None:
        return f"build {wanted.minimum_build} or later"
    return f"builds {wanted.minimum_build} to {wanted.maximum_build}"
