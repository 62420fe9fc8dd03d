# SPDX-License-Identifier: Apache-2.0
"""A driver package from a folder with C sources and an INF: what a team without a WDK at hand needs.

The toolchain, the signing identity and the catalogue are those of the project's own drivers, and
docs/your-driver.md walks through it.  A package that was built elsewhere needs none of this:
`drivers.package.load` takes it as it is.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from drivers import catalogue, inf, seh, signing, toolchain
from drivers.components import ROOT
from drivers.errors import BuildError, PackageError
from drivers.package import Package, load
from drivers.toolchain import Options, Toolchain

_SOURCES = (".c", ".S")
#: The certificates beside a package of ours, by which an earlier one is known.
_CERTIFICATES = ("kshs-root.cer", "kshs-signing.cer")


def package(folder: Path, out: Path, *, progress: Callable[[str], None] | None = None) -> Package:
    """Compile, link, sign and package the driver of a folder; answers the checked package.

    The folder holds the driver's C sources (and ``.S``, ``.rc``), all of which go into the one ``.sys`` file
    that its INF copies, and whatever other files the INF copies.  Sources find the headers of the WDK as
    mingw-w64 has them (``ntddk.h``, ``ks.h``) and those of the folder; the driver is linked with ks.sys,
    ntoskrnl.exe and hal.dll.  ``out`` gets the package and the PDB, and is made where it does not exist.

    Raises `BuildError` and its kinds; an earlier package in ``out`` is then still there.
    """
    say = progress or (lambda text: None)
    folder = folder.absolute()
    information, image, others = _parts(folder)
    out = out.absolute()
    _check_out(out)
    tools = toolchain.find(platformdirs.user_cache_path("kshs") / "drivers" / "toolchain.json")
    with tempfile.TemporaryDirectory(prefix="kshs-package-") as scratch:
        work = Path(scratch)
        (work / "driver").symlink_to(folder, target_is_directory=True)
        result = work / "result"
        result.mkdir()
        _link(work, image, _compile(tools, work, folder, say), tools)
        seh.require(work / image, folder.glob("*.c"))
        signer = signing.identity()
        signing.sign(work / image, result / image, signer, information.stem)
        for path in (information, *others):
            shutil.copyfile(path, result / path.name)
        catalogue.make(result, signer)
        for name, certificate in zip(_CERTIFICATES, (signer.root, signer.leaf), strict=True):
            (result / name).write_bytes(signing.der(certificate))
        load(result)
        shutil.copyfile(work / f"{Path(image).stem}.pdb", result / f"{Path(image).stem}.pdb")
        _install(result, out)
    say(f"signed and packaged {image}")
    return load(out)


def _parts(folder: Path) -> tuple[Path, str, list[Path]]:
    """The INF, the name of the image to be built, and the other files that the INF copies."""
    if not folder.is_dir():
        raise BuildError("is no directory", str(folder), "give the folder with the C sources and the INF")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".inf")
    if len(found) != 1:
        raise PackageError(f"holds {len(found)} INF files, exactly one is needed", str(folder))
    copied = inf.load(found[0]).files()
    images = [name for name in copied if name.lower().endswith(".sys") and not (folder / name).is_file()]
    if len(images) != 1 or "/" in images[0]:
        raise PackageError(
            f"copies {len(images)} .sys files that are not there yet, exactly one is built", str(found[0])
        )
    others = [folder / name for name in copied if name != images[0]]
    for path in others:
        if not path.is_file() or path.parent != folder:
            raise PackageError(f"copies {path.name!r}, which is not beside it", str(found[0]))
    return found[0], images[0], others


def _compile(tools: Toolchain, work: Path, folder: Path, say: Callable[[str], None]) -> list[str]:
    """Objects and resources of every source, by their names in the working directory."""
    options = Options(kernel=True, includes=("driver",))
    sources = sorted(path.name for path in folder.iterdir() if path.suffix in (*_SOURCES, ".rc"))
    if not any(name.endswith(_SOURCES) for name in sources):
        raise BuildError("holds no C sources", str(folder))
    objects = []
    for name in sources:
        resource = name.endswith(".rc")
        made = f"{name}.res" if resource else f"{name}.o"
        (tools.resource if resource else tools.compile)(work, f"driver/{name}", made, options)
        say(f"compiled {name}")
        objects.append(made)
    return objects


def _link(work: Path, image: str, objects: list[str], tools: Toolchain) -> None:
    """The import library of ks.sys is made of what ks.h declares: mingw-w64's lacks some functions."""
    lines = (ROOT / "refks" / "ks.def").read_text(encoding="utf-8").splitlines()
    public = [line for line in lines if not line.endswith((" DATA", " PRIVATE"))]
    (work / "ks.def").write_text("\n".join([*public, ""]), encoding="utf-8")
    tools.import_library(work / "ks.def", work / "libks.a", "ks.sys")
    tools.link_driver(image, objects, ["libks.a", "-lntoskrnl", "-lhal"], work)


def _check_out(out: Path) -> None:
    """Nothing is mixed with files that are not ours to replace."""
    if out.is_dir() and any(out.iterdir()) and not (out / _CERTIFICATES[0]).is_file():
        raise BuildError("is not empty and no earlier package", str(out), "give another directory")


def _install(result: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for stale in out.glob("*.inf"):
        if not (result / stale.name).exists():
            stale.unlink()  # a package has one; the INF was renamed
    for path in sorted(result.iterdir()):
        fresh = out / f".{path.name}.new"
        shutil.copyfile(path, fresh)
        fresh.replace(out / path.name)
