# SPDX-License-Identifier: Apache-2.0
"""Namespaces, in which the image is built: without root, those of a user."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from vm.commands import confined, run
from vm.errors import CommandFailed, VmError

_IN_NAMESPACES = 'mount -t proc proc "$1" && mount --rbind /dev "$2" && chroot / true'
"""What the recipe of the image does there (vm/wine_image/prefix.sh)."""
_SYSCTL = Path("/proc/sys")
_FORBIDDEN_BY = (
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ("user/max_user_namespaces", "0", "15000"),
)
"""Settings by which kernels forbid user namespaces to users: where, with which value, and what allows them.

Debian up to 10, Ubuntu from 23.10 on (apparmor), and hardened hosts.
"""


def attempt() -> str:
    """Does in namespaces what the recipe of the image does there; answers a line for people.

    Raises:
        VmError: this user may not; the hint allows it.
    """
    with tempfile.TemporaryDirectory(prefix="kshs-try-") as name:
        places = [Path(name) / "proc", Path(name) / "dev"]
        for place in places:
            place.mkdir()
        command = ["sh", "-c", _IN_NAMESPACES, "sh", *map(str, places)]
        try:
            run(confined(command), what="trying namespaces", timeout=30)
        except CommandFailed as error:
            raise VmError(
                f"the image cannot be built by this user: {error.message}", hint=f"run: {fix()}"
            ) from None
    whose = "root's" if os.getuid() == 0 else "a user's"
    return f"mounted and changed root in {whose} namespaces"


def fix(sysctl: Path = _SYSCTL, mountinfo: Path = Path("/proc/self/mountinfo")) -> str:
    """The command that allows them, by what forbids them."""
    if os.getuid() == 0:
        # Root is refused where it is not the host's: in a container without the right to mount, and in a
        # root directory that is no mount point.
        mounted = any(line.split()[4] == "/" for line in mountinfo.read_text().splitlines())
        return "docker run --privileged ..." if mounted else "mount --rbind ROOT ROOT && chroot ROOT"
    for name, forbids, allows in _FORBIDDEN_BY:
        path = sysctl / name
        if path.is_file() and path.read_text().strip() == forbids:
            return f"sudo /usr/sbin/sysctl -w {name.replace('/', '.')}={allows}"
    return "sudo apt-get install -y uidmap"
