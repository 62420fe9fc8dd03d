# SPDX-License-Identifier: Apache-2.0
"""Guests as the runner sees them: something that has an agent, and evidence when it dies.

`VmProvider` gives real ones.  A conftest.py may give others by the hook
`pytest_kshs_provider` (docs/pytest.md); the harness's own tests do.
"""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness import deploy, verifier
from harness.errors import HarnessError, UsageError
from harness.pending import Channel
from harness.target import check_package, find, package_directory, wrong

if TYPE_CHECKING:
    from drivers.build import Build
    from drivers.package import Package
    from harness.config import Config
    from harness.model import Target
    from vm.config import VmConfig
    from vm.hypervisor import Hypervisor
    from vm.image import Image
    from vm.lease import Lease
    from vm.template import Layer, Template
    from vm.windows.profile import Way
    from vm.windows.sealed import WindowsImage

#: Seconds for a question to a guest of which it is not known whether it lives.
_QUESTION = 15.0
#: Where the Wine family keeps what its session's services print (vm.family.Wine.session_log).
_BUGCHECK_QUERY = "grep -h KeBugCheckEx /var/log/wine-session.log 2>/dev/null | tail -n 20"

Say = Callable[[str], None]


@dataclass(frozen=True)
class LoadedTarget:
    """A target and the file that it came from."""

    target: Target
    file: Path

    def package(self, build: Build) -> Package:
        """Its driver package, checked.

        Raises:
            UsageError: there is none, or its parts do not fit together.
            BuildError: it cannot be checked here.
        """
        import drivers.package
        from drivers.errors import PackageError

        directory = package_directory(self.target, self.file)
        if directory is None:
            return build.avshs
        try:
            return drivers.package.load(directory)
        except PackageError as error:
            raise wrong(self.file, "package", str(error)) from error


def find_target(name: str, config: Config) -> LoadedTarget:
    """A target by its name in kshs.toml, by the path of its file, or a builtin one by its name.

    Raises:
        UsageError: there is none, its file is wrong, or its package is not there or not for its device.
    """
    named = config.targets.get(name)
    wanted = name if named is None else str(named)
    settings, key = config.said(name) or (None, "")
    said = "--target" if settings is None else f"{settings}: {key}"
    if settings is not None and wanted.endswith(".toml") and not Path(wanted).is_file():
        raise UsageError(f"there is no target file {wanted}", said, f"paths in {settings} are relative to it")
    target, file = find(wanted, said=said, others=config.targets)
    check_package(target, file)
    return LoadedTarget(target, file)


@dataclass(frozen=True)
class Evidence:
    """What a guest shows of its own death.

    `driver` holds what speaks of a crash in a driver or its kernel (crash records, bugchecks,
    the hypervisor's panic event); `other` is for people; `gone` says that the machine itself
    ended, which is nobody's crash.  `standstill` says why the machine could not go on although it is
    there: what did not answer in it may have had no chance to, so that no hang can be told from it.
    """

    driver: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    gone: bool = False
    standstill: str | None = None


class Guest(Protocol):
    """One leased guest with the target deployed."""

    @property
    def id(self) -> str:
        """Names the lease."""

    def open_agent(self) -> Channel:
        """A channel to its agent; once a lease."""

    def evidence(self) -> Evidence:
        """What there is to know after the agent or a step was lost; bounded in time, never raises."""

    def close(self) -> None:
        """Throws the lease away; never raises."""


class GuestProvider(Protocol):
    """Gives clean guests with one target deployed; one in each process that runs scenarios."""

    def target(self) -> Target:
        """The target, loaded and checked; needs no guest."""

    def target_digest(self) -> str:
        """Of the target's package; may be asked once guests were prepared."""

    def prepare(self, say: Say) -> None:
        """Everything that is done once, however long it takes; a second call is quick."""

    def acquire(self) -> Guest:
        """A clean guest; prepares where nobody has."""

    def host(self) -> Mapping[str, Any]:
        """What the report says of the host, the image and the build."""

    def close(self) -> None:
        """Gives back what the provider holds; leases are closed before."""


