# SPDX-License-Identifier: Apache-2.0
"""A driver package from a folder with C or C++ sources and an INF: what a team without a WDK at hand needs.

The toolchain, the signing identity and the catalogue are those of the project's own drivers, and
docs/your-driver.md walks through it.  A package that was built elsewhere needs none of this:
`drivers.package.load` takes it as it is.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import platformdirs

from drivers import catalogue, foreign_kinds, foreign_sources, imports, inf, seh, signing, toolchain, wpp
from drivers.components import ROOT
from drivers.errors import BuildError, PackageError
from drivers.files import find, write_atomically
from drivers.package import Package, load
from drivers.toolchain import Options, Toolchain
from drivers.wdmsup_exports import supplied

_CPLUSPLUS = (".cpp", ".cc", ".cxx")
#: By their endings, in whatever case: what compiler, resource compiler and linker make one driver of.
_SOURCES = (".c", ".s", *_CPLUSPLUS)
_HEADERS = (".h", ".hpp", ".hxx", ".inl")
#: What a folder may hold beside sources and what the INF copies, without a word about it.
_QUIET = (*_HEADERS, ".inf", ".inx", ".md", ".txt", ".rc")
#: What another tool than a compiler would have made of a file, and what is without it.
_OTHER_TOOLS = {
    ".vcxproj": "is for MSBuild: its folders of headers and its macros are --include and --define here",
    ".mof": "is for mofcomp: the driver has no WMI schema in its resources",
    ".mc": "is for the message compiler (mc): no header and no resource is made of it",
    ".man": "is an event manifest, for the message compiler (mc): no header and no resource is made of it",
    ".asm": "is for MASM, whose language clang does not read",
}
#: Headers of mingw-w64 that declare GUIDs of which its library does not have all.
_GUIDS = ("ks.h", "ksmedia.h", "bdamedia.h")
#: The certificates beside a package of ours, by which an earlier one is known.
_CERTIFICATES = ("kshs-root.cer", "kshs-signing.cer")


def package(
    folder: Path,
    out: Path,
    *,
    includes: Sequence[Path] = (),
    defines: Sequence[str] = (),
    stand_ins: Sequence[str] = (),
    progress: Callable[[str], None] | None = None,
) -> Package:
    """Compile, link, sign and package the driver of a folder; answers the checked package.

    The folder holds the driver's C and C++ sources (and ``.S``, ``.rc``), all of which go into the one
    ``.sys`` file that its INF copies, and whatever other files its INFs copy, in their folders; what else
    lies there is named and ignored.  Sources find the headers of the WDK as mingw-w64 has them (``ntddk.h``,
    ``ks.h``) with what compat/ adds, and those of the folder; the driver is linked with ks.sys,
    ntoskrnl.exe, hal.dll, the GUIDs of ks.h, and usbd.sys, cng.sys, bdasup.sys, stream.sys or portcls.sys
    where it calls them.  C++ goes without exceptions and
    type information.  Warnings are said and stop nothing.
    ``includes`` are further folders with headers, ``defines`` what is defined as if by ``#define``.  An INX
    is stamped for x64 where there is no INF of its name.  ``stand_ins`` are files that the INFs copy and that
    another project makes: files of these names, which hold nothing that works, are packaged instead.
    ``out`` gets the package and the PDB, and is made where it does not exist.

    Raises `BuildError` and its kinds; an earlier package in ``out`` is then still there.
    """
    say = progress or (lambda text: None)
    folder = folder.absolute()
    out = out.absolute()
    with tempfile.TemporaryDirectory(prefix="kshs-package-") as scratch:
        work = Path(scratch)
        infs, image, others = _parts(folder, work / "stamped", stand_ins)
        _check_out(out)
        tools = toolchain.find(platformdirs.user_cache_path("kshs") / "drivers" / "toolchain.json")
        result = work / "result"
        result.mkdir()
        _say_ignored(folder, image, others, say)
        headers = _header_folders(tools, work, folder, includes, say)
        adapted = foreign_sources.adapt(work, [name for name in headers if name != foreign_sources.SPELLED])
        for line in adapted.said:
            say(line)
        options = Options(True, headers, tuple(defines), foreign=True, adapted=adapted)
        built = Path(image).name
        _link(work, built, _compile(tools, work, folder, options, say), tools)
        seh.require(
            work / built, [path for path in _sources(folder) if path.suffix.lower() in (".c", *_CPLUSPLUS)]
        )
        signer = signing.identity()
        (result / image).parent.mkdir(parents=True, exist_ok=True)
        signing.sign(work / built, result / image, signer, infs[0].stem)
        for path in infs:
            shutil.copyfile(path, result / path.name)
        for name in others:
            (result / name).parent.mkdir(parents=True, exist_ok=True)
            there = find(folder, name)
            if there is not None:
                shutil.copyfile(there, result / name)
                continue
            (result / name).write_text(f"Stands for {name}, which another project makes.\n", "utf-8")
            say(f"{name} is a stand-in: nothing works that needs it")
        catalogue.make(result, signer)
        for name, certificate in zip(_CERTIFICATES, (signer.root, signer.leaf), strict=True):
            (result / name).write_bytes(signing.der(certificate))
        load(result)
        shutil.copyfile(work / f"{Path(image).stem}.pdb", result / f"{Path(image).stem}.pdb")
        _install(result, out)
    say(f"signed and packaged {image}")
    return load(out)


def _parts(folder: Path, stamped: Path, stand_ins: Sequence[str]) -> tuple[list[Path], str, list[str]]:
    """The INFs, the name of the image to be built, and the other files that the INFs copy."""
    if not folder.is_dir():
        raise BuildError("is no directory", str(folder), "give the folder with the C sources and the INF")
    foreign_kinds.require_minidriver(_sources(folder, (*_SOURCES, *_HEADERS)))
    found = foreign_sources.stamped(folder, stamped)
    if not found:
        raise PackageError("holds no INF file", str(folder), "its INF says which .sys file is built")
    everything = [one for path in found for one in inf.copied_files(inf.load(path))]
    copied = list(dict.fromkeys(one.path for one in everything if not one.systems))
    images = _drivers(copied, folder)
    if not images:
        # By the INF's LayoutFile it may be the system's own, which nobody builds.
        images = _drivers(list(dict.fromkeys(one.path for one in everything if one.systems)), folder)
    where = str(_as_given(folder, found[0]) if len(found) == 1 else folder)
    if len(images) != 1:
        there = (
            f"{len(images)} .sys files ({', '.join(images)}) that lie" if images else "no .sys file that lies"
        )
        raise PackageError(
            f"copies {there} elsewhere than in the folder, and exactly one is built",
            where,
            "the .sys file that the sources make must be copied and not lie there; any other must",
        )
    others = [name for name in copied if name != images[0]]
    missing = {name.lower(): name for name in others if find(folder, name) is None}
    for name in stand_ins:
        if missing.pop(name.lower(), None) is None:
            why = "is there" if find(folder, name) else "is not copied by the INF"
            raise PackageError(f"--stand-in: {name!r} {why}", where)
    for name in missing.values():
        raise PackageError(
            f"copies {name!r}, which is not there",
            where,
            "put it into the folder: what another project builds is not built here; or, if the driver itself"
            f" does not read it, --stand-in {name}",
        )
    return found, images[0], others


def _as_given(folder: Path, inf_file: Path) -> Path:
    """The file of the folder that an INF is, or was stamped from."""
    own = folder / inf_file.name
    return own if own.is_file() else own.with_suffix(".inx")


def _drivers(copied: Sequence[str], folder: Path) -> list[str]:
    """The drivers among files that are copied that are not there."""
    return [name for name in copied if name.lower().endswith(".sys") and find(folder, name) is None]


def _say_ignored(folder: Path, image: str, others: list[str], say: Callable[[str], None]) -> None:
    """Names what lies in the folder and goes nowhere: a source of an unusual ending, or a folder."""
    used = {name.split("/")[0].lower() for name in (*others, image)}
    for path in sorted(folder.iterdir()):
        known = path.is_file() and path.suffix.lower() in (*_SOURCES, *_QUIET)
        if known or path.name.lower() in used or path.name.startswith("."):
            continue
        if path.is_dir():
            if _has_headers_alone(path):
                continue
            say(f"ignored: folder {path.name}: no source in it is compiled, and no INF copies it")
            continue
        why = _OTHER_TOOLS.get(
            path.suffix.lower(), "is no source of a kind that is built, and no INF copies it"
        )
        say(f"ignored: file {path.name} {why}")


def _has_headers_alone(directory: Path) -> bool:
    """Whether a folder is there to be included from, which is no way to be ignored."""
    endings = {path.suffix.lower() for path in directory.rglob("*") if path.is_file()}
    return bool(endings & set(_HEADERS)) and not endings & set(_SOURCES)


def _header_folders(
    tools: Toolchain, work: Path, folder: Path, includes: Sequence[Path], say: Callable[[str], None]
) -> tuple[str, ...]:
    """The driver's folders below the working directory, the one for other spellings last."""
    (work / "driver").symlink_to(folder, target_is_directory=True)
    names = ["driver"]
    for number, directory in enumerate(includes, 1):
        if not directory.is_dir():
            raise BuildError("there is no such directory", str(directory), "see --include")
        (work / f"include{number}").symlink_to(directory.absolute(), target_is_directory=True)
        names.append(f"include{number}")
    systems = (toolchain.COMPAT, tools.includes / "ddk", tools.includes)
    spelled = foreign_sources.spell(work, names, systems)
    if spelled:
        names.append(foreign_sources.SPELLED)
    if traced := [name for name in spelled if name.lower().endswith(wpp.ENDING)]:
        say(f"{', '.join(traced)}: no tracing preprocessor (WPP) made this, and nothing is traced")
    return tuple(names)


