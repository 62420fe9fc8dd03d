# SPDX-License-Identifier: Apache-2.0
"""A person's shell in a fresh guest."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.shell_files import coming_out, fetch, going_in
from harness.config import Config
from harness.errors import HarnessError
from harness.guests import SayProgress
from harness.guests.kshsctl import DIRECTORY
from harness.guests.package import find_target
from harness.guests.provider import VmProvider
from harness.guests.source import usable_guest
from harness.progress import Progress
from vm.family import Wine

if TYPE_CHECKING:
    from vm.lease import Lease


def interact(
    config: Config,
    guest: str | None,
    target: str | None,
    *,
    bare: bool,
    linux: bool = False,
    put: Sequence[Path] = (),
    get: Sequence[str] = (),
) -> int:
    """Leases a guest, opens a shell in it, throws it away; the shell's exit code.

    The shell is the guest's cmd; with `linux` that of the system below, in guests that have one.  Files of
    `put` lie in it when it opens, and those of `get` come to the working directory when it has ended.

    Raises:
        UsageError: there is no such guest, or files cannot go where they are to go.
        HarnessError: there is no ssh on this host, or a file of `get` is not there.
        VmError, BuildError: the guest cannot be provided.
    """
    from vm.commands import find
    from vm.hypervisor import Hypervisor

    into, out_of = going_in(put), coming_out(get, Path.cwd())
    recipe = guest or config.run.guest
    guests = usable_guest(
        config.vm,
        recipe,
        lambda text: print(f"kshs: {text}", file=sys.stderr),
        config.leases_of(recipe),
        config.devices_of(recipe),
    )
    ssh = find("ssh")
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
        image = guests.image(SayProgress(say))
        layer = None if bare else provider.layer(*provider.build(say), image, say)
        say("connecting to the hypervisor")
        hypervisor = Hypervisor(config.vm)
        hypervisor.__enter__()
        try:
            template = guests.template(hypervisor, image, layer, SayProgress(say))
            say("leasing a guest")
            lease = guests.lease(hypervisor, template)
        except BaseException:
            hypervisor.__exit__(None, None, None)
            raise
    try:
        with lease:
            if into:
                lease.shell.put(into)
            print("\n".join([*about(lease.id, lease.family, bare=bare), *into]), flush=True)
            code = _ssh(ssh, lease, [] if linux else cmd(lease))
            if out_of:
                print("\n".join(fetch(lease.shell if lease.shell.alive else lease.new_shell(), out_of)))
            return code
    finally:
        hypervisor.__exit__(None, None, None)


def about(name: str, family: str, *, bare: bool) -> list[str]:
    """Where things are in a guest, a line each."""
    lines = [f"guest {name}; it goes when this shell ends"]
    wine = family == "wine"
    if not bare:
        lines.append(
            rf"{DIRECTORY}\kshsctl.exe is the agent (info, ping, device HWID: what is there); drivers are in"
            r" C:\windows\system32\drivers"
        )
    if wine:
        lines.append(
            f"below is Linux: C: is {Wine().prefix}/drive_c, Wine's words go to {Wine().session_log};"
            " kshs shell --linux has its shell"
        )
    return lines


def cmd(lease: Lease) -> list[str]:
    """What is asked of the guest's SSH server so that it opens cmd; Windows' own does so by itself."""
    if lease.family != "wine":
        return []
    # Enter is a carriage return, of which a terminal makes a line feed; that is Ctrl-J to Wine's console.
    return [f"stty raw -echo; {lease.shell.wine(['cmd.exe', '/k', f'cd /d {DIRECTORY}'])}"]


def _ssh(program: str, lease: Lease, remote: list[str]) -> int:
    from vm import openssh

    with tempfile.TemporaryDirectory(prefix="kshs-ssh-") as directory:
        command = [*openssh.command(program, lease.endpoint, Path(directory)), *remote]
        return subprocess.run(command, env=openssh.environment(), check=False).returncode
