# SPDX-License-Identifier: Apache-2.0
"""Puts the target and our own drivers into a guest, once, in the template that leases are forked from.

Everything is done by `kshsctl` verbs (docs/architecture.md), each checked by its exit code and its
JSON; at the end the guest is asked what it has, and that must be what was sent, byte for byte.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.agent import waiting_agent
from harness.agent.channel import WaitingAgentChannel
from harness.errors import DeployError, UsageError
from harness.guest_info import GuestInfo
from harness.guests import (
    allowed_imports,
    hardware,
    package_files,
    setupapi_log,
    start_failure,
    support_library,
    verifier,
    windows_deploy,
)
from harness.guests.kshsctl import DIRECTORY, RECORDER, TIMEOUT, Kshsctl, VerbError, text_of
from vm import family as families
from vm.errors import GuestLost, GuestTimeout

if TYPE_CHECKING:
    from drivers.build import Build
    from drivers.hardware_ids import Bus
    from drivers.imports import Offered
    from drivers.package import Package
    from harness.agent.pending import Channel as AgentChannel
    from harness.guests.verifier import Verifier
    from harness.language.model import Target
    from vm.lease import Lease
    from vm.shell import Shell
    from vm.template import Layer

#: How a driver that never calls what is missing runs all the same.
_ALLOW = "let it pass by imports.allow in the target file (kshs target init --allow-import)"

#: Raise it when a layer would come out otherwise although nothing that goes in has changed.
_LAYER_VERSION = 7


@dataclass(frozen=True)
class Kit:
    """What goes into the guest: our build, the target's package, and how the target is found there.

    ``verifier`` is what a Windows guest with the verifier leg was asked for, ``allowed`` the imports that a
    Wine guest may lack, ``bus`` what has to report the target's device; None where the device is created.
    """

    build: Build
    package: Package
    hardware_id: str
    service: str
    verifier: Verifier | None = None
    allowed: tuple[str, ...] = ()
    bus: Bus | None = None

    @property
    def digest(self) -> str:
        """Names the layer: changes with every byte that is deployed and every step of deploying."""
        parts = [
            str(_LAYER_VERSION),
            self.build.digest,
            self.package.digest,
            self.hardware_id,
            self.service,
            waiting_agent.start_script("agent", "hold"),
            waiting_agent.ready_script(),
            self.verifier.digest if self.verifier else "",
            # What one target file lets pass is refused with another, although the guest is the same.
            *self.allowed,
            *([self.bus.words] if self.bus else []),
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def is_foreign(self) -> bool:
        """Whether the target is not our sample, which was built to load everywhere."""
        return self.package.directory != self.build.avshs.directory

    @property
    def drivers(self) -> list[Path]:
        """What is loaded into a Windows guest's kernel: our client and the target's drivers."""
        return [self.build.client, *self.package.sys]

    def files(self) -> dict[str, Path]:
        """Names in the guest, below `DIRECTORY`, and the files that go there."""
        ours = (self.build.agent, self.build.client, self.build.refks)
        return {**{path.name: path for path in ours}, **package_files.in_guest(self.package)}


def layer(
    build: Build,
    package: Package,
    target: Target,
    *,
    family: str = "wine",
    wine: str | None = None,
    verifier: Verifier | None = None,
    say: Callable[[str], None] | None = None,
) -> Layer:
    """The layer of drivers over a warm template: build, package and how to put them there.

    Args:
        build: our own binaries.
        package: the target's, checked.
        target: gives hardware id and service.
        family: of the guests that it is for.
        wine: the version of their Wine, where it is known before one is booted.
        verifier: what these guests were asked for, where they have the verifier leg.
        say: told of each step.

    Raises:
        UsageError: the target imports what such guests do not have, so that it could not load there.
        DeployError: from the layer's `prepare`, naming the step that failed.
    """
    from vm.template import Layer

    if families.family(family).runs_on_linux:
        check_imports(build, package, wine, target.imports.allow)
    allowed = tuple(target.imports.allow)
    kit = Kit(build, package, target.hardware_id, target.service, verifier, allowed, hardware.needed(target))

    def prepare(shell: Shell) -> None:
        deploy(shell, kit, say=say)

    return Layer(digest=kit.digest, prepare=prepare)


def check_imports(
    build: Build, package: Package, wine: str | None = None, allowed: Sequence[str] = ()
) -> None:
    """Refuses a foreign driver that Wine and our reference class driver cannot load.

    Our own binaries were checked when they were built.  Windows guests judge for themselves: their
    kernels' exports are no public data, and a driver that cannot load there fails in `install-device`.

    Args:
        build: has our reference class driver.
        package: the target's.
        wine: the version of the guest's Wine as its image or its `info` says it; where it is not known
            yet, only what no known Wine offers is refused.
        allowed: imports that the target file lets pass (`imports.allow`).

    Raises:
        UsageError: names importer, module and every function that is missing or only a stub.
    """
    from drivers import import_rewrite, imports
    from drivers.errors import BuildError

    if package.directory == build.avshs.directory:
        return
    offered = [allowed_imports.with_allowed(family, allowed) for family in offered_by_wine(build, wine)]
    for driver in package.sys:
        try:
            import_rewrite.require_no_framework(driver)
            imports.check(driver, offered)
        except BuildError as error:
            allow = _ALLOW if allowed_imports.would_help(driver, offered) else None
            raise UsageError(
                f"this driver cannot load in a Wine guest: {error.message}",
                str(driver),
                "; or ".join(filter(None, (error.hint, allow, "run it on Windows (--guest)"))),
            ) from None


def offered_by_wine(build: Build, wine: str | None = None) -> list[Offered]:
    """What each known Wine, or that of a version, offers to foreign drivers together with our own modules."""
    from drivers import import_rewrite, imports

    ours = imports.exports_of(build.refks)
    wines = imports.every_wine() if wine is None else [imports.wine(wine)]
    return [import_rewrite.with_library(family.with_module(build.refks.name, ours)) for family in wines]


def deploy(shell: Shell, kit: Kit, *, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Deploys into a running guest and leaves an agent waiting there; gives the guest's `info`.

    Raises:
        DeployError: the step that failed, its exit code, the last lines of what it said; from a Windows
            guest with what SetupAPI wrote about it as an artefact.
        UsageError: the target cannot load on this guest.
    """
    tell = say or (lambda text: None)
    guest = Kshsctl(shell)
    tell("copying drivers")
    shell.put({f"{DIRECTORY}\\{name}": path for name, path in kit.files().items()})
    info = guest.call("info", kit.service)
    check_architecture(info, kit)
    package_files.check_device(kit.package, kit.hardware_id, info)
    if kit.bus is not None:
        hardware.check_there(guest, kit.hardware_id, kit.bus, info)
    said = GuestInfo.of(info)
    if said.is_wine:
        shell.put({f"{DIRECTORY}\\{RECORDER}": kit.build.recorder})
        wine = said.wine.version or None
        check_imports(kit.build, kit.package, wine, kit.allowed)
        if kit.allowed:
            offered = offered_by_wine(kit.build, wine)
            for note in allowed_imports.notes(kit.package.sys, kit.allowed, offered):
                tell(note)
        for note in package_files.put_for_wine(shell, kit.package, kit.hardware_id, info):
            tell(note)
        if kit.is_foreign:
            for note in support_library.put(shell, kit.build, kit.package, info):
                tell(note)
    if not said.is_windows:
        return _install(shell, guest, kit, info, tell)
    windows_deploy.check_policy(info, kit.drivers)
    if kit.verifier is not None:
        verifier.check_settings(info, kit.verifier)
    begin = setupapi_log.mark(guest)
    try:
        if kit.verifier is not None:
            tell("putting the drivers under Driver Verifier")
            verifier.enrol(shell, info, kit.verifier, (path.name for path in kit.drivers))
        info = _install(shell, guest, kit, info, tell)
        windows_deploy.read_back(guest, kit.package, kit.hardware_id, kit.service)
        if kit.verifier is not None:
            verifier.check_active(info, kit.verifier, [path.name for path in kit.drivers])
    except DeployError as error:
        windows_deploy.keep_log(guest, begin, error, kit.hardware_id, kit.package.inf.name)
        raise
    return info


