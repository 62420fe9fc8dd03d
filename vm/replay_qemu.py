# SPDX-License-Identifier: Apache-2.0
"""The QEMU that records and replays: the host's where it is new enough, else that of Debian 13, unpacked.

QEMU 7.2, which Debian 12 has, records; its replays stand still on the way, without a word.  QEMU 10 replays
them to the end.  So a host with an older one gets the packages of Debian 13 unpacked into a directory of the
cache, with all libraries down to the C library, and nothing of the host's own packages is touched.  It is
started by the dynamic linker among them (ld.so(8)), which needs no change of root, no namespace and no root.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from vm import apt, preflight
from vm.commands import confined, find, run
from vm.config import VmConfig
from vm.errors import VmError
from vm.files import digest_of, locked, private_directory, read_json, remove_tree, write_json, write_whole
from vm.progress import Progress, Silent

SUITE = "trixie"
"""Debian 13, with QEMU 10.0."""
LEAST = (10, 0)
_PACKAGES = ("qemu-system-x86", "seabios", "ipxe-qemu")
_FORMAT = 1
_PROGRAM = "qemu-system-x86_64"
_LINKER = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_PROGRAMS = ("apt-config", "dpkg-deb", "mmdebstrap", "setpriv", "unshare")
_UNNEEDED = ("doc", "man", "locale", "info", "icons")


@dataclass(frozen=True)
class ReplayQemu:
    """A QEMU that can be started; ``root`` is where it was unpacked, None for the host's own."""

    program: Path
    version: str
    root: Path | None = None

    def start(self, arguments: Sequence[str], **how: Any) -> subprocess.Popen[bytes]:
        """Starts it; ``how`` is for `subprocess.Popen`.

        Its command line begins with its name, however it is started, by which `vm.slots` knows it.
        """
        if self.root is None:
            return subprocess.Popen([str(self.program), *arguments], **how)
        libraries = self.root / _LIBRARIES
        words = [str(self.program), "--library-path", str(libraries), str(self.program)]
        words += [
            "-L",
            str(self.root / "usr/share/qemu"),
            "-L",
            str(self.root / "usr/share/seabios"),
            *arguments,
        ]
        environment = {**os.environ, **how.pop("env", {}), "QEMU_MODULE_DIR": str(libraries / "qemu")}
        return subprocess.Popen(words, executable=self.root / _LINKER, env=environment, **how)


def new_enough(version: str) -> bool:
    """Whether a QEMU that says this of its version replays what it has recorded."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) >= LEAST


def of_host(config: VmConfig) -> ReplayQemu | None:
    """The host's own, where it is there and new enough."""
    program = find(config.qemu)
    if program is None:
        return None
    qemu = ReplayQemu(Path(program), _version(ReplayQemu(Path(program), "")))
    return qemu if new_enough(qemu.version) else None


def unpacked(config: VmConfig) -> ReplayQemu | None:
    """The one of the cache, where it is there."""
    place = _place(config)
    manifest = read_json(place / "manifest.json")
    if manifest is None:
        return None
    root = place / "root"
    return ReplayQemu(root / "usr/bin" / _PROGRAM, str(manifest["version"]), root)


def ensure(config: VmConfig, progress: Progress | None = None) -> ReplayQemu:
    """The host's, or the one of the cache, unpacked where it is not there yet; one process does it.

    Raises:
        VmError: the packages cannot be had, or what came of them does not run.
    """
    watcher = progress or Silent()
    found = of_host(config) or unpacked(config)
    if found is not None:
        return found
    private_directory(config.cache_dir)
    place = _place(config)
    private_directory(place.parent)
    with locked(place.with_suffix(".lock"), watcher, "unpacks the same QEMU"):
        found = unpacked(config)
        if found is None:
            watcher.step(f"QEMU: unpacking that of Debian {SUITE} from the package mirror (once)", 0.1)
            _unpack(config, place)
            found = unpacked(config)
    if found is None:
        raise VmError("what was just unpacked cannot be read", str(place))
    return found


def _place(config: VmConfig) -> Path:
    named = digest_of({"format": _FORMAT, "suite": SUITE, "packages": list(_PACKAGES)})
    return config.cache_dir / "qemu" / f"{SUITE}-{named[:8]}"


def _unpack(config: VmConfig, place: Path) -> None:
    part = place.with_suffix(".part")
    remove_tree(part)
    private_directory(part)
    try:
        stanzas = apt.sources(SUITE, config.apt_sources if config.suite == SUITE else None)
        preflight.require(config, _PROGRAMS, lambda: apt.require_keys(stanzas))
        write_whole(part / "sources", stanzas)
        command = [
            "mmdebstrap",
            "--mode=root",
            "--variant=extract",
            "--architectures=amd64",
            f"--include={','.join(_PACKAGES)}",
            '--aptopt=Apt::Install-Recommends "false"',
            '--aptopt=Acquire::Languages "none"',
            '--aptopt=Acquire::Retries "3"',
            *(f"--aptopt={setting}" for setting in apt.settings()),
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _UNNEEDED),
            SUITE,
            str(part / "root"),
            str(part / "sources"),
        ]
        run(confined(command), what=f"unpacking QEMU of Debian {SUITE}", log=part / "log")
        root = part / "root"
        version = _version(ReplayQemu(root / "usr/bin" / _PROGRAM, "", root))
        if not new_enough(version):
            raise VmError(
                f"Debian {SUITE} has QEMU {version}, and {LEAST[0]}.{LEAST[1]} is needed", str(part)
            )
        manifest = {"version": version, "made": datetime.now(UTC).isoformat(timespec="seconds")}
        write_json(part / "manifest.json", manifest)
    except BaseException:
        if (part / "log").exists():
            (part / "log").replace(place.with_suffix(".log"))
        remove_tree(part)
        raise
    remove_tree(place)
    part.rename(place)


def _version(qemu: ReplayQemu) -> str:
    """As it says it, with the distribution's revision.

    Raises:
        VmError: it does not run.
    """
    try:
        with qemu.start(["--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
            said = _read(child.stdout)
    except OSError as error:
        raise VmError(f"does not run: {error.strerror}", str(qemu.program)) from None
    match = re.search(r"version (.+)", said)
    if match is None:
        raise VmError(f"does not say its version: {said.strip()[:200]}", str(qemu.program))
    return match[1].strip()


def _read(stream: IO[bytes] | None) -> str:
    return stream.read(65536).decode(errors="replace") if stream is not None else ""