@runtime_checkable
class ChecksGuests(Protocol):
    """A provider whose guests must be in some state beyond having an agent."""

    def check_guest(self, info: Mapping[str, Any]) -> None:
        """Judges what a guest says of itself before anything runs on it.

        Raises:
            HarnessError: it is not what was asked for.
        """


@runtime_checkable
class LeasesAhead(Protocol):
    """A provider that can have the next guest made while the present one is still in use."""

    def acquire_ahead(self) -> None:
        """Begins what the next `acquire` gives; never raises, a second call does nothing."""


class VmGuest:
    """A lease of `vm` as a `Guest`."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._agent_given = False
        self._stack = ExitStack()
        self._stack.enter_context(lease)

    @property
    def id(self) -> str:
        """The lease's."""
        return str(self._lease.id)

    @property
    def lease(self) -> Lease:
        """The lease itself: its shell, its files, its consoles."""
        return self._lease

    def open_agent(self) -> Channel:
        """The agent that waits in the template, or a new one."""
        if self._agent_given:
            raise HarnessError("the agent of this guest was given away already", where=self.id)
        self._agent_given = True
        return deploy.open_agent(self._lease)

    def evidence(self) -> Evidence:
        """The hypervisor's events, the crash recorder's file, bugchecks in the session's log."""
        driver: list[str] = []
        other: list[str] = []
        events = self._lease.events
        if events.crashed and self._lease.family == "wine":
            # What panicked is Linux, of which no driver there is a part.
            return Evidence(other=(f"the guest's Linux has crashed: {events.describe()}",), gone=True)
        if events.crashed:
            driver.append(f"the hypervisor reports: {events.describe()}")
        elif events.stopped:
            return Evidence(other=(f"the guest has stopped: {events.describe()}",), gone=True)
        standstill = self._lease.standstill()
        if standstill is not None:
            return Evidence(tuple(driver), standstill=standstill)
        if self._lease.family == "wine":
            try:
                shell = self._lease.shell if self._lease.shell.alive else self._lease.new_shell()
                for command in (f"cat {_sftp(deploy.CRASHES)} 2>/dev/null", _BUGCHECK_QUERY):
                    driver += crash_lines(_text(shell.run(command, timeout=_QUESTION).stdout))
            except Exception as error:
                # Drivers are guests of a Wine process there: none of them can keep Linux from answering.
                standstill = f"the guest does not answer: {error}"
        return Evidence(tuple(driver), tuple(other), standstill=standstill)

    def close(self) -> None:
        """Ends the lease."""
        with contextlib.suppress(Exception):  # a guest that cannot even be ended is the reaper's
            self._stack.close()