def _install(
    shell: Shell, guest: Kshsctl, kit: Kit, info: dict[str, Any], tell: Callable[[str], None]
) -> dict[str, Any]:
    """Everything that is installed, in order; the guest's `info` afterwards, verified."""
    said = GuestInfo.of(info)
    wine = said.is_wine
    if not said.ks.present:
        tell("installing the reference class driver")
        guest.call("install-ks", f"{DIRECTORY}\\{kit.build.refks.name}")
    elif wine and not said.ks.ours:
        raise DeployError("this Wine has a ks.sys that is not ours", step="install-ks")
    if wine:
        guest.call("install-crash-recorder")
    tell("installing certificates")
    if kit.package.certificates:
        installed = guest.call(
            "install-cert", *(f"{package_files.FOLDER}\\{path.name}" for path in kit.package.certificates)
        )
        if said.is_windows:
            windows_deploy.check_certificates(installed)
    tell("installing the client")
    if wine:
        # Wine ends demand-started drivers with the last process of the session: the agent that
        # waits, and `hold` beside it, are there before the first driver is.
        start_hold(shell)
    guest.call("install-client", f"{DIRECTORY}\\{kit.build.client.name}")
    if info.get("family") == "windows":
        windows_deploy.stage(guest, kit.package, tell)
    tell(f"installing {kit.package.name}")
    try:
        answer = guest.call(
            "install-device",
            f"{package_files.FOLDER}\\{kit.package.inf.name}",
            kit.hardware_id,
            kit.service,
            reboot_is_fine=False,
        )
    except VerbError as error:
        if wine:
            raise start_failure.explain(
                error, shell, kit.service, without_hardware=hardware.absent(kit.hardware_id)
            ) from None
        raise windows_deploy.explain(error) from None
    except (GuestLost, GuestTimeout) as lost:
        raise DeployError(
            f"the guest was lost while the driver was installed: {lost.message}",
            step="install-device",
            hint="a driver that stops the kernel when it is loaded looks like this; see the guest's console",
        ) from None
    if answer.get("reboot"):
        raise DeployError("the guest wants a reboot after it", step="install-device")
    if wine:
        _install_components(guest, kit, info, tell)
    guest.call("ping")
    info = guest.call("info", kit.service)
    verify(info, kit)
    if wine:
        tell("starting the agent")
        start_waiting_agent(shell)
    return info


