# SPDX-License-Identifier: Apache-2.0
"""Programs of the host, run so that they end when we end and fail in one clear line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from vm.errors import CommandFailed, VmError

PACKAGES = {
    "apt-config": "apt",
    "clang": "clang",
    "dpkg-deb": "dpkg",
    "hardlink": "util-linux",
    "ld.lld": "lld",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
"""The Debian package that each program comes from."""

TPM_PACKAGES = {"swtpm": "swtpm", "swtpm_setup": "swtpm-tools"}
"""The same for what only Windows guests with ``tpm = true`` need."""

_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def find(program: str) -> str | None:
    """The path of a program, also where PATH leaves out the sbin directories, as it does for users."""
    return shutil.which(program, path=search_path())


def search_path() -> str:
    """PATH with the sbin directories: a program that we start finds its own programs there, too."""
    return f"{os.environ.get('PATH', os.defpath)}:{_SBIN}"


def require(program: str) -> str:
    """The path of a program.

    Raises:
        VmError: it is not installed; the hint installs it.
    """
    path = find(program)
    if path is None:
        package = (PACKAGES | TPM_PACKAGES).get(program, program)
        raise VmError(f"{program} is not installed", hint=f"run: apt-get install -y {package}")
    return path


def run(
    argv: Sequence[str],
    *,
    what: str,
    input: bytes | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    timeout: float | None = None,
) -> bytes:
    """Runs a program to its end and gives its standard output.

    It dies with us (PDEATHSIG), so a SIGKILL of the harness leaves nothing behind.  ``log`` keeps what
    it printed; then nothing is returned.

    Raises:
        CommandFailed: its exit code was not 0, or it took longer than ``timeout`` seconds.
        VmError: it is not installed.
    """
    command = [require("setpriv"), "--pdeathsig", "KILL", "--", require(argv[0]), *argv[1:]]
    environment = {**os.environ, "PATH": search_path(), "LC_ALL": "C.UTF-8", **(env or {})}
    try:
        if log is None:
            done = subprocess.run(
                command, input=input, capture_output=True, env=environment, timeout=timeout, check=False
            )
            output, complaint = done.stdout, done.stderr
        else:
            with log.open("ab") as file:
                done = subprocess.run(
                    command,
                    input=input,
                    stdout=file,
                    stderr=file,
                    env=environment,
                    timeout=timeout,
                    check=False,
                )
            output, complaint = b"", _tail(log)
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"{what}: {argv[0]} took longer than {timeout:.0f} s") from None
    if done.returncode != 0:
        text = complaint.decode(errors="replace")
        raise CommandFailed(
            f"{what}: {argv[0]} failed ({_ending(done.returncode)}): {_reason(text)}",
            hint=f"see {log}" if log is not None else None,
            exit_code=done.returncode,
            output=text,
        )
    return output


def qemu_version(emulator: str) -> str:
    """The version of a QEMU as it says it, with the distribution's revision.

    Raises:
        VmError: it does not say it.
    """
    text = run([emulator, "--version"], what="asking QEMU for its version").decode(errors="replace")
    match = re.search(r"version (.+)", text)
    if match is None:
        raise VmError("does not say its version", emulator)
    return match[1].strip()


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _tail(log: Path, size: int = 4096) -> bytes:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - size))
        return file.read()


def _reason(text: str) -> str:
    """The line that says why: the last one that speaks of an error, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "it said nothing"
    telling = [line for line in lines if line.startswith(("E:", "error", "Error")) or "error:" in line]
    return (telling or lines)[-1][:300]


def confined(argv: Sequence[str]) -> list[str]:
    """The command in namespaces of its own (mounts, processes) that end, with all in them, with it.

    Without root it also becomes root of a user namespace, which needs ranges in /etc/subuid.
    """
    command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    if os.getuid() != 0:
        command += ["--map-root-user", "--map-auto"]
    return [*command, "--", *argv]
