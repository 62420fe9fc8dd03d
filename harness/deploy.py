# SPDX-License-Identifier: Apache-2.0
"""Puts the target and our own drivers into a guest, once, in the template that leases are forked from.

Everything is done by `kshsctl` verbs (docs/architecture.md), each checked by its exit code and its
JSON; at the end the guest is asked what it has, and that must be what was sent, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import waiting_agent
from harness.agent_channel import WaitingAgentChannel
from harness.errors import DeployError, UsageError

if TYPE_CHECKING:
    from drivers.build import Build
    from drivers.package import Package
    from harness.model import Target
    from harness.session import Channel as AgentChannel
    from vm.lease import Lease
    from vm.ssh import Shell
    from vm.template import Layer

#: Where everything lies in the guest.
DIRECTORY = r"C:\kshs"
#: Where the crash recorder of guests without bugchecks writes (docs/architecture.md).
CRASHES = DIRECTORY + r"\crashes.jsonl"

#: Raise it when a layer would come out otherwise although nothing that goes in has changed.
_LAYER_VERSION = 3
_REBOOT = 3010
_TIMEOUT = 180.0


@dataclass(frozen=True)
class Kit:
    """What goes into the guest: our build, the target's package, and how the target is found there."""

    build: Build
    package: Package
    hardware_id: str
    service: str

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
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def files(self) -> dict[str, Path]:
        """Names in the guest, below `DIRECTORY`, and the files that go there."""
        ours = (self.build.agent, self.build.client, self.build.refks)
        package = (self.package.inf, *self.package.sys, self.package.cat, *self.package.certificates)
        return {
            **{path.name: path for path in ours},
            **{f"target\\{path.name}": path for path in package},
        }


def layer(
    build: Build,
    package: Package,
    target: Target,
    *,
    family: str = "wine",
    say: Callable[[str], None] | None = None,
) -> Layer:
    """The layer of drivers over a warm template: build, package and how to put them there.

    Args:
        build: our own binaries.
        package: the target's, checked.
        target: gives hardware id and service.
        family: of the guests that it is for.
        say: told of each step.

    Raises:
        UsageError: the target imports what such guests do not have, so that it could not load there.
        DeployError: from the layer's `prepare`, naming the step that failed.
    """
    from vm.template import Layer

    if family == "wine":
        check_imports(build, package)
    kit = Kit(build, package, target.hardware_id, target.service)

    def prepare(shell: Shell) -> None:
        deploy(shell, kit, say=say)

    return Layer(digest=kit.digest, prepare=prepare)


def check_imports(build: Build, package: Package) -> None:
    """Refuses a foreign driver that Wine and our reference class driver cannot load.

    Our own binaries were checked when they were built.  Windows guests judge for themselves: their
    kernels' exports are no public data, and a driver that cannot load there fails in `install-device`.

    Raises:
        UsageError: names importer, module and every function that is missing or only a stub.
    """
    from drivers import imports
    from drivers.errors import ImportRefused

    if package.directory == build.avshs.directory:
        return
    offered = imports.wine().with_module(build.refks.name, imports.exports_of(build.refks))
    for driver in package.sys:
        try:
            imports.require(driver, offered)
        except ImportRefused as error:
            raise UsageError(
                f"this driver cannot load in a Wine guest: {error.message}",
                str(driver),
                f"{error.hint}; or run it on Windows (--guest)",
            ) from None