def _install_components(
    guest: Kshsctl, kit: Kit, info: Mapping[str, Any], tell: Callable[[str], None]
) -> None:
    """What Windows installs by itself below the device: its software components, each as far as it goes."""
    for component in package_files.components(kit.package, kit.hardware_id, info):
        if component.inf is None:
            continue
        tell(f"installing {component.hardware_id}")
        try:
            guest.call(
                "install-component", f"{package_files.FOLDER}\\{component.inf.name}", component.hardware_id
            )
        except DeployError as error:
            # It is not what is tested: the driver's own verdicts stand without it.
            tell(f"warning: the software component {component.hardware_id} was not installed: {error}")


def check_architecture(info: Mapping[str, Any], kit: Kit) -> None:
    """Refuses a guest whose pointers are not those of the drivers, before anything is installed.

    The guest's `missing_apis` are no reason: they are calls that the agent does without, and what the
    drivers themselves import is checked before (`check_imports`) or by the guest's own loader.
    """
    said = GuestInfo.of(info)
    size, arch = said.agent.pointer_size, said.kernel.arch
    if size != 8 or arch not in ("x86_64", None):
        raise DeployError(
            f"the guest is {arch or 'unknown'} with pointers of {size or 'an unknown number of'} bytes;"
            f" {kit.package.name} is for x86_64",
            step="info",
        )


def verify(info: Mapping[str, Any], kit: Kit) -> None:
    """What the guest says it has must be what was sent.

    Raises:
        DeployError: a driver is absent, not running, or has other bytes.
    """
    said = GuestInfo.of(info)
    named = [path for path in kit.package.sys if path.stem.lower() == kit.service.lower()]
    expected = {"KsHsClient": [kit.build.client], kit.service: named or kit.package.sys}
    found = {driver.service.lower(): driver for driver in said.drivers if driver.service is not None}
    for service, paths in expected.items():
        driver = found.get(service.lower())
        if driver is None:
            raise DeployError(f"the guest does not list the service {service}", step="info")
        if driver.state != "running":
            raise DeployError(f"the service {service} is {driver.state or 'in no known state'}", step="info")
        foreign = said.is_wine and service == kit.service and kit.is_foreign
        sent = {
            support_library.digest(
                support_library.as_deployed(path, info) if foreign else path.read_bytes()
            ): path.name
            for path in paths
        }
        if driver.sha256 not in sent:
            raise DeployError(
                f"the guest runs another {' or '.join(sent.values())} than was sent: {driver.path} has"
                f" sha256 {driver.sha256}, sent was {' or '.join(sent)}",
                step="info",
            )
    if not said.ks.present:
        raise DeployError("the guest has no ks.sys", step="info")
    if said.ks.ours:
        digest = hashlib.sha256(kit.build.refks.read_bytes()).hexdigest()
        if said.ks.sha256 != digest:
            raise DeployError("the guest has another reference ks.sys than was sent", step="info")
    if not said.client.loaded:
        raise DeployError("the client is not loaded", step="info")


def start_hold(shell: Shell) -> None:
    """Keeps the Wine session alive from now on, also between two commands."""
    command = Kshsctl(shell).command("hold")
    # `tail -f` never ends: hold's stdin stays open for as long as the guest lives.
    line = f"tail -f /dev/null | {command}"
    _sh(shell, f"setsid sh -c {shlex.quote(line)} </dev/null >/dev/null 2>&1 &", "hold")


def start_waiting_agent(shell: Shell) -> None:
    """Starts the agent that forks attach to, and waits until it has said HELLO."""
    command = Kshsctl(shell).command("serve", "warm")
    _sh(shell, waiting_agent.start_script(command), "serve")
    _sh(shell, waiting_agent.ready_script(), "serve")


def open_agent(lease: Lease) -> AgentChannel:
    """A channel to the agent of a lease: the one that waits there, or a new one."""
    if families.family(lease.family).runs_on_linux:
        return WaitingAgentChannel(lease.shell)
    return lease.shell.channel(Kshsctl(lease.shell).command("serve"))


def _sh(shell: Shell, script: str, step: str) -> None:
    done = shell.run(["sh", "-c", script], timeout=TIMEOUT)
    if done.exit_code != 0:
        raise DeployError(
            "the guest's shell failed", step=step, exit_code=done.exit_code, log=text_of(done.stderr)
        )
