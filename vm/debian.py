# SPDX-License-Identifier: Apache-2.0
"""Releases of Debian by name, and the one that this host runs."""

from __future__ import annotations

import functools
from pathlib import Path

SUITES = ("bookworm", "trixie")
"""Those that the embedded guest is made of and tried with: Debian 12 (Wine 8) and Debian 13 (Wine 10)."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""Keys of all living releases, from the package debian-archive-keyring, which Ubuntu has, too."""
MIRRORS = {"": "http://deb.debian.org/debian", "-security": "http://deb.debian.org/debian-security"}
"""Debian's own, by the suffix of the suite: for hosts of other distributions, whose apt names none."""

# Whose entries stand for a mirror of Debian.
_NAMES = ("bullseye", *SUITES, "forky", "sid", "oldstable", "stable", "testing", "unstable")
_OS_RELEASE = Path("/etc/os-release")


def names(suite: str) -> tuple[str, ...]:
    """The other names under which a host's sources may name a mirror of Debian."""
    return tuple(name for name in _NAMES if name != suite)


def in_order(suite: str) -> int:
    """Orders releases by their age; one that is not known is the latest."""
    return _NAMES.index(suite) if suite in _NAMES else len(_NAMES)


@functools.cache
def host_suite(os_release: Path = _OS_RELEASE) -> str:
    """The release of this host where it is one of `SUITES`; on any other host the newest of them.

    A distribution that is made of Debian (Ubuntu, say) has packages of other names and versions, so its own
    release says nothing: the guest is Debian there, too.
    """
    fields = _fields(os_release)
    suite = fields.get("VERSION_CODENAME", "")
    return suite if fields.get("ID") == "debian" and suite in SUITES else SUITES[-1]


def is_debian(os_release: Path = _OS_RELEASE) -> bool:
    """Whether this host is Debian itself."""
    return _fields(os_release).get("ID") == "debian"


def _fields(os_release: Path) -> dict[str, str]:
    """The assignments of os-release(5); none where it cannot be read."""
    try:
        lines = os_release.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, equals, value in pairs if equals}
