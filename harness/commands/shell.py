# SPDX-License-Identifier: Apache-2.0
"""A person's shell in a fresh guest."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from harness.config import Config
from harness.errors import HarnessError
from harness.guests import SayProgress
from harness.guests.package import find_target
from harness.guests.provider import VmProvider
from harness.guests.windows import windows_image
from harness.progress import Progress

if TYPE_CHECKING:
    from vm.lease import Lease


def interact(config: Config, guest: str | None, target: str | None, *, bare: bool) -> int:
    """Leases a guest, opens a shell in it, throws it away; the shell's exit code.

    Raises:
        UsageError: there is no such guest.
        HarnessError: there is no ssh on this host.
        VmError, BuildError: the guest cannot be provided.
    """
    import vm.image
    import vm.lease
    import vm.template
    import vm.windows.lease
    from vm.hypervisor import Hypervisor

    recipe = guest or config.run.guest
    windows = windows_image(config.vm, recipe, lambda text: print(f"kshs: {text}", file=sys.stderr))
    ssh = shutil.which("ssh")
    if ssh is None:
        raise HarnessError("ssh is not installed", hint="run: apt-get install -y openssh-client")
    provider = VmProvider(
        config.vm,
        find_target(target or config.run.target, config),
        recipe,
        source=config.run.drivers,
    )
    with Progress() as progress:
        say = progress.say
        image = windows or vm.image.ensure(config.vm, recipe, SayProgress(say))
        layer = None if bare else provider.layer(*provider.build(say), image, say)
        say("connecting to the hypervisor")
        hypervisor = Hypervisor(config.vm)
        hypervisor.__enter__()
        try:
            lease: Lease
            if windows is not None:
                prepared = vm.windows.lease.ensure(
                    hypervisor, windows, layer, SayProgress(say), way=config.leases_of(recipe)
                )
                say("leasing a guest")
                lease = vm.windows.lease.acquire(hypervisor, prepared)
            else:
                template = vm.template.ensure(hypervisor, image, layer, SayProgress(say))
                say("leasing a guest")
                lease = vm.lease.acquire(hypervisor, template)
        except BaseException:
            hypervisor.__exit__(None, None, None)
            raise
    try:
        with lease:
            print(f"guest {lease.id}; it goes when this shell ends", flush=True)
            return _ssh(ssh, lease)
    finally:
        hypervisor.__exit__(None, None, None)


def _ssh(ssh: str, lease: Lease) -> int:
    endpoint = lease.endpoint
    with tempfile.TemporaryDirectory(prefix="kshs-ssh-") as directory:
        known = Path(directory) / "known_hosts"
        known.write_text(f"[{endpoint.host}]:{endpoint.port} {endpoint.host_key}\n", encoding="ascii")
        command = [
            ssh,
            "-t",
            "-p",
            str(endpoint.port),
            "-i",
            str(endpoint.client_key),
            "-o",
            f"UserKnownHostsFile={known}",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "LogLevel=ERROR",
            f"{endpoint.user}@{endpoint.host}",
        ]
        return subprocess.run(command, check=False).returncode
