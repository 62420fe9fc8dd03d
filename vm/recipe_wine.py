# SPDX-License-Identifier: Apache-2.0
"""The ``wine`` recipe: Debian and Wine, unpacked from packages, without a service manager.

Packages are unpacked and not configured (mmdebstrap's ``extract`` variant): nothing in this guest is
administered, and half of a bootstrap's time goes into maintainer scripts.  The little configuration that
is needed is written here.  No loop device, no mount outside namespaces of our own, no boot: the disk is
written by ``mke2fs -d``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from vm import apt, initrd, preflight
from vm.commands import confined, require, run
from vm.config import VmConfig
from vm.errors import VmError
from vm.files import remove_tree, write_whole
from vm.recipe import Stage, Work

PACKAGES = (
    "busybox-static",
    "dropbear-bin",
    "libc-bin",
    "linux-image-cloud-amd64",
    "openssh-sftp-server",
    "socat",
    "wine64",
)
DISK_MIB = 3072
_WINE_VERSION = re.compile(rb"wine-(\d+\.\d+(?:\.\d+|-rc\d+)?)[ \0]")
FILES = Path(__file__).with_name("wine_image")
MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "pvpanic-mmio", "ext4")
"""pvpanic-mmio serves the ISA device that ACPI announces as QEMU0001, too."""

_PROGRAMS = ("apt-config", "dpkg-deb", "hardlink", "mke2fs", "mmdebstrap", "setpriv", "unshare")
_HERE = "usr/lib/kshs"
# The links of a merged /usr, which come from base-files in Debian 13 and from usrmerge in Debian 12: neither
# package is in this guest.  Packages of Debian 12 unpack through them.
_MERGED_USR = (
    'cd "$1" && for name in bin sbin lib lib32 lib64 libx32; do'
    ' mkdir -p "usr/$name" && { [ -L "$name" ] || ln -s "usr/$name" "$name"; }; done'
)
_UNNEEDED = (
    "boot",
    "etc/apt",
    "usr/games",
    "usr/i686-w64-mingw32",
    "usr/include",
    "usr/lib/modules",
    "usr/lib/systemd",
    "usr/lib/udev",
    "usr/share/X11",
    "usr/share/bash-completion",
    "usr/share/bug",
    "usr/share/doc",
    "usr/share/doc-base",
    "usr/share/gdb",
    "usr/share/icons",
    "usr/share/info",
    "usr/share/initramfs-tools",
    "usr/share/iso-codes",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/perl5",
    "usr/share/xml",
    "var/cache",
    "var/lib/apt",
    "var/lib/dpkg",
)


class WineRecipe:
    """See the module."""

    name = "wine"
    family = "wine"

    def inputs(self, config: VmConfig) -> Mapping[str, Any]:
        """The recipe's own files, the packages asked for, and where they come from."""
        own = [Path(__file__), Path(initrd.__file__), *sorted(FILES.iterdir())]
        return {
            "files": {path.name: path.read_text() for path in own},
            "packages": list(PACKAGES),
            "suite": config.suite,
            "sources": apt.sources(config.suite, config.apt_sources),
            "disk_mib": DISK_MIB,
        }

    def stages(self) -> Sequence[Stage]:
        """Unpack, make the prefix, write the disk."""
        return (
            Stage("rootfs", f"unpacking {', '.join(PACKAGES)} from the package mirror", self._rootfs),
            Stage("prefix", "making the Wine prefix", self._prefix),
            Stage("disk", "writing the disk", self._disk),
        )

    def leftovers(self) -> Sequence[str]:
        """The tree that the disk was written from."""
        return ("rootfs", "rootfs.part", "sources", "versions")

    def _rootfs(self, work: Work) -> Mapping[str, Any]:
        part, final = work.directory / "rootfs.part", work.directory / "rootfs"
        for tree in (part, final):
            _remove_rootfs(tree)
        sources = work.directory / "sources"
        stanzas = apt.sources(work.config.suite, work.config.apt_sources)
        preflight.require(work.config, _PROGRAMS, lambda: apt.require_keys(stanzas))
        write_whole(sources, stanzas)
        versions = work.directory / "versions"
        note = (
            'for deb in "$1"/var/cache/apt/archives/*.deb; do'
            " dpkg-deb --show --showformat='${Package} ${Version}\\n' \"$deb\"; done"
            f" >'{versions}' && dpkg-deb --control \"$1\"/var/cache/apt/archives/libwine_*.deb"
            f' "$1"/{_HERE}/libwine'
        )
        command = [
            "mmdebstrap",
            "--mode=root",
            "--variant=extract",
            "--architectures=amd64",
            f"--setup-hook={_MERGED_USR}",
            f"--include={','.join(PACKAGES)}",
            '--aptopt=Apt::Install-Recommends "false"',
            '--aptopt=Acquire::Languages "none"',
            '--aptopt=Acquire::Retries "3"',
            *(f"--aptopt={setting}" for setting in apt.settings()),
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "locale", "doc", "info")),
            f'--extract-hook=mkdir -p "$1"/{_HERE}',
            f"--extract-hook={note}",
            work.config.suite,
            str(part),
            str(sources),
        ]
        run(confined(command), what="unpacking the image's packages", log=work.log)
        kernel = initrd.kernel_release(part)
        shutil.copyfile(part / "boot" / f"vmlinuz-{kernel}", work.directory / "vmlinuz")
        write_whole(
            work.directory / "initrd",
            initrd.build(part, kernel, MODULES, FILES / "initrd.sh", work.directory),
        )
        _configure(part)
        # The packages are unpacked and not configured; this is the one configuration that Wine needs.
        run(
            confined(["chroot", str(part), "/bin/sh", f"/{_HERE}/libwine/postinst", "configure"]),
            what="configuring libwine",
            log=work.log,
        )
        for name in _UNNEEDED:
            remove_tree(part / name)
        _make_keys(part, work.directory)
        part.rename(final)
        listed = dict(line.split(" ", 1) for line in versions.read_text().splitlines())
        return {"kernel": kernel, "packages": listed, "wine": _wine_version(final)}

    def _prefix(self, work: Work) -> Mapping[str, Any]:
        root = work.directory / "rootfs"
        remove_tree(root / "root" / ".wine")
        run(
            confined(["sh", str(FILES / "prefix.sh"), str(root)]),
            what="making the Wine prefix",
            log=work.log,
            timeout=300,
        )
        marker = root / "root" / ".wine" / "system.reg"
        if not marker.is_file():
            raise VmError("Wine made no registry", str(marker), f"see {work.log}")
        # Wine copies its DLLs into the prefix: equal files become one, on the disk and in the guest's cache.
        run(["hardlink", "--content", "--quiet", str(root)], what="joining equal files")
        return {}

    def _disk(self, work: Work) -> Mapping[str, Any]:
        part = work.directory / "disk.part"
        remove_tree(part)
        with part.open("wb") as file:
            file.truncate(DISK_MIB << 20)
        part.chmod(0o600)
        options = ["-q", "-t", "ext4", "-O", "^has_journal", "-L", "root", "-m", "0", "-E", "root_owner=0:0"]
        command = ["mke2fs", *options, "-d", str(work.directory / "rootfs"), str(part)]
        run(
            command if os.getuid() == 0 else confined(command),
            what="writing the image's disk",
        )
        part.rename(work.directory / "disk.raw")
        return {}