class VmProvider:
    """Builds the drivers, the image and the template, and leases guests from it.

    Args:
        config: of `vm`.
        target: what is deployed.
        recipe: of the image.
        source: tree of C sources to build instead of the installed ones.
        way: how guests of a Windows image are leased; by default as the image says, or the first that works.
    """

    def __init__(
        self,
        config: VmConfig,
        target: LoadedTarget,
        recipe: str = "wine",
        *,
        source: Path | None = None,
        way: Way | None = None,
    ) -> None:
        self._way = way
        self._source = source
        self._config = config
        self._target = target
        self._recipe = recipe
        self._stack = ExitStack()
        self._build: Build | None = None
        self._package: Package | None = None
        self._image: Image | None = None
        self._hypervisor: Hypervisor | None = None
        self._template: Template | None = None
        self._ahead: Future[VmGuest] | None = None

    def target(self) -> Target:
        """The target."""
        return self._target.target

    def target_digest(self) -> str:
        """Of its package."""
        return self.build(lambda text: None)[1].digest

    def prepare(self, say: Say) -> None:
        """Build, image, template; each only where it is not there yet."""
        if self._template is not None:
            return
        import vm.image
        import vm.reaper
        import vm.template
        import vm.windows.lease
        from vm.hypervisor import Hypervisor

        progress = SayProgress(say)
        for line in vm.reaper.reap(self._config):
            say(f"cleaned up: {line}")
        windows = windows_image(self._config, self._recipe, say)
        build, package = self.build(say)
        self._image = windows or vm.image.ensure(self._config, self._recipe, progress)
        self._hypervisor = self._stack.enter_context(Hypervisor(self._config))
        layer = self.layer(build, package, self._image, say)
        if windows is not None:
            self._template = vm.windows.lease.ensure(
                self._hypervisor, windows, layer, progress, way=self._way
            )
        else:
            self._template = vm.template.ensure(self._hypervisor, self._image, layer, progress)

    def build(self, say: Say) -> tuple[Build, Package]:
        """Our own binaries and the target's package."""
        if self._build is None or self._package is None:
            import drivers.build

            say("building the drivers")
            self._build = drivers.build.build(source=self._source, progress=say)
            self._package = self._target.package(self._build)
        return self._build, self._package

    def layer(self, build: Build, package: Package, image: Image, say: Say) -> Layer:
        """What is deployed into the template of an image: the target is checked against its family."""
        return deploy.layer(
            build,
            package,
            self._target.target,
            family=image.family,
            verifier=verifier.wanted(image),
            say=say,
        )

    def check_guest(self, info: Mapping[str, Any]) -> None:
        """With the verifier leg, Driver Verifier must watch the client and the target in every guest.

        Raises:
            DeployError: it does not.
        """
        asked = verifier.wanted(self._image) if self._image is not None else None
        if asked is not None and self._build is not None and self._package is not None:
            names = [path.name for path in (self._build.client, *self._package.sys)]
            verifier.check_active(info, asked, names)

    def acquire(self) -> Guest:
        """A fork of the template: the one that was begun ahead, or a new one."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            with contextlib.suppress(Exception):  # what is wrong will show again, and be said then
                return ahead.result()
        self.prepare(lambda text: None)
        return self._fork()

    def acquire_ahead(self) -> None:
        """Forks the next guest in a thread of its own."""
        if self._ahead is None and self._template is not None:
            thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kshs-lease-ahead")
            self._ahead = thread.submit(self._fork)
            thread.shutdown(wait=False)

    def _fork(self) -> VmGuest:
        import vm.lease
        import vm.windows.lease

        if self._hypervisor is None or self._template is None:
            raise HarnessError("the guest's template was not made")
        if isinstance(self._template, vm.windows.lease.WindowsTemplate):
            return VmGuest(vm.windows.lease.acquire(self._hypervisor, self._template))
        # Whoever attaches to the waiting agent sets the clock with it.
        return VmGuest(vm.lease.acquire(self._hypervisor, self._template, set_clock=False))

    def host(self) -> Mapping[str, Any]:
        """Versions of everything below the guest, digests of everything inside it."""
        facts: dict[str, Any] = {
            "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
            "python": platform.python_version(),
            "recipe": self._recipe,
        }
        with contextlib.suppress(Exception):  # a version that cannot be told is no reason to fail a run
            import libvirt

            facts["libvirt"] = _version(libvirt.getVersion())
        if self._hypervisor is not None:
            with contextlib.suppress(Exception):
                accelerator = self._hypervisor.accelerator
                facts["qemu"] = self._hypervisor.qemu_version
                facts["accelerator"] = f"{accelerator.kind} ({accelerator.reason})"
                facts["uri"] = self._config.uri
        if self._image is not None:
            facts["image"] = str(self._image.digest)
            facts |= windows_facts(self._image, self._template)
        if self._build is not None:
            facts["build"] = self._build.digest
        return facts

    def close(self) -> None:
        """Closes the connection to the hypervisor; a guest that nobody came for is thrown away."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            with contextlib.suppress(Exception):
                ahead.result().close()
        with contextlib.suppress(Exception):
            self._stack.close()
        self._hypervisor = self._template = None


