# SPDX-License-Identifier: Apache-2.0
"""Real guests: leases of `vm` with the target deployed, and the evidence that a dying one leaves."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.agent.pending import Channel
from harness.driver_tree import check_tree
from harness.errors import HarnessError
from harness.guests import (
    allowed_imports,
    deploy,
    guest_linux,
    hardware,
    incident_evidence,
    package_files,
    support_library,
    verifier,
)
from harness.guests.ahead import GuestAhead
from harness.guests.interface import DriverFiles, Evidence, EvidenceSink, Guest, Say, SayProgress
from harness.guests.memory_used import MemoryUsed, Resident
from harness.guests.source import usable_guest
from vm.family import family

if TYPE_CHECKING:
    from drivers.build import Build
    from drivers.kernel_calls import Doubt
    from drivers.package import Package
    from harness.guests.package import LoadedTarget
    from harness.language.model import Target
    from vm.config import VmConfig
    from vm.guests import GuestSource
    from vm.hypervisor import Hypervisor
    from vm.image import Image
    from vm.lease import Lease
    from vm.plugin.block_map import BlockMap
    from vm.template import Layer, Template
    from vm.windows.profile import Way

#: Seconds in which a machine that broke its connections may be heard to have ended.
_NEWS = 2.0
#: Seconds for closing, in which a guest that was begun ahead may still come and be thrown away.
_CLOSING = 30.0
_MAX_IMAGE = 256 << 20  # bytes of a driver's image that is copied out of a guest
#: Seconds that a fork may take beside the time in which its guest must answer: loading its devices.
_FORK = 420.0
#: Seconds that a Windows guest may need to boot where there is no KVM.
_BOOT = 1800.0


class VmGuest:
    """A lease of `vm` as a `Guest`."""

    def __init__(self, lease: Lease, used: MemoryUsed | None = None) -> None:
        self._lease = lease
        self._agent_given = False
        self._threads = b""
        self._stack = ExitStack()
        self._stack.enter_context(lease)
        if used is not None:
            self._stack.enter_context(used.of(lease.pid))

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
        events = self._lease.events
        speech = family(self._lease.family)
        if events.crashed and speech.runs_on_linux:
            # What panicked is Linux, of which no driver there is a part.
            return Evidence(other=(f"the guest's Linux has crashed: {events.describe()}",), gone=True)
        driver: tuple[str, ...] = ()
        if events.crashed:
            driver = (f"the hypervisor reports: {events.describe()}",)
        elif self._lease.ended(0.0 if self._lease.shell.alive else _NEWS):
            return Evidence(other=(f"the guest has stopped: {events.describe()}",), gone=True)
        standstill = self._lease.standstill()
        if standstill is not None or not speech.runs_on_linux:
            return Evidence(driver, standstill=standstill)
        try:
            shell = self._lease.shell if self._lease.shell.alive else self._lease.new_shell()
            return guest_linux.evidence(shell, speech)
        except Exception as error:
            # Drivers are guests of a Wine process there: none of them can keep Linux from answering.
            return Evidence(standstill=f"the guest does not answer: {error}")

    def session_log(self, limit: int) -> str:
        """See `harness.guests.TellsWhatDriversSay`."""
        return incident_evidence.session_log(self._lease, limit)

    def take_stacks(self, ask: Callable[[], bytes]) -> None:
        """See `harness.guests.TakesStacks`."""
        self._threads = incident_evidence.stacks(self._lease, ask)

    def leave_evidence(
        self, into: EvidenceSink, *, hung: bool = False, memory_dump: bool = True
    ) -> Mapping[str, Any]:
        """See `harness.guests.LeavesEvidence`."""
        return incident_evidence.leave(
            self._lease, into, hung=hung, memory_dump=memory_dump, threads=self._threads
        )

    @property
    def counters(self) -> BlockMap | None:
        """See `harness.guests.CountsBlocks`."""
        return self._lease.counters

    @property
    def addresses_stay(self) -> bool:
        """Not where each guest boots by itself."""
        from vm.windows.profile import Way

        return getattr(self._lease.template, "way", None) is not Way.BOOT

    def fetch(self, path: str, into: Path) -> None:
        """See `harness.guests.CountsBlocks`."""
        self._lease.shell.get(path, into, limit=_MAX_IMAGE)

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
        ready: a finished build that is used as it is, where there is no such tree.
        way: how guests of a Windows image are leased; by default as the image says, or the first that works.
        devices: of Windows guests, as their settings say them now.
        counted: what guests execute is counted, where that can be done.

    Raises:
        UsageError: guests of this recipe cannot have the target's device, or `source` holds no drivers.
    """

    def __init__(
        self,
        config: VmConfig,
        target: LoadedTarget,
        recipe: str = "wine",
        *,
        source: Path | None = None,
        ready: Path | None = None,
        way: Way | None = None,
        devices: Sequence[str] = (),
        counted: bool = False,
    ) -> None:
        from vm.guests import is_embedded

        if is_embedded(config, recipe):
            hardware.check_embedded(target)
        if source is not None:
            check_tree(source)
        self._way = way
        self._devices = tuple(devices)
        self._counted = counted
        self._source = source
        self._ready = ready
        self._config = config
        self._target = target
        self._recipe = recipe
        self._stack = ExitStack()
        self._build: Build | None = None
        self._package: Package | None = None
        self._guests: GuestSource | None = None
        self._image: Image | None = None
        self._hypervisor: Hypervisor | None = None
        self._template: Template | None = None
        self._ahead: GuestAhead[VmGuest] | None = None
        self._doubts: Sequence[Doubt] | None = None
        self._used = MemoryUsed()

    def target(self) -> Target:
        """The target."""
        return self._target.target

    def target_digest(self) -> str:
        """Of its package."""
        return self.build(lambda text: None)[1].digest

    def package_files(self) -> Mapping[str, str]:
        """The SHA-256 of its package's files by name."""
        return dict(self.build(lambda text: None)[1].digests)

    def prepare(self, say: Say) -> None:
        """Build, image, template; each only where it is not there yet."""
        if self._template is not None:
            return
        import vm.reaper
        from vm.hypervisor import Hypervisor

        progress = SayProgress(say)
        for line in vm.reaper.reap(self._config):
            say(f"cleaned up: {line}")
        self._guests = usable_guest(self._config, self._recipe, say, self._way, self._devices)
        build, package = self.build(say)
        self._image = self._guests.image(progress)
        self._hypervisor = self._stack.enter_context(Hypervisor(self._config))
        if self._counted:
            self._hypervisor.count_blocks(progress)
        layer = self.layer(build, package, self._image, say)
        self._template = self._guests.template(self._hypervisor, self._image, layer, progress)

    def build(self, say: Say) -> tuple[Build, Package]:
        """Our own binaries and the target's package."""
        if self._build is None or self._package is None:
            import drivers.build

            if self._ready is not None and self._source is None:
                self._build = drivers.build.opened(self._ready)
            else:
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
            wine=image.wine_version,
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
        """A fork of the template: the one that was begun ahead, or a new one.

        Raises:
            HarnessError: the one that was begun ahead does not come, and never will.
        """
        ahead, self._ahead = self._ahead, None
        guest = ahead.take(self._patience) if ahead is not None else None
        if guest is not None:
            return guest
        self.prepare(lambda text: None)
        return self._fork()

    def deployment_counters(self) -> BlockMap | None:
        """See `harness.guests.KnowsDeployment`."""
        if self._template is None or self._template.counters is None:
            return None
        from vm.plugin.block_map import BlockMap

        return BlockMap(self._template.counters)

    @property
    def _patience(self) -> float:
        """Seconds for a guest that was begun ahead: more than all that its lease waits for by itself."""
        boots = self._image is not None and not family(self._image.family).runs_on_linux
        return self._config.connect_timeout + _FORK + (_BOOT if boots else 0.0)

    def acquire_ahead(self) -> None:
        """Forks the next guest in a thread of its own."""
        if self._guests is None or self._guests.exclusive:
            return
        if self._ahead is None and self._template is not None:
            self._ahead = GuestAhead(self._fork)

    def is_there(self) -> bool:
        """See `harness.guests.LeasesAhead`."""
        return self._ahead is not None and self._ahead.is_there

    def _fork(self) -> VmGuest:
        if self._guests is None or self._hypervisor is None or self._template is None:
            raise HarnessError("the guest's template was not made")
        # Whoever attaches to the waiting agent sets the clock with it.
        return self._guest_of(self._guests.lease(self._hypervisor, self._template, set_clock=False))

    def _guest_of(self, lease: Lease) -> VmGuest:
        return VmGuest(lease, self._used)

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
                facts |= {"qemu": self._hypervisor.qemu_version, "uri": self._config.uri}
                facts["accelerator"] = f"{accelerator.kind} ({accelerator.reason})"
        if self._image is not None:
            facts |= {"image": str(self._image.digest), **_dates(self._image)}
        if self._guests is not None:
            facts |= self._guests.facts(self._template)
        if self._build is not None:
            facts["build"] = self._build.digest
        if self._image is not None and self._package is not None:
            said = package_files.notes(self._package, self._target.target.hardware_id, self._image.family)
            if self._on_wine:
                wine = self._image.wine_version
                said += support_library.notes(self._package.sys, [wine] if wine else None)
                said += map(str, self.doubts())
                allowed = self._target.target.imports.allow
                if allowed and self._build is not None:
                    wines = deploy.offered_by_wine(self._build)
                    said += allowed_imports.notes(self._package.sys, allowed, wines)
            said += hardware.notes(self._target.target)
            if said:
                facts["deployment"] = said
        return facts

    @property
    def _on_wine(self) -> bool:
        """Whether somebody else's driver is deployed to guests with Wine."""
        if self._image is None or self._package is None or self._image.family != "wine":
            return False
        return self._build is None or self._package.directory != self._build.avshs.directory

    def doubts(self) -> Sequence[Doubt]:
        """Of the target's drivers on Wine; none before guests were prepared."""
        if self._doubts is None and self._image is not None and self._package is not None:
            wine = self._image.wine_version
            on_wine = self._on_wine and wine is not None
            self._doubts = support_library.doubts(self._package.sys, wine or "") if on_wine else ()
        return self._doubts or ()

    def memory_used(self) -> Resident:
        """See `harness.guests.MeasuresMemory`."""
        return self._used.kib

    def driver_files(self) -> DriverFiles:
        """The package's binaries and our own, with the PDBs of the build and those beside the package."""
        if self._build is None or self._package is None:
            return DriverFiles()
        ours = (self._build.client, self._build.refks, self._build.wdmsup)
        images = {path.name: path for path in ours} | dict(self._package.files)
        beside = sorted(self._package.directory.glob("*.pdb"))
        targets = frozenset(path.name.lower() for path in self._package.sys)
        return DriverFiles(images, (*self._build.pdbs, *beside), targets)

    def close(self) -> None:
        """Closes the connection to the hypervisor; a guest that nobody came for is thrown away."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.drop(_CLOSING)
        with contextlib.suppress(Exception):
            self._stack.close()
        self._hypervisor = self._template = None


def _dates(image: Image) -> dict[str, str]:
    """When an image was made, and when it may not be used any more, as ISO 8601 has it."""
    expires = image.expires.isoformat() if image.expires is not None else None
    return {k: v for k, v in {"image_made": image.made, "image_expires": expires}.items() if v is not None}


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
