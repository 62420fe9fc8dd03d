# SPDX-License-Identifier: Apache-2.0
"""The ``ssh`` of OpenSSH towards a guest, for people who want a shell there.

A guest runs what is being tried and is not trusted.  So nothing of the user's own settings takes part:
neither ``~/.ssh/config`` nor ``/etc/ssh/ssh_config``, no agent, no other key, no shared connection, no
forwarding of anything, no program that a file names, and no variable of the environment (ssh_config(5)).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from vm.ssh import Endpoint

_SETTINGS = (
    "GlobalKnownHostsFile=/dev/null",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
    "HostKeyAlgorithms=ssh-ed25519",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "AddKeysToAgent=no",
    "PreferredAuthentications=publickey",
    "PasswordAuthentication=no",
    "KbdInteractiveAuthentication=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ForwardX11Trusted=no",
    "ClearAllForwardings=yes",
    "Tunnel=no",
    "ControlMaster=no",
    "ControlPath=none",
    "ProxyCommand=none",
    "ProxyJump=none",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "CanonicalizeHostname=no",
    "LogLevel=ERROR",
)
ALIAS = "guest"
"""What a guest is called in a file of settings."""
_KEPT_VARIABLES = ("PATH", "HOME", "USER", "LOGNAME", "TERM", "LANG", "LC_ALL")


def command(program: str, endpoint: Endpoint, directory: Path) -> list[str]:
    """The command line of a shell; ``directory``, which is private, gets the file with the only host key."""
    known = directory / "known_hosts"
    known.write_text(f"[{endpoint.host}]:{endpoint.port} {endpoint.host_key}\n", encoding="ascii")
    settings = (f'UserKnownHostsFile="{known}"', f'IdentityFile="{endpoint.client_key}"', *_SETTINGS)
    options = [word for setting in settings for word in ("-o", setting)]
    options += ["-p", str(endpoint.port)]
    return [program, "-F", "none", "-t", *options, f"{endpoint.user}@{endpoint.host}"]


def settings_file(endpoint: Endpoint, directory: Path) -> Path:
    """The same settings as a file for ``ssh -F FILE guest``, in ``directory``, which is private."""
    known, file = directory / "known_hosts", directory / "ssh_config"
    known.write_text(f"[{endpoint.host}]:{endpoint.port} {endpoint.host_key}\n", encoding="ascii")
    settings = [f"HostName={endpoint.host}", f"Port={endpoint.port}", f"User={endpoint.user}"]
    settings += [f'UserKnownHostsFile="{known}"', f'IdentityFile="{endpoint.client_key}"', "RequestTTY=auto"]
    lines = [f"Host {ALIAS}", *(f"    {setting}" for setting in (*settings, *_SETTINGS))]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """What of the environment ``ssh`` is to see: no agent's socket, no display, no askpass."""
    source = os.environ if given is None else given
    return {name: source[name] for name in _KEPT_VARIABLES if name in source}
