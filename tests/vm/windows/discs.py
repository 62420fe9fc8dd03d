# SPDX-License-Identifier: Apache-2.0
"""Discs and WIMs for tests: small, but made by the tools that make large ones."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pycdlib


@dataclass(frozen=True)
class Image:
    """What a WIM says of one of its images; a property that is None is left out."""

    name: str
    edition: str | None = "ServerStandardEval"
    kind: str | None = "Server"
    arch: str | None = "9"
    build: str | None = "26100"
    language: str | None = "en-US"
    more: Mapping[str, str] = field(default_factory=dict)

    def options(self) -> list[str]:
        properties = {
            "WINDOWS/ARCH": self.arch,
            "WINDOWS/EDITIONID": self.edition,
            "WINDOWS/INSTALLATIONTYPE": self.kind,
            "WINDOWS/LANGUAGES/LANGUAGE": self.language,
            "WINDOWS/LANGUAGES/DEFAULT": self.language,
            "WINDOWS/VERSION/MAJOR": "10" if self.build else None,
            "WINDOWS/VERSION/MINOR": "0" if self.build else None,
            "WINDOWS/VERSION/BUILD": self.build,
            "WINDOWS/VERSION/SPBUILD": "1742" if self.build else None,
            **self.more,
        }
        return [f"--image-property={key}={value}" for key, value in properties.items() if value is not None]


SERVER = (
    Image("Windows Server 2025 Standard Evaluation", kind="Server Core"),
    Image("Windows Server 2025 Standard Evaluation (Desktop Experience)"),
    Image("Windows Server 2025 Datacenter Evaluation", "ServerDatacenterEval", "Server Core"),
    Image("Windows Server 2025 Datacenter Evaluation (Desktop Experience)", "ServerDatacenterEval"),
)


def make_wim(folder: Path, images: Sequence[Image], *options: str, name: str = "install.wim") -> Path:
    """A true WIM, captured by wimlib; `options` are of wimlib-imagex capture."""
    content = folder / "content"
    content.mkdir(exist_ok=True)
    (content / "file.txt").write_text("x" * 5000)
    target = folder / name
    target.unlink(missing_ok=True)
    for number, image in enumerate(images):
        verb, given = (
            ("append", [o for o in options if "compress" not in o]) if number else ("capture", options)
        )
        wimlib(verb, str(content), str(target), image.name, *given, *image.options())
    return target


def wimlib(*arguments: str) -> None:
    subprocess.run(["wimlib-imagex", *arguments], check=True, capture_output=True)


def with_xml(wim: bytes, old: str, new: str) -> bytes:
    """The WIM with other words in its XML data, of the same length."""
    assert len(old) == len(new)
    before, after = old.encode("utf-16-le"), new.encode("utf-16-le")
    assert before in wim, old
    return wim.replace(before, after)


def make_disc(target: Path, files: Mapping[str, bytes | Path], kind: str = "udf") -> Path:
    """An image of a disc in which one tree of names alone shows `files`.

    `kind`: udf, joliet, rock ridge, iso 9660 (whose names become upper case), or udf+iso 9660, as old media.
    """
    iso = pycdlib.PyCdlib()
    iso.new(
        interchange_level=3,
        udf="2.60" if "udf" in kind else None,
        joliet=3 if kind == "joliet" else None,
        rock_ridge="1.12" if kind == "rock ridge" else None,
    )
    plain = "iso 9660" in kind
    made: dict[str, str] = {"": ""}
    for number, (path, source) in enumerate(files.items()):
        folder, iso_folder = "", ""
        for part in path.split("/")[:-1]:
            folder = f"{folder}/{part}"
            if folder not in made:
                made[folder] = f"{iso_folder}/{part.upper() if plain else f'D{len(made)}'}"
                iso.add_directory(made[folder], **_names(kind, folder))
            iso_folder = made[folder]
        data = source if isinstance(source, bytes) else source.read_bytes()
        name = path.rpartition("/")[2]
        iso_name = f"{name.upper()};1" if plain else f"F{number}.;1"
        iso.add_fp(io.BytesIO(data), len(data), f"{iso_folder}/{iso_name}", **_names(kind, f"/{path}"))
    iso.write(str(target))
    iso.close()
    return target


def _names(kind: str, path: str) -> dict[str, str]:
    names = {"joliet": {"joliet_path": path}, "rock ridge": {"rr_name": path.rpartition("/")[2]}}
    return {"udf_path": path} if "udf" in kind else names.get(kind, {})
