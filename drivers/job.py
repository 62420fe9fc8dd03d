# SPDX-License-Identifier: Apache-2.0
"""One build: everything compiled, linked, checked, signed and packaged in a working directory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from drivers.components import COMPONENTS, PACKAGE_NAME, REFKS, Component
from drivers.errors import BuildError
from drivers.objects import ObjectStore
from drivers.signing import Identity
from drivers.toolchain import Options, Toolchain
from drivers.version import stamp_inf, version_numbers, version_text


class Job:
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
        if component.definition:
            objects.append(f"drivers/{component.folder}/{component.definition}")
        if not component.kernel:
            self.tools.link_program(image, objects, component.libraries, work, windowed=component.windowed)
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
            imports.require(
                image, *wines, *(() if component.wine_only else families), importer=component.image
            )
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
