# SPDX-License-Identifier: Apache-2.0
"""Wine sessions on this host with any driver package in them, as guests for the plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import drivers.build
from drivers.imports import version_key
from drivers.kernel_calls import Doubt
from drivers.package import Package
from harness import config
from harness.agent.pending import Channel
from harness.guests import Evidence, Say, deploy, package_files, support_library
from harness.guests.crash_record import crashes_in
from harness.guests.package import LoadedTarget, find_target
from harness.language.model import Target
from tests.component.wine import FOLDER, WineGuest, copy_of, template, version


def install_package(
    guest: WineGuest, build: drivers.build.Build, package: Package, target: Target
) -> dict[str, Any]:
    """Everything into a guest, as a real deployment does it; what install-device said."""
    guest.hold()
    guest.put(build.recorder)
    guest.must("install-crash-recorder")
    guest.must("install-ks", guest.put(build.refks, "ks.sys"))
    guest.must("install-client", guest.put(build.client, "ksclient.sys"))
    put_package(guest, build, package, target.hardware_id)
    inf = f"{package_files.FOLDER}\\{package.inf.name}"
    answer = guest.must("install-device", inf, target.hardware_id, target.service)
    for component in package_files.components(package, target.hardware_id, guest.must("info")):
        assert component.inf is not None
        name = f"{package_files.FOLDER}\\{component.inf.name}"
        guest.must("install-component", name, component.hardware_id)
    return answer


def put_package(
    guest: WineGuest, build: drivers.build.Build, package: Package, hardware_id: str
) -> tuple[str, ...]:
    """The files of a package and, where Wine needs it, copies of its INF and drivers; what was changed."""
    for name, file in package_files.in_guest(package).items():
        guest.put(file, name)

    class Shell:
        def put(self, files: Mapping[str, Path]) -> None:
            for name, file in files.items():
                if name.startswith(support_library.SYSTEM_DRIVERS):
                    (guest.drivers / name.rpartition("\\")[2]).write_bytes(file.read_bytes())
                else:
                    guest.put(file, name.removeprefix(f"{FOLDER}\\"))

    shell: Any = Shell()
    info = guest.must("info")
    said = package_files.put_for_wine(shell, package, hardware_id, info)
    return (*said, *support_library.put(shell, build, package, info))


class PackageGuest:
    """A prefix of its own as a lease."""

    def __init__(self, build: drivers.build.Build, package: Package, target: Target, number: int) -> None:
        self.id = f"local-{number}"
        self._stack = ExitStack()
        self.wine = WineGuest(self._stack.enter_context(copy_of(template())), build.agent)
        self._stack.callback(self.wine.throw_away)
        try:
            install_package(self.wine, build, package, target)
        except BaseException:
            self._stack.close()
            raise

    def open_agent(self) -> Channel:
        return self.wine.channel()

    def evidence(self) -> Evidence:
        recorded = self.wine.folder / "crashes.jsonl"
        lines = recorded.read_text(encoding="utf-8", errors="replace") if recorded.exists() else ""
        bugchecks = [line for line in self.wine.words().splitlines() if "KeBugCheckEx" in line]
        found = crashes_in(lines)
        return Evidence(driver=(*found.driver, *bugchecks), other=found.other)

    def close(self) -> None:
        self._stack.close()


class PackageProvider:
    """Gives such guests for the target of a target file, or for one that is loaded already."""

    def __init__(self, target: str | LoadedTarget) -> None:
        given = isinstance(target, LoadedTarget)
        self._loaded: LoadedTarget = target if given else find_target(target, config.load(None))
        self._build = drivers.build.build()
        self._package = self._loaded.package(self._build)
        deploy.check_imports(self._build, self._package, allowed=self._loaded.target.imports.allow)
        self._count = 0

    def target(self) -> Target:
        return self._loaded.target

    def target_digest(self) -> str:
        return self._package.digest

    def prepare(self, say: Say) -> None:
        say("a local guest needs no preparation")

    def acquire(self) -> PackageGuest:
        self._count += 1
        return PackageGuest(self._build, self._package, self._loaded.target, self._count)

    def doubts(self) -> Sequence[Doubt]:
        return support_library.doubts(self._package.sys, ".".join(map(str, version_key(version())[:2])))

    def host(self) -> Mapping[str, Any]:
        return {"recipe": "local"}

    def close(self) -> None:
        pass
