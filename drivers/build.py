# SPDX-License-Identifier: Apache-2.0
"""Builds everything that runs inside the guest, as far as something changed.

A build is a function of the source tree, the tools, the signing identity and the name of the class driver;
their digest names the build.  Where a build of that digest stands complete, `build` only checks it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock

from drivers import toolchain
from drivers.components import COMPONENTS, PACKAGE_NAME, ROOT, WDMSUP, read_tree
from drivers.errors import BuildError, CompileError, ImportRefused
from drivers.files import write_atomically
from drivers.job import Job
from drivers.package import Package, digest_files
from drivers.signing import Identity, identity
from drivers.toolchain import Toolchain
from drivers.version import DRIVER_DATE, version_text

MANIFEST = "build.json"

_UNUSED_DAYS = 14

_refused: dict[str, BuildError] = {}
"""What the tools refused in this process, by the digest of the inputs: they would refuse it again."""


@dataclass(frozen=True)
class Build:
    """A complete build: agent, drivers, the sample target's package and PDBs.

    ``digest`` is that of all these files' contents: what a guest is given, not what it was made of.
    """

    directory: Path
    agent: Path
    recorder: Path
    client: Path
    refks: Path
    wdmsup: Path
    tracer: Path
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
    kinds; an earlier complete build in the same directory is then still there.  Sources that the tools have
    refused are not compiled again in this process: the same error comes at once.
    """
    root = (source or ROOT).resolve()
    _check_module(ks_module)
    cache = platformdirs.user_cache_path("kshs") / "drivers"
    tools = toolchain.find(cache / "toolchain.json")
    signer = identity()
    tree = read_tree(root)
    inputs = _digest_inputs(tree, tools, signer, ks_module)
    directory = out.absolute() if out else cache / "builds" / inputs[:20]
    directory.mkdir(parents=True, exist_ok=True)
    found = _complete(directory, inputs, ks_module)
    if found:
        return found
    refused = _refused.get(inputs)
    if refused is not None:
        raise refused.with_traceback(None)
    with FileLock(str(directory) + ".lock" if out is None else str(directory / ".lock")):
        found = _complete(directory, inputs, ks_module)
        if found:
            return found
        job = Job(root, tree, tools, signer, ks_module, cache / "objects", progress or (lambda text: None))
        for abandoned in directory.glob(".work-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".work-", dir=directory) as work:
            try:
                job.run(Path(work))
            except (CompileError, ImportRefused) as error:
                _refused[inputs] = error
                raise
            _install(Path(work) / "result", directory, inputs)
    _forget_unused(cache)
    found = _complete(directory, inputs, ks_module)
    if found is None:
        raise BuildError("changed while it was being built", str(directory), "build again")
    return found


def opened(directory: Path, ks_module: str = "ks.sys") -> Build:
    """A complete build that stands in a directory, wherever it was made; every byte of it is checked.

    Raises:
        BuildError: there is none, or it is not what its manifest says.
    """
    found = _complete(directory.absolute(), None, ks_module)
    if found is None:
        raise BuildError("holds no complete build", str(directory), "run: kshs build --out DIR")
    return found


def _check_module(name: str) -> None:
    stem, dot, suffix = name.partition(".")
    if not (stem.isascii() and stem.isalnum() and len(stem) <= 32 and dot and suffix == "sys"):
        raise BuildError(f"{name!r} is no module name", hint="use letters and digits and the ending .sys")
    if name != "ks.sys" and name in {component.image for component in COMPONENTS}:
        raise BuildError(f"{name} is the name of another component")


def _digest_inputs(tree: dict[str, str], tools: Toolchain, signer: Identity, ks_module: str) -> str:
    recipe = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted([*ROOT.glob("*.py"), *(ROOT / "data").iterdir()])
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


def _complete(directory: Path, inputs: str | None, ks_module: str) -> Build | None:
    """The build in a directory if it is of these inputs, or of any, and every byte of it is there."""
    manifest = directory / MANIFEST
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        if inputs is not None and content["inputs"] != inputs:
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
        recorder=directory / "kshsrec.exe",
        client=directory / "ksclient.sys",
        refks=directory / ks_module,
        wdmsup=directory / WDMSUP.image,
        tracer=directory / "kstrace.sys",
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
            digests=inside,
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


def paths(made: Build) -> Iterator[tuple[str, Path]]:
    """What was built, for people: pairs of what and where."""
    yield "agent", made.agent
    yield "crash recorder for Wine", made.recorder
    yield "client", made.client
    yield "reference class driver", made.refks
    yield "support library for Wine", made.wdmsup
    yield "tracer", made.tracer
    yield "sample target", made.avshs.directory
    for pdb in made.pdbs:
        yield "symbols", pdb
