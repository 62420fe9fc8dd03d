# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from vm import openssh
from vm.ssh import Endpoint

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChlPfkYpFZBGyGJlOmxvgnvvhJwKRNKNQAkkMu8e"


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    directory = tmp_path / "a b"
    directory.mkdir()
    return openssh.command(shutil.which("ssh") or "ssh", Endpoint(2222, directory / "key", KEY), directory)


def test_no_file_of_settings_is_read(command: list[str]) -> None:
    assert command[1:3] == ["-F", "none"]
    assert command[-1] == "root@127.0.0.1"


def test_what_ssh_makes_of_it(command: list[str], tmp_path: Path) -> None:
    """ssh says by itself with which settings it would connect."""
    done = subprocess.run([command[0], "-G", *command[1:]], capture_output=True, text=True, check=True)
    told = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    wanted = {
        "forwardagent": "no",
        "forwardx11": "no",
        "forwardx11trusted": "no",
        "identitiesonly": "yes",
        "identityagent": "none",
        "addkeystoagent": "false",
        "controlmaster": "false",
        "permitlocalcommand": "no",
        "clearallforwardings": "yes",
        "stricthostkeychecking": "true",
        "updatehostkeys": "false",
        "passwordauthentication": "no",
        "kbdinteractiveauthentication": "no",
        "tunnel": "false",
        "port": "2222",
        "userknownhostsfile": f"{tmp_path}/a b/known_hosts",
        "identityfile": f"{tmp_path}/a b/key",
        "globalknownhostsfile": "/dev/null",
    }
    assert {name: told.get(name) for name in wanted} == wanted
    assert not {"proxycommand", "proxyjump", "localforward", "remoteforward", "sendenv", "remotecommand"} & {
        name for name, value in told.items() if value != "none"
    }


def test_only_the_guests_key_is_known(command: list[str], tmp_path: Path) -> None:
    assert (tmp_path / "a b" / "known_hosts").read_text() == f"[127.0.0.1]:2222 {KEY}\n"


def test_the_users_agent_display_and_askpass_are_not_seen() -> None:
    names = ("SSH_AUTH_SOCK", "SSH_AGENT_PID", "SSH_ASKPASS", "DISPLAY", "GIT_SSH_COMMAND", "SECRET")
    seen = {"TERM": "xterm", "PATH": "/bin"}
    assert openssh.environment({**dict.fromkeys(names, "x"), **seen}) == seen
