# SPDX-License-Identifier: Apache-2.0
"""Every prerequisite of guests on this host, its state, and the command that mends it.

What can be tried is tried (`vm.trials`): a program that is there need not work for this user.
"""

from __future__ import annotations

import getpass
import os
import pwd
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import libvirt

from vm import image, namespaces, trials
from vm.commands import PACKAGES, TPM_PACKAGES, find
from vm.config import VmConfig
from vm.errors import VmError
from vm.files import private_directory
from vm.ports import free_port
from vm.preflight import DISK_BYTES, free_bytes
from vm.remote import lacking, other_host

QEMU_USER = "libvirt-qemu"
"""Debian's libvirt looks this user up when it starts as root, whatever qemu.conf says."""

_DRIVERS = (
    "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so",
    "/usr/lib/libvirt/connection-driver/libvirt_driver_qemu.so",
    "/usr/lib64/libvirt/connection-driver/libvirt_driver_qemu.so",
)


@dataclass(frozen=True)
class Check:
    """One prerequisite; ``fix`` is a command for a shell, empty where nothing is to be mended."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


def checks(config: VmConfig) -> list[Check]:
    """All of them; nothing is changed but for the two directories of ours, and nothing raises.

    It takes some seconds: a guest of 64 KiB is run, the mirror is asked, the hypervisor is opened.
    """
    return [
        *standing(config),
        _tpm(),
        _attempt("package mirror", lambda: trials.mirror(config), as_root("apt-get update")),
        _attempt("namespaces", namespaces.attempt, namespaces.fix()),
        _attempt("accelerator", lambda: trials.accelerator(config), as_root(f"apt-get install -y {_QEMU}")),
        _plugin(config),
        remote(config),
        _attempt("hypervisor", lambda: trials.hypervisor(config), as_root(f"apt-get install -y {_LIBVIRT}")),
        _attempt("image", lambda: _image(config), "kshs clean"),
        _attempt("exact replay", lambda: trials.replay(config), as_root(f"apt-get install -y {_QEMU}")),
    ]


def standing(config: VmConfig) -> list[Check]:
    """Those that are looked at in a hundredth of a second, without trying anything."""
    return [
        *(_program(name) for name in sorted(PACKAGES)),
        _libvirt(),
        *([_qemu_user()] if os.getuid() == 0 else [_sub_ids()]),
        _attempt("runtime directory", lambda: str(private_directory(config.runtime_dir)), _own("runtime")),
        _attempt("cache directory", lambda: str(private_directory(config.cache_dir)), _own("cache")),
        _disk(config),
        _memory(config),
        _attempt("loopback port", lambda: f"port {free_port()} could be taken", "ip link set lo up"),
    ]


def as_root(command: str) -> str:
    """The command as this user must type it."""
    return command if os.getuid() == 0 else f"sudo {command}"


_QEMU = "qemu-system-x86"
_LIBVIRT = "libvirt0 libvirt-daemon libvirt-daemon-driver-qemu"


def _own(kind: str) -> str:
    return f'export KSHS_{kind.upper()}_DIR="$(mktemp -d /tmp/kshs-{kind[0]}XXXX)"'


def _attempt(name: str, look: Callable[[], str], fix: str = "") -> Check:
    try:
        return Check(name, True, look())
    except VmError as error:
        command = (error.hint or "").removeprefix("run: ") if (error.hint or "").startswith("run: ") else fix
        return Check(name, False, str(error), as_root(command) if command.startswith("apt-get ") else command)
    except OSError as error:
        return Check(name, False, str(error), fix)


def _program(name: str) -> Check:
    path = find(name)
    if path is not None:
        return Check(name, True, path)
    return Check(name, False, "not installed", as_root(f"apt-get install -y {PACKAGES[name]}"))


def remote(config: VmConfig) -> Check:
    """What does not work with the hypervisor of another host."""
    missing = lacking(config.uri)
    if missing is None:
        return Check("hypervisor's host", True, "this one")
    return Check(
        "hypervisor's host", False, missing, f"ssh {other_host(config.uri)} kshs worker --scheduler URL"
    )


def _tpm() -> Check:
    """Never bad: most guests have no TPM."""
    missing = [package for program, package in TPM_PACKAGES.items() if find(program) is None]
    if not missing:
        return Check("TPM", True, "swtpm is there, for Windows guests with tpm = true")
    command = as_root(f"apt-get install -y {' '.join(missing)}")
    return Check("TPM", True, f"a Windows guest with tpm = true would need: {command}")


def _plugin(config: VmConfig) -> Check:
    """Never bad: only runs with --coverage need it."""
    try:
        return Check("coverage plugin", True, trials.plugin(config))
    except (VmError, OSError) as error:
        return Check("coverage plugin", True, f"kshs run --coverage cannot be had: {error}")


def _libvirt() -> Check:
    driver = next((path for path in _DRIVERS if Path(path).exists()), None)
    if driver is None:
        return Check(
            "libvirt", False, "its QEMU driver is missing", as_root(f"apt-get install -y {_LIBVIRT}")
        )
    number = libvirt.getVersion()
    version = f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"
    return Check("libvirt", True, f"{version}, driver {driver}")


def _qemu_user() -> Check:
    try:
        pwd.getpwnam(QEMU_USER)
    except KeyError:
        return Check(
            "libvirt's user",
            False,
            f"there is no user {QEMU_USER}, which libvirt looks up when it starts as root",
            f"useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {QEMU_USER}",
        )
    return Check("libvirt's user", True, QEMU_USER)


def _sub_ids() -> Check:
    user = _user()
    if find("newuidmap") is None:
        return Check("subordinate ids", False, "newuidmap is not installed", "sudo apt-get install -y uidmap")
    for name in ("/etc/subuid", "/etc/subgid"):
        path = Path(name)
        lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
        if not any(line.split(":")[0] in (user, str(os.getuid())) for line in lines):
            return Check(
                "subordinate ids",
                False,
                f"{user} has no range in {name}, which building the image without root needs",
                f"sudo /usr/sbin/usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}",
            )
    return Check("subordinate ids", True, f"{user} has a range")


def _user() -> str:
    """The name of this user; in a container a number may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _disk(config: VmConfig) -> Check:
    place, free = free_bytes(config)
    detail = f"{free / 2**30:.1f} GiB free below {place}"
    if free >= DISK_BYTES or _is_built(config):
        return Check("disk space", True, detail)
    detail = f"{detail}, 4 are needed; make room, or name another cache_dir in kshs.toml"
    return Check("disk space", False, detail, "kshs clean")


def _memory(config: VmConfig) -> Check:
    match = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    available = int(match[1]) // 1024 if match is not None else 0
    needed = config.memory_mib + 256
    detail = f"{available} MiB available, a guest needs up to {needed}"
    if available >= needed:
        return Check("memory", True, detail)
    return Check("memory", False, f"{detail}; end other programs", "ps aux --sort=-rss | head")


def _is_built(config: VmConfig) -> bool:
    try:
        return (image.locate(config)[0] / "manifest.json").exists()
    except VmError:
        return False


def _image(config: VmConfig) -> str:
    path, _ = image.locate(config)
    if (path / "manifest.json").exists():
        return f"{path} is ready"
    return f"{path.name} will be built at the first use, which takes about a minute"