def windows_facts(image: Image, template: Template | None) -> Mapping[str, Any]:
    """Of a Windows guest: days of its evaluation that are left, how it is leased, and what did not work."""
    from vm.windows.lease import WindowsTemplate
    from vm.windows.sealed import WindowsImage

    facts: dict[str, Any] = {}
    if isinstance(image, WindowsImage) and image.days_left() is not None:
        facts["evaluation_days_left"] = image.days_left()
    if isinstance(template, WindowsTemplate):
        tried = template.manifest.get("ways_that_failed") or {}
        reasons = "; ".join(f"{way} does not work here: {reason}" for way, reason in tried.items())
        facts["leases"] = f"{template.way} ({reasons})" if reasons else str(template.way)
    return facts


def find_guest(config: VmConfig, name: str) -> WindowsImage | None:
    """The sealed Windows guest of this name; None where it is the name of a recipe.

    Raises:
        UsageError: there is no such guest, or it is not made yet.
    """
    import vm.image
    from vm.windows import profile, sealed

    if name in vm.image.RECIPES:
        return None
    image = sealed.find(config, name)
    if image is None:
        if name in profile.BUILTIN:
            raise UsageError(f"the guest {name} is not made", hint=f"run: kshs provision {name} --iso FILE")
        raise UsageError(
            f"there is no guest {name!r}", hint=f"recipes: {', '.join(vm.image.RECIPES)}; or kshs provision"
        )
    return image


def windows_image(config: VmConfig, name: str, say: Say) -> WindowsImage | None:
    """As `find_guest`, for somebody who is about to use it.

    Raises:
        UsageError: also where its evaluation period is over.
    """
    from vm.errors import InputError
    from vm.windows import sealed

    image = find_guest(config, name)
    if image is None:
        return None
    try:
        sealed.guard(image, say)
    except InputError as error:
        raise UsageError(error.message, where=error.where, hint=error.hint) from None
    return image


class SayProgress:
    """The `Progress` of `vm` as one line of text a step."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def step(self, text: str, fraction: float | None = None) -> None:
        """Passes the text on."""
        self._say(text if fraction is None else f"{text} ({fraction:.0%})")


def crash_lines(text: str) -> list[str]:
    """One sentence a crash, from the recorder's JSON lines or a bugcheck's line of Wine.

    A record of `kshsctl crash` becomes a sentence (`crash_sentence`); of a line that
    is no such thing the text itself is kept: evidence is not thrown away because it is torn.
    """
    lines = []
    for line in text.splitlines():
        line = line.strip()
        if not line:
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            lines.append(line[:500])
            continue
        lines.append(crash_sentence(record))
    return lines


def crash_sentence(record: Mapping[str, Any]) -> str:
    """A crash record of `kshsctl` (docs/agent.md) in words: code, module and offset, access, process."""
    code = _hexadecimal(record.get("code"))
    process = f" in {record['process']}" if record.get("process") else ""
    if record.get("kind") == "bugcheck":
        return f"bugcheck {code}{process}"[:500]
    fault = record.get("fault")
    place = fault if isinstance(fault, Mapping) else record
    if place.get("module"):
        where = f" at {place['module']}+{_hexadecimal(place.get('offset'))}"
    else:
        where = f" at {_hexadecimal(place['address'])}" if place.get("address") is not None else ""
    # The fault may lie in a library that a driver called wrongly: the record names the nearest driver.
    driver = record.get("driver")
    if driver and driver != place.get("module"):
        where += f", called by {driver}"
    if record.get("access"):
        where += f", {record['access']} of {_hexadecimal(record.get('target'))}"
    return f"exception {code}{where}{process}"[:500]


def _hexadecimal(value: Any) -> str:
    return f"0x{value:X}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _sftp(path: str) -> str:
    from vm.family import family

    return family("wine").sftp_path(path)


def _text(raw: bytes | str) -> str:
    return raw if isinstance(raw, str) else raw.decode("utf-8", errors="replace")


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
