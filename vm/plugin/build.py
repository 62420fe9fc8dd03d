# SPDX-License-Identifier: Apache-2.0
"""The plugin for the QEMU of this host: compiled, and tried with a trial guest, once for each QEMU.

QEMU takes a plugin only if the version of the interface that it claims lies between QEMU's minimum and
QEMU's own (7.2: 0 to 1; 10.0: 2 to 4), and the one call that is needed and that has changed did so with
version 3.  Which version this QEMU takes is found by loading it.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vm import accel
from vm.commands import run
from vm.config import VmConfig
from vm.domain import option_value
from vm.errors import CommandFailed, VmError
from vm.files import digest_of, locked, private_directory, read_json, write_json
from vm.plugin.block_map import USER_HALF, BlockMap
from vm.progress import Progress, Silent

SOURCE = Path(__file__).with_name("coverage.c")
VERSIONS = (1, 2, 3, 4, 5, 6)
"""Of QEMU's plugin interface; what was announced for versions after 4 changes nothing that is used."""
_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-shared", "-fPIC")
_SECONDS = 20.0


@dataclass(frozen=True)
class Plugin:
    """A plugin that this host's QEMU was seen to load and to count with."""

    path: Path
    api: int
    """The version of QEMU's plugin interface that it claims."""

    @property
    def digest(self) -> str:
        """Of its source and the interface."""
        return digest_of([SOURCE.read_text(), self.api])

    def argument(self, counters: Path) -> str:
        """The value of QEMU's option ``-plugin``; `counters` is a file that `BlockMap.create` made."""
        return f"file={option_value(self.path)},map={option_value(counters)}"


def ensure(config: VmConfig, emulator: str, version: str, progress: Progress | None = None) -> Plugin:
    """The plugin for a QEMU, built and tried where that has not been done yet.

    Args:
        config: where it is kept.
        emulator: path of QEMU.
        version: of it, as it says it.
        progress: told when something is done.

    Raises:
        VmError: the compiler is missing or fails, or this QEMU takes none of the versions: it was built
            without plugins, or its interface is not known here.
    """
    watcher = progress or Silent()
    directory = private_directory(private_directory(config.cache_dir) / "plugin")
    source = digest_of(SOURCE.read_text())[:16]
    known = directory / f"{digest_of([source, emulator, version])[:16]}.json"
    found = _known(directory, known)
    if found is None:
        with locked(directory / "lock", watcher, "builds QEMU's coverage plugin"):
            found = _known(directory, known)
            if found is None:
                watcher.step("building QEMU's coverage plugin")
                found = _tried(config, emulator, version, directory, source)
                write_json(known, {"file": found.path.name, "api": found.api, "qemu": version})
    return found


def _known(directory: Path, known: Path) -> Plugin | None:
    said = read_json(known)
    if said is None or not (directory / str(said["file"])).is_file():
        return None
    return Plugin(directory / str(said["file"]), int(said["api"]))


def _tried(config: VmConfig, emulator: str, version: str, directory: Path, source: str) -> Plugin:
    rom = accel.assemble(config)
    reasons = []
    for api in _likely_first(version):
        plugin = Plugin(directory / f"coverage-{source}-{api}.so", api)
        _compile(plugin)
        why_not = _trial(plugin, rom, emulator)
        if why_not is None:
            return plugin
        reasons.append(f"version {api}: {why_not}")
    raise VmError(
        f"takes no plugin of ours, so that it cannot say what a guest executes ({reasons[0]})",
        emulator,
        "use a QEMU that was built with --enable-plugins, as Debian's is",
    )


def _likely_first(version: str) -> list[int]:
    """The versions in an order in which the first one is probably right."""
    number = re.match(r"(\d+)", version)
    likely = 1 if number is None or int(number[1]) < 9 else 4
    return sorted(VERSIONS, key=lambda api: (api != likely, api))


def _compile(plugin: Plugin) -> None:
    with tempfile.TemporaryDirectory(dir=plugin.path.parent) as name:
        made = Path(name) / "coverage.so"
        command = ["clang", *_FLAGS, "-fuse-ld=lld", f"-DKSHS_QEMU_API={plugin.api}", str(SOURCE)]
        run([*command, "-o", str(made)], what="building QEMU's coverage plugin")
        made.rename(plugin.path)


def _trial(plugin: Plugin, rom: Path, emulator: str) -> str | None:
    """Why the trial guest was not counted; None where it was."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "counters"
        counters = BlockMap.create(file, USER_HALF, 4096)
        argv = [emulator, "-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg"]
        argv += ["-machine", "pc", "-m", "16", "-bios", str(rom)]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", "-plugin", plugin.argument(file)]
        why = "the trial guest did not end"
        try:
            run(argv, what="trial guest of the coverage plugin", timeout=_SECONDS)
        except CommandFailed as error:
            if error.exit_code == accel.REACHED_THE_END:
                touched = counters.touched()
                return None if touched.size and counters.finished(touched).any() else "it counted nothing"
            why = error.message
        return why
