# SPDX-License-Identifier: Apache-2.0
"""Every prerequisite of guests on this host, its state, and the command that mends it."""

from __future__ import annotations

import getpass
import os
import pwd
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import libvirt

from vm import accel, apt, image
from vm.commands import PACKAGES, TPM_PACKAGES, find
from vm.config import VmConfig
from vm.errors import VmError
from vm.files import private_directory
from vm.hypervisor import EMBEDDED
from vm.ports import free_port

DISK_BYTES = 4 << 30
"""An image while it is built (about 2.5 GB) and a few templates (0.2 GB each)."""
QEMU_USER = "libvirt-qemu"
"""Debian's libvirt looks this user up when it starts as root, whatever qemu.conf says."""

_DRIVERS = (
    "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so",
    "/usr/lib/libvirt/connection-driver/libvirt_driver_qemu.so",
    "/usr/lib64/libvirt/connection-driver/libvirt_driver_qemu.so",
)
_HOOKS = Path("/usr/share/mmdebstrap/hooks/merged-usr")


@dataclass(frozen=True)
class Check:
    """One prerequisite; ``fix`` is a command or advice, empty where nothing is to be mended."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


def checks(config: VmConfig) -> list[Check]:
    """All of them; nothing is changed but for the two directories of ours, and nothing raises."""
    found = [_program(name) for name in sorted(PACKAGES)]
    found += [
        _tpm(),
        _attempt("package mirror", lambda: _mirror(config)),
        _merged_usr(),
        _libvirt(),
        *([_qemu_user()] if os.getuid() == 0 else [_sub_ids()]),
        _attempt("accelerator", lambda: _accelerator(config), "set accelerator = 'auto' in kshs.toml"),
        _attempt("runtime directory", lambda: str(private_directory(config.runtime_dir))),
        _attempt("cache directory", lambda: str(private_directory(config.cache_dir))),
        _disk(config),
        _memory(config),
        _attempt("loopback port", lambda: f"port {free_port()} could be taken"),
        _attempt("connection", lambda: _connection(config)),
        _attempt("image", lambda: _image(config)),
    ]
    return found


def _attempt(name: str, look: Callable[[], str], fix: str = "") -> Check:
    try:
        return Check(name, True, look())
    except VmError as error:
        return Check(name, False, str(error), error.hint or fix)
    except OSError as error:
        return Check(name, False, str(error), fix)


def _program(name: str) -> Check:
    path = find(name)
    if path is not None:
        return Check(name, True, path)
    return Check(name, False, "not installed", f"apt-get install -y {PACKAGES[name]}")


def _tpm() -> Check:
    """Never bad: most guests have no TPM."""
    missing = [package for program, package in TPM_PACKAGES.items() if find(program) is None]
    if not missing:
        return Check("TPM", True, "swtpm is there, for Windows guests with tpm = true")
    command = f"apt-get install -y {' '.join(missing)}"
    return Check("TPM", True, f"a Windows guest with tpm = true would need: {command}")


def _mirror(config: VmConfig) -> str:
    stanzas = apt.sources(config.suite, config.apt_sources)
    mirrors = re.findall(r"^URIs: (.+)$", stanzas, re.MULTILINE)
    return f"{config.suite} from {', '.join(dict.fromkeys(mirrors))}"


def _merged_usr() -> Check:
    if _HOOKS.is_dir():
        return Check("mmdebstrap hooks", True, str(_HOOKS))
    return Check("mmdebstrap hooks", False, f"{_HOOKS} is missing", "apt-get install -y mmdebstrap")


def _libvirt() -> Check:
    driver = next((path for path in _DRIVERS if Path(path).exists()), None)
    if driver is None:
        return Check(
            "libvirt",
            False,
            "its QEMU driver is missing",
            "apt-get install -y libvirt-daemon libvirt-daemon-driver-qemu",
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
    user = getpass.getuser()
    if find("newuidmap") is None:
        return Check("user namespaces", False, "newuidmap is not installed", "sudo apt-get install -y uidmap")
    for name in ("/etc/subuid", "/etc/subgid"):
        path = Path(name)
        lines = path.read_text().splitlines() if path.is_file() else []
        if not any(line.split(":")[0] in (user, str(os.getuid())) for line in lines):
            return Check(
                "user namespaces",
                False,
                f"{user} has no range in {name}, which building the image without root needs",
                f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}",
            )
    return Check("user namespaces", True, f"{user} has subordinate ids")


def _accelerator(config: VmConfig) -> str:
    found = accel.probe(config)
    return f"{found.kind}: {found.reason}"


def _disk(config: VmConfig) -> Check:
    place = config.cache_dir
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    detail = f"{free / 2**30:.1f} GiB free below {place}"
    if free >= DISK_BYTES:
        return Check("disk space", True, detail)
    return Check(
        "disk space", False, f"{detail}, 4 are needed", "kshs clean, or another cache_dir in kshs.toml"
    )


def _memory(config: VmConfig) -> Check:
    match = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    available = int(match[1]) // 1024 if match is not None else 0
    needed = config.memory_mib + 256
    detail = f"{available} MiB available, a guest needs up to {needed}"
    return Check("memory", available >= needed, detail, "" if available >= needed else "end other programs")


def _connection(config: VmConfig) -> str:
    if config.uri.startswith(EMBEDDED):
        return f"{config.uri}: no daemon needed"
    try:
        connection = libvirt.openReadOnly(config.uri)
        try:
            return f"{config.uri}: {connection.getHostname()}"
        finally:
            connection.close()
    except libvirt.libvirtError as error:
        raise VmError(f"{error.get_error_message() or error}", config.uri, "check uri in kshs.toml") from None


def _image(config: VmConfig) -> str:
    path, _ = image.locate(config)
    if (path / "manifest.json").exists():
        return f"{path} is ready"
    return f"{path.name} will be built at the first use, which takes about a minute"