def _sources(folder: Path, kinds: Sequence[str] = (*_SOURCES, ".rc")) -> list[Path]:
    """What is compiled of a folder, or its files of other endings."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in kinds and path.is_file())


def _compile(
    tools: Toolchain, work: Path, folder: Path, options: Options, say: Callable[[str], None]
) -> list[str]:
    """Objects and resources of every source, by their names in the working directory."""
    sources = _sources(folder)
    if not any(path.suffix.lower() in _SOURCES for path in sources):
        raise BuildError("holds no C or C++ sources", str(folder))
    objects = []
    for name, kind in ((path.name, path.suffix.lower()) for path in sources):
        options = replace(options, cplusplus=kind in _CPLUSPLUS)
        made = f"{name}.res" if kind == ".rc" else f"{name}.o"
        if kind == ".rc":
            tools.resource(work, f"driver/{name}", made, options)
        else:
            tools.compile(work, f"driver/{name}", made, options, warn=say)
        say(f"compiled {name}")
        objects.append(made)
    (work / "compat").symlink_to(toolchain.COMPAT, target_is_directory=True)
    tools.compile(
        work, "compat/runtime.cpp", "runtime.o", Options(True, foreign=True, cplusplus=True), warn=say
    )
    text = foreign_sources.guids(
        work,
        [name for name in options.includes if name != foreign_sources.SPELLED],
        [tools.includes / name for name in _GUIDS],
    )
    if text:
        (work / "guids.c").write_text(text, encoding="utf-8")
        tools.compile(work, "guids.c", "guids.o", Options(True))
    return [*objects, "runtime.o", *(["guids.o"] if text else [])]


def _link(work: Path, image: str, objects: list[str], tools: Toolchain) -> None:
    """Import libraries of ours come first: mingw-w64's lack functions that are documented, or the module."""
    lines = (ROOT / "refks" / "ks.def").read_text(encoding="utf-8").splitlines()
    public = [
        line.strip() for line in lines if line.startswith(" ") and not line.endswith((" DATA", " PRIVATE"))
    ]
    known = imports.import_library_names(tools.libraries / "libntoskrnl.a")
    known |= imports.import_library_names(tools.libraries / "libhal.a")
    offered = supplied()
    modules = {"ks.sys": public, "ntoskrnl.exe": sorted(offered.kernel - known)}
    modules |= {module: sorted(names) for module, names in offered.stubs.items()}
    libraries = []
    for module, names in modules.items():
        stem = module.partition(".")[0]
        text = "\n".join([f'LIBRARY "{module}"', "EXPORTS", *(f"    {name}" for name in names), ""])
        (work / f"{stem}.def").write_text(text, encoding="utf-8")
        tools.import_library(work / f"{stem}.def", work / f"lib{stem}.a", module)
        libraries.append(f"lib{stem}.a")
    tools.link_driver(image, objects, [*libraries, "-lntoskrnl", "-lhal", "-lksguid", "-luuid"], work)


def _check_out(out: Path) -> None:
    """Nothing is mixed with files that are not ours to replace."""
    if out.is_dir() and any(out.iterdir()) and not (out / _CERTIFICATES[0]).is_file():
        raise BuildError("is not empty and no earlier package", str(out), "give another directory")


def _install(result: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for stale in out.glob("*.inf"):
        if not (result / stale.name).exists():
            stale.unlink()  # the INF was renamed
    for path in sorted(result.rglob("*")):
        if path.is_file():
            write_atomically(out / path.relative_to(result), path.read_bytes())
