# SPDX-License-Identifier: Apache-2.0
"""Builds everything that runs inside the guest, as far as something changed.

A build is a function of the source tree, the tools, the signing identity and the name of the class driver;
their digest names the build.  Where a build of that digest stands complete, `build` only checks it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock

from drivers import toolchain
from drivers.errors import BuildError
from drivers.files import write_atomically
from drivers.objects import ObjectStore
from drivers.package import Package, digest_files
from drivers.signing import Identity, identity
from drivers.toolchain import Options, Toolchain

ROOT = Path(__file__).parent
PACKAGE_NAME = "avshs"
MANIFEST = "build.json"

# Part of DriverVer, which Windows ranks drivers by, and a constant so that a build does not depend on the
# day of building.  Raise it with the version.
DRIVER_DATE = "11/22/2026"

_TREE_SUFFIXES = (".c", ".S", ".h", ".def", ".inf", ".rc")
_UNUSED_DAYS = 14


@dataclass(frozen=True)
class Component:
    """One binary: every source in its folder, and what it is linked with."""

    folder: str
    image: str
    kernel: bool
    title: str
    also: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ("-lntoskrnl", "-lhal")
    needs_ks: bool = False


REFKS = Component("refks", "ks.sys", True, "kshs reference class driver")
COMPONENTS = (
    REFKS,
    Component("ksclient", "ksclient.sys", True, "kshs kernel-mode client", needs_ks=True),
    Component("avshs", "avshs.sys", True, "kshs sample target", needs_ks=True),
    Component(
        "kshsctl",
        "kshsctl.exe",
        False,
        "kshs agent and installer",
        also=("common/chkstk.S",),
        libraries=tuple(
            f"-l{name}"
            for name in ("setupapi", "newdev", "crypt32", "advapi32", "version", "ole32", "user32", "ntdll")
        ),
    ),
)


@dataclass(frozen=True)
class Build:
    """A complete build: agent, client, reference class driver, the sample target's package and PDBs.

    ``digest`` is that of all these files' contents: what a guest is given, not what it was made of.
    """

    directory: Path
    agent: Path
    client: Path
    refks: Path
    avshs: Package
    digest: str
    pdbs: list[Path]


def build(
    out: Path | None = None,
    *,
    source: Path | None = None,
    ks_module: str = "ks.sys",
    progress: Callable[[str], None] | None = None,
) -> Build:
    """Build what is not built yet, and answer where it is.

    ``out``: where to; by default the user's cache, under the digest of sources and tools.  ``source``:
    another tree with the folders of ``drivers/`` (a variant).  ``ks_module``: the file name that the
    reference class driver gets and by which the others import it, for guests whose own ks.sys must stay.

    Several processes may call this at once: one builds, the others wait for it.  Raises `BuildError` and its
    kinds; an earlier complete build in the same directory is then still there.
    """
    root = (source or ROOT).resolve()
    _check_module(ks_module)
    cache = platformdirs.user_cache_path("kshs") / "drivers"
    tools = toolchain.find(cache / "toolchain.json")
    signer = identity()
    tree = _read_tree(root)
    inputs = _digest_inputs(tree, tools, signer, ks_module)
    directory = out.absolute() if out else cache / "builds" / inputs[:20]
    directory.mkdir(parents=True, exist_ok=True)
    found = _complete(directory, inputs, ks_module)
    if found:
        return found
    with FileLock(str(directory) + ".lock" if out is None else str(directory / ".lock")):
        found = _complete(directory, inputs, ks_module)
        if found:
            return found
        job = _Job(root, tree, tools, signer, ks_module, cache / "objects", progress or (lambda text: None))
        for abandoned in directory.glob(".work-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".work-", dir=directory) as work:
            job.run(Path(work))
            _install(Path(work) / "result", directory, inputs)
    _forget_unused(cache)
    found = _complete(directory, inputs, ks_module)
    if found is None:
        raise BuildError("changed while it was being built", str(directory), "build again")
    return found


class _Job:
    """One build in a working directory in which the source tree is called ``drivers``."""

    def __init__(
        self,
        root: Path,
        tree: dict[str, str],
        tools: Toolchain,
        signer: Identity,
        ks_module: str,
        objects: Path,
        progress: Callable[[str], None],
    ) -> None:
        self.root = root
        self.tree = {f"drivers/{name}": digest for name, digest in tree.items()}
        self.tools = tools
        self.signer = signer
        self.ks_module = ks_module
        self.objects = objects
        self.progress = progress

    def run(self, work: Path) -> None:
        """Everything, into ``work/result``."""
        (work / "drivers").symlink_to(self.root, target_is_directory=True)
        result = work / "result"
        result.mkdir()
        self._compile(work)
        self._write_definition(work)
        for component in COMPONENTS:
            self._link(work, component)
        self._check_images(work)
        self._package(work, result)

    def _compile(self, work: Path) -> None:
        store = ObjectStore(self.objects, self.tree)
        jobs = [(component, source) for component in COMPONENTS for source in self._sources(component)]
        for component in COMPONENTS:
            (work / "obj" / component.folder).mkdir(parents=True)
        made = 0
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            pending = [pool.submit(self._compile_one, store, work, *job) for job in jobs]
            try:
                for number, (future, (_, source)) in enumerate(zip(pending, jobs, strict=True), 1):
                    if future.result():
                        made += 1
                        self.progress(f"compiled {number} of {len(jobs)}: {source}")
            except BuildError:
                pool.shutdown(cancel_futures=True)
                raise
        self.progress(f"{made} of {len(jobs)} objects compiled, the others were at hand")

    def _compile_one(self, store: ObjectStore, work: Path, component: Component, source: str) -> bool:
        out = self._object(component, source)
        options = self._options(component, source)
        settings = "\n".join([self.tools.identity, *self.tools.compile_flags(options)])
        action = self.tools.resource if source.endswith(".rc") else self.tools.compile
        return store.fetch(source, work / out, settings, lambda: action(work, source, out, options))

    def _sources(self, component: Component) -> list[str]:
        """Names in the tree of all that is compiled into a component, in a fixed order."""
        prefix = f"drivers/{component.folder}/"
        own = [name for name in self.tree if name.startswith(prefix) and name.endswith((".c", ".S", ".rc"))]
        if not own:
            raise BuildError("no C sources", str(self.root / component.folder))
        names = [*own, *(f"drivers/{name}" for name in component.also)]
        if not any(name.endswith(".rc") for name in names):
            names.append("drivers/common/version.rc")
        for name in names:
            if name not in self.tree:
                raise BuildError("source is missing", name)
        return sorted(names)

    def _object(self, component: Component, source: str) -> str:
        suffix = ".res" if source.endswith(".rc") else ".o"
        return f"obj/{component.folder}/{Path(source).stem}{suffix}"

    def _options(self, component: Component, source: str) -> Options:
        includes = (f"drivers/{component.folder}", "drivers/abi", "drivers/common")
        if not source.endswith(".rc"):
            return Options(component.kernel, includes)
        numbers = version_numbers()
        image = self._image(component)
        defines = (
            f"KSHS_VERSION_NUMBERS={','.join(map(str, numbers))}",
            f'KSHS_VERSION_TEXT="{version_text()}"',
            f'KSHS_FILE_NAME="{image}"',
            f'KSHS_FILE_TITLE="{component.title}"',
            f"KSHS_FILE_TYPE={3 if component.kernel else 1}",  # VFT_DRV, VFT_APP
        )
        return Options(component.kernel, includes, defines)

    def _image(self, component: Component) -> str:
        """The file name of a component in this build."""
        return self.ks_module if component is REFKS else component.image

    def _write_definition(self, work: Path) -> None:
        """ks.def under the module name that was asked for, and its import library."""
        original = self.root / "refks" / "ks.def"
        if not original.is_file():
            raise BuildError("is missing", str(original))
        lines = [
            line
            for line in original.read_text(encoding="utf-8").splitlines()
            if not line.upper().startswith("LIBRARY")
        ]
        definition = work / "ks.def"
        definition.write_text("\n".join([f'LIBRARY "{self.ks_module}"', *lines, ""]), encoding="utf-8")
        self.tools.import_library(definition, work / "libks.a", self.ks_module)

    def _link(self, work: Path, component: Component) -> None:
        image = self._image(component)
        objects = [self._object(component, source) for source in self._sources(component)]
        if component is REFKS:
            objects.append("ks.def")
        if not component.kernel:
            self.tools.link_program(image, objects, component.libraries, work)
            return
        libraries = (["libks.a"] if component.needs_ks else []) + list(component.libraries)
        self.tools.link_driver(image, objects, libraries, work)

    def _check_images(self, work: Path) -> None:
        """Refuse what some guest would not load, and fault handlers that the compiler dropped."""
        from drivers import imports, seh

        ours = imports.exports_of(work / self.ks_module)
        wines = [offered.with_module(self.ks_module, ours) for offered in imports.every_wine()]
        windows, oldest = imports.windows(self.tools.libraries), imports.kernel()
        if self.ks_module != REFKS.image:
            windows, oldest = (family.with_module(self.ks_module, ours) for family in (windows, oldest))
        for component in COMPONENTS:
            image = work / self._image(component)
            families = (windows, oldest) if component.kernel else (imports.agent(),)
            imports.require(image, *wines, *families, importer=component.image)
            seh.require(image, [work / name for name in self._sources(component) if name.endswith(".c")])

    def _package(self, work: Path, result: Path) -> None:
        """Sign the drivers and put everything in its place below ``result``."""
        from drivers import catalogue, signing

        package = result / PACKAGE_NAME
        symbols = result / "symbols"
        package.mkdir()
        symbols.mkdir()
        for component in COMPONENTS:
            image = self._image(component)
            place = package if component.folder == PACKAGE_NAME else result
            if component.kernel:
                signing.sign(work / image, place / image, self.signer, f"kshs {component.folder}")
            else:
                shutil.copyfile(work / image, place / image)
            pdb = f"{Path(image).stem}.pdb"
            shutil.copyfile(work / pdb, symbols / pdb)
        inf = self.root / "avshs" / "avshs.inf"
        if not inf.is_file():
            raise BuildError("is missing", str(inf))
        (package / "avshs.inf").write_bytes(stamp_inf(inf.read_bytes()))
        catalogue.make(package, self.signer)
        for name, certificate in (
            ("kshs-root.cer", self.signer.root),
            ("kshs-signing.cer", self.signer.leaf),
        ):
            (package / name).write_bytes(signing.der(certificate))
        self.progress("signed and packaged")


def _check_module(name: str) -> None:
    stem, dot, suffix = name.partition(".")
    if not (stem.isascii() and stem.isalnum() and len(stem) <= 32 and dot and suffix == "sys"):
        raise BuildError(f"{name!r} is no module name", hint="use letters and digits and the ending .sys")
    if name != "ks.sys" and name in {component.image for component in COMPONENTS}:
        raise BuildError(f"{name} is the name of another component")


def _read_tree(root: Path) -> dict[str, str]:
    """Digest of every file of the tree that a build can depend on, by its name relative to the tree."""
    tree = {}
    for folder in ("abi", "common", *(component.folder for component in COMPONENTS)):
        if not (root / folder).is_dir():
            raise BuildError(
                "folder is missing", str(root / folder), "give a tree with the folders of drivers/"
            )
        for path in sorted((root / folder).iterdir()):
            if path.suffix in _TREE_SUFFIXES and path.is_file():
                tree[f"{folder}/{path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return tree


def _digest_inputs(tree: dict[str, str], tools: Toolchain, signer: Identity, ks_module: str) -> str:
    recipe = {
        path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted([*ROOT.glob("*.py"), *(ROOT / "inf").glob("*.py"), *(ROOT / "data").iterdir()])
    }
    parts = [tree, recipe, tools.identity, signer.fingerprint, ks_module, version_text(), DRIVER_DATE]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _install(result: Path, directory: Path, inputs: str) -> None:
    """Move the result into place; the manifest goes first and comes last: it vouches for all others."""
    manifest = directory / MANIFEST
    manifest.unlink(missing_ok=True)
    files = {}
    for path in sorted(result.rglob("*")):
        if path.is_file():
            name = path.relative_to(result).as_posix()
            files[name] = hashlib.sha256(path.read_bytes()).hexdigest()
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            path.replace(directory / name)
    package = directory / PACKAGE_NAME
    for stale in package.iterdir():
        if f"{PACKAGE_NAME}/{stale.name}" not in files and stale.is_file():
            stale.unlink()
    content = json.dumps({"inputs": inputs, "files": files}, indent=1, sort_keys=True)
    write_atomically(manifest, content.encode())


def _complete(directory: Path, inputs: str, ks_module: str) -> Build | None:
    """The build in a directory if it is of these inputs and every byte of it is there."""
    manifest = directory / MANIFEST
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        if content["inputs"] != inputs:
            return None
        files: dict[str, str] = content["files"]
        for name, digest in files.items():
            if hashlib.sha256((directory / name).read_bytes()).hexdigest() != digest:
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    with contextlib.suppress(OSError):
        os.utime(manifest)  # it is in use: see _forget_unused
    package = directory / PACKAGE_NAME
    prefix = f"{PACKAGE_NAME}/"
    inside = {name.removeprefix(prefix): digest for name, digest in files.items() if name.startswith(prefix)}
    return Build(
        directory=directory,
        agent=directory / "kshsctl.exe",
        client=directory / "ksclient.sys",
        refks=directory / ks_module,
        avshs=Package(
            name=PACKAGE_NAME,
            directory=package,
            inf=package / "avshs.inf",
            sys=[package / "avshs.sys"],
            cat=package / "avshs.cat",
            certificates=[package / "kshs-root.cer", package / "kshs-signing.cer"],
            digest=digest_files(inside),
            files={
                name: package / name
                for name in ("avshs.cat", "avshs.inf", "avshs.sys", "kshs-root.cer", "kshs-signing.cer")
            },
        ),
        digest=digest_files(
            {name: digest for name, digest in files.items() if not name.startswith("symbols/")}
        ),
        pdbs=sorted(directory / name for name in files if name.startswith("symbols/")),
    )


def _forget_unused(cache: Path) -> None:
    """Remove builds and objects in the user's cache that nobody asked for in two weeks."""
    limit = time.time() - _UNUSED_DAYS * 86400
    for manifest in (cache / "builds").glob(f"*/{MANIFEST}"):
        if _older(manifest, limit):
            shutil.rmtree(manifest.parent, ignore_errors=True)
            Path(f"{manifest.parent}.lock").unlink(missing_ok=True)
    for path in (cache / "objects").glob("*"):
        if _older(path, limit):
            path.unlink(missing_ok=True)