def deploy(shell: Shell, kit: Kit, *, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Deploys into a running guest and leaves an agent waiting there; gives the guest's `info`.

    Raises:
        DeployError: the step that failed, its exit code, the last lines of what it said.
    """
    tell = say or (lambda text: None)
    guest = Kshsctl(shell)
    tell("copying drivers")
    shell.put({f"{DIRECTORY}\\{name}": path for name, path in kit.files().items()})
    info = guest.call("info", kit.service)
    check_architecture(info, kit)
    wine = info.get("family") == "wine"
    if not (info.get("ks") or {}).get("present"):
        tell("installing the reference class driver")
        guest.call("install-ks", f"{DIRECTORY}\\{kit.build.refks.name}")
    elif wine and not info["ks"].get("ours"):
        raise DeployError("this Wine has a ks.sys that is not ours", step="install-ks")
    if wine:
        guest.call("install-crash-recorder")
    tell("installing certificates")
    if kit.package.certificates:
        guest.call("install-cert", *(f"{DIRECTORY}\\target\\{p.name}" for p in kit.package.certificates))
    tell("installing the client")
    if wine:
        # Wine ends demand-started drivers with the last process of the session: the agent that
        # waits, and `hold` beside it, are there before the first driver is.
        start_hold(shell)
    guest.call("install-client", f"{DIRECTORY}\\{kit.build.client.name}")
    tell(f"installing {kit.package.name}")
    answer = guest.call(
        "install-device",
        f"{DIRECTORY}\\target\\{kit.package.inf.name}",
        kit.hardware_id,
        kit.service,
        reboot_is_fine=False,
    )
    if answer.get("reboot"):
        raise DeployError("the guest wants a reboot after it", step="install-device")
    guest.call("ping")
    info = guest.call("info", kit.service)
    verify(info, kit)
    if wine:
        tell("starting the agent")
        start_waiting_agent(shell)
    return info


class Kshsctl:
    """Runs verbs of `kshsctl.exe` in a guest."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def command(self, verb: str, *arguments: str) -> str:
        """The guest's command line for a verb."""
        return self._shell.wine([f"{DIRECTORY}\\kshsctl.exe", verb, *arguments])

    def call(self, verb: str, *arguments: str, reboot_is_fine: bool = True) -> dict[str, Any]:
        """One verb to its end; its JSON.

        Raises:
            DeployError: it failed, said no JSON, or wants a reboot where that is not fine.
        """
        done = self._shell.run(self.command(verb, *arguments), timeout=_TIMEOUT)
        stdout, stderr = _text(done.stdout), _text(done.stderr)
        answer = _json_object(stdout)
        if done.exit_code not in (0, _REBOOT):
            said = answer or {}
            reason = " ".join(str(said[key]) for key in ("step", "error", "detail") if said.get(key))
            raise DeployError(
                reason or "failed",
                step=verb,
                exit_code=done.exit_code,
                log=stderr or ("" if reason else stdout),
            )
        if done.exit_code == _REBOOT and not reboot_is_fine:
            raise DeployError(
                "the guest wants a reboot after it", step=verb, exit_code=done.exit_code, log=stderr
            )
        if answer is None:
            raise DeployError("its output is not one JSON object", step=verb, log=stderr or stdout)
        return answer


def check_architecture(info: Mapping[str, Any], kit: Kit) -> None:
    """Refuses a guest whose pointers are not those of the drivers, before anything is installed."""
    size = (info.get("agent") or {}).get("pointer_size")
    arch = (info.get("kernel") or {}).get("arch")
    if size != 8 or arch not in ("x86_64", None):
        raise DeployError(
            f"the guest is {arch or 'unknown'} with pointers of {size} bytes;"
            f" {kit.package.name} is for x86_64",
            step="info",
        )
    missing = info.get("missing_apis") or []
    if missing:
        raise DeployError(f"this guest lacks {', '.join(map(str, missing[:5]))}", step="info")


def verify(info: Mapping[str, Any], kit: Kit) -> None:
    """What the guest says it has must be what was sent.

    Raises:
        DeployError: a driver is absent, not running, or has other bytes.
    """
    expected = {"KsHsClient": kit.build.client}
    service_file = next((p for p in kit.package.sys if p.stem.lower() == kit.service.lower()), None)
    expected[kit.service] = service_file or kit.package.sys[0]
    found = {str(driver.get("service", "")).lower(): driver for driver in info.get("drivers") or []}
    for service, path in expected.items():
        driver = found.get(service.lower())
        if driver is None:
            raise DeployError(f"the guest does not list the service {service}", step="info")
        if driver.get("state") != "running":
            raise DeployError(f"the service {service} is {driver.get('state')}", step="info")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if driver.get("sha256") != digest:
            raise DeployError(
                f"the guest runs another {path.name} than was sent"
                f" (sha256 {str(driver.get('sha256'))[:12]}..., sent {digest[:12]}...)",
                step="info",
            )
    ks = info.get("ks") or {}
    if not ks.get("present"):
        raise DeployError("the guest has no ks.sys", step="info")
    if ks.get("ours"):
        digest = hashlib.sha256(kit.build.refks.read_bytes()).hexdigest()
        if ks.get("sha256") != digest:
            raise DeployError("the guest has another reference ks.sys than was sent", step="info")
    if not (info.get("client") or {}).get("loaded"):
        raise DeployError("the client is not loaded", step="info")


def start_hold(shell: Shell) -> None:
    """Keeps the Wine session alive from now on, also between two commands."""
    command = Kshsctl(shell).command("hold")
    # `tail -f` never ends: hold's stdin stays open for as long as the guest lives.
    line = f"tail -f /dev/null | {command}"
    _sh(shell, f"setsid sh -c {shlex.quote(line)} </dev/null >/dev/null 2>&1 &", "hold")


def start_waiting_agent(shell: Shell) -> None:
    """Starts the agent that forks attach to, and waits until it has said HELLO."""
    command = Kshsctl(shell).command("serve")
    _sh(shell, waiting_agent.start_script(command), "serve")
    _sh(shell, waiting_agent.ready_script(), "serve")


def open_agent(lease: Lease) -> AgentChannel:
    """A channel to the agent of a lease: the one that waits there, or a new one."""
    if lease.family == "wine":
        return WaitingAgentChannel(lease.shell)
    return lease.shell.channel(Kshsctl(lease.shell).command("serve"))


def _sh(shell: Shell, script: str, step: str) -> None:
    done = shell.run(["sh", "-c", script], timeout=_TIMEOUT)
    if done.exit_code != 0:
        raise DeployError(
            "the guest's shell failed", step=step, exit_code=done.exit_code, log=_text(done.stderr)
        )


def _text(raw: bytes | str) -> str:
    return raw if isinstance(raw, str) else raw.decode("utf-8", errors="replace")


def _json_object(text: str) -> dict[str, Any] | None:
    """The one object on stdout; Wine may have said something before it."""
    start = text.find("{")
    if start < 0:
        return None
    try:
        answer = json.loads(text[start:])
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