def _wine_version(root: Path) -> str:
    """What this Wine says that it is, for example ``10.0``: the text from which its version calls answer."""
    library = root / "usr/lib/x86_64-linux-gnu/wine/x86_64-unix/ntdll.so"
    match = _WINE_VERSION.search(library.read_bytes()) if library.is_file() else None
    if match is None:
        raise VmError("does not say which Wine it is", str(library))
    return match[1].decode()


def _configure(root: Path) -> None:
    for name in (
        "dev",
        "proc",
        "sys",
        "run",
        "tmp",
        "root/.ssh",
        "etc/dropbear",
        "usr/sbin",
        "var/tmp",
        _HERE,
    ):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "root").chmod(0o700)
    (root / "root/.ssh").chmod(0o700)
    _link(root / "usr/sbin/init", "/usr/bin/busybox")
    applets = (
        run([str(root / "usr/bin/busybox"), "--list"], what="listing busybox's applets").decode().split()
    )
    for applet in applets:
        places = [root / directory / applet for directory in ("usr/bin", "usr/sbin")]
        if not any(place.exists() or place.is_symlink() for place in places):
            _link(places[0], "busybox")
    _link(root / "usr/local/bin/wine64", "/usr/lib/wine/wine64")
    _write(root / "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    _write(root / "etc/group", "root:x:0:\ntty:x:5:\n")
    _write(root / "etc/shadow", "root:*:19000:0:99999:7:::\n", 0o600)
    _write(root / "etc/hostname", "guest\n")
    _write(root / "etc/hosts", "127.0.0.1 localhost guest\n")
    _write(root / "etc/inittab", (FILES / "inittab.in").read_text())
    for name in ("boot.sh", "ssh.sh"):
        _write(root / _HERE / name, (FILES / name).read_text(), 0o755)


def _make_keys(root: Path, directory: Path) -> None:
    """Host and client keys are made here, so that nothing is ever trusted on first use."""
    host, client = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    openssh = root / "etc/dropbear/host_key.openssh"
    write_whole(openssh, _private_openssh(host))
    convert = ["/usr/lib/dropbear/dropbearconvert", "openssh", "dropbear"]
    names = ["/etc/dropbear/host_key.openssh", "/etc/dropbear/host_key"]
    run(confined(["chroot", str(root), *convert, *names]), what="writing the guest's host key")
    openssh.unlink()
    (root / "etc/dropbear/host_key").chmod(0o600)
    write_whole(directory / "host_key.pub", _public_openssh(host) + "\n")
    write_whole(directory / "client_key", _private_openssh(client))
    write_whole(root / "root/.ssh/authorized_keys", _public_openssh(client) + " kshs\n")


def _private_openssh(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _public_openssh(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _link(path: Path, to: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(to)


def _remove_rootfs(tree: Path) -> None:
    """Removes a tree that may hold files of other (mapped) users."""
    if not tree.exists():
        return
    if os.getuid() == 0:
        remove_tree(tree)
    else:
        run(confined([require("rm"), "-rf", "--", str(tree)]), what="removing an unfinished image")