def _older(path: Path, limit: float) -> bool:
    try:
        return path.stat().st_mtime < limit
    except OSError:
        return False


def version_numbers() -> tuple[int, int, int, int]:
    """The project's version as the four numbers of Windows."""
    pyproject = ROOT.parent / "pyproject.toml"
    if pyproject.is_file():
        text = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["version"]
    else:
        text = importlib.metadata.version("kshs")
    numbers = [int(part) for part in text.split(".")[:3] if part.isdigit()]
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major, minor, patch, 0


def version_text() -> str:
    """The version as in DriverVer and version resources, ``0.1.0.0``."""
    return ".".join(map(str, version_numbers()))


def stamp_inf(inf: bytes) -> bytes:
    """The INF with DriverVer set to `DRIVER_DATE` and the project's version, all else unchanged."""
    lines = inf.decode("utf-8").splitlines()
    stamped = 0
    for index, line in enumerate(lines):
        key, equals, _ = line.partition("=")
        if equals and key.strip().lower() == "driverver":
            lines[index] = f"{key}= {DRIVER_DATE},{version_text()}"
            stamped += 1
    if stamped != 1:
        raise BuildError(f"{stamped} lines with DriverVer, one expected", "avshs.inf")
    return ("\r\n".join(lines) + "\r\n").encode("utf-8")


def paths(made: Build) -> Iterator[tuple[str, Path]]:
    """What was built, for people: pairs of what and where."""
    yield "agent", made.agent
    yield "client", made.client
    yield "reference class driver", made.refks
    yield "sample target", made.avshs.directory
    for pdb in made.pdbs:
        yield "symbols", pdb
