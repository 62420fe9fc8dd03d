# SPDX-License-Identifier: Apache-2.0
"""A sealed image of Windows' shape, made in seconds: for what concerns leases and not the way to the image.

Its machine is the one that Windows has (q35, OVMF, SATA, e1000e, a TPM where asked); its disk has an EFI
system partition with GRUB and Debian's kernel, and the root file system of the wine image, so its family is
`wine`.  The setup double (setup_double/) is what goes the whole way.
"""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from tests.e2e.setup_double import build as double
from vm import image, initrd
from vm.commands import require
from vm.config import VmConfig
from vm.files import digest_of, private_directory, remove_tree, write_json
from vm.windows import sealed, tpm
from vm.windows.answer_file import ACCOUNT
from vm.windows.domain import firmware_pair
from vm.windows.profile import Firmware, WindowsProfile

_ESP_MIB = 64
_MODULES = ("ahci", "sd_mod", "crc32c_generic", "ext4", "e1000e", "pvpanic-mmio")
_ARGUMENTS = (
    "quiet mitigations=off nokaslr norandmaps no_timer_check net.ifnames=0 panic=-1 "
    "random.trust_bootloader=on"
)
_GRUB = f"""\
search --no-floppy --file --set=root /kshs/vmlinuz
linux /kshs/vmlinuz {_ARGUMENTS} rng_core.default_quality=1000
initrd /kshs/initrd
boot
"""
_INIT = f"""\
#!/bin/sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
while read -r module; do
    $b insmod "/modules/$module"
done </modules/order
until $b mount -t ext4 -o rw,noatime /dev/sda2 /root; do
    $b usleep 10000
done
# The account that a Windows guest has.
if ! $b grep -q '^{ACCOUNT}:' /root/etc/passwd; then
    $b echo '{ACCOUNT}:x:0:0::/root:/bin/sh' >>/root/etc/passwd
    $b echo '{ACCOUNT}:*:19000:0:99999:7:::' >>/root/etc/shadow
fi
$b mount --move /dev /root/dev
$b mount --move /proc /root/proc
exec $b switch_root /root /sbin/init
"""


def disk(config: VmConfig) -> tuple[Path, image.Image]:
    """The raw disk, kept in the cache and made anew when what is in it changes; and the image of its root."""
    wine = image.ensure(config)
    package = double._kernel_package()
    inputs = [wine.digest, package, _MODULES, _GRUB, _INIT]
    folder = private_directory(config.cache_dir / "windows-shaped")
    target = folder / f"{digest_of(inputs)[:16]}.raw"
    with FileLock(folder / "lock"):
        if not target.exists():
            for old in folder.glob("*.raw"):
                remove_tree(old)
            remove_tree(folder / "work")  # of a process that was killed
            work = private_directory(folder / "work")
            try:
                _write(double._kernel_tree(config, package), package, wine.disk, work)
                (work / "disk").rename(target)
            finally:
                remove_tree(work)
    return target, wine


def _write(tree: Path, package: str, root: Path, work: Path) -> None:
    release = package.removeprefix("linux-image-")
    (work / "grub.cfg").write_text(_GRUB)
    (work / "init").write_text(_INIT)
    here = work / "tree/usr"
    (here / "lib").mkdir(parents=True)
    (here / "bin").mkdir()
    (here / "lib/modules").symlink_to(initrd.modules_directory(tree, release).parent)
    (here / "bin/busybox").symlink_to(require("busybox"))
    archive = work / "initrd"
    archive.write_bytes(initrd.build(work / "tree", release, _MODULES, work / "init", work))
    loader = double._grub("x86_64-efi", work / "grub.cfg", double._UEFI, work / "loader.efi")
    files = {
        "EFI/BOOT/BOOTX64.EFI": loader,
        "kshs/vmlinuz": tree / "boot" / f"vmlinuz-{release}",
        "kshs/initrd": archive,
    }
    esp = double._fat(work / "esp", _ESP_MIB, files)
    target = work / "disk"
    with target.open("wb") as file:
        file.truncate(root.stat().st_size + ((_ESP_MIB + 2) << 20))
    layout = f"label: gpt\nfirst-lba: 2048\nsize={_ESP_MIB}MiB, type=U\ntype=L\n"
    subprocess.run([require("sfdisk"), "--quiet", str(target)], input=layout.encode(), check=True)
    for source, at in ((esp, 1), (root, 1 + _ESP_MIB)):
        subprocess.run(
            ["dd", f"if={source}", f"of={target}", "bs=1M", f"seek={at}", "conv=sparse,notrunc"],
            check=True,
            capture_output=True,
        )


def seal(config: VmConfig, disks: VmConfig, profile: WindowsProfile, **manifest: Any) -> sealed.WindowsImage:
    """Puts a sealed image of this profile into the cache of `config`; `disks`: whose cache has the disk."""
    raw, wine = disk(disks)
    home = sealed.home(config, profile.name)
    home.parent.mkdir(parents=True, exist_ok=True)
    private_directory(home)
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(raw), str(home / "disk.qcow2")],
        check=True,
    )
    if profile.firmware is Firmware.UEFI:
        shutil.copyfile(firmware_pair().variables, home / "uefi-vars.fd")
    if profile.tpm:
        tpm.manufacture(home / "tpm")
    shutil.copy2(wine.client_key, home / "client_key")
    shutil.copy2(wine.path / "host_key.pub", home / "host_key.pub")
    content = {
        "digest": digest_of([wine.digest, profile.name]),
        "name": profile.name,
        "family": "wine",
        "profile": profile.model_dump(mode="json"),
        "installed": datetime.now(UTC).isoformat(timespec="seconds"),
        "evaluation_days": profile.evaluation_days,
        "medium": {"path": "/media/none.iso"},
        "disk_sha256": digest_of(str(raw)),
        **manifest,
    }
    write_json(home / "manifest.json", content)
    found = sealed.find(config, profile.name)
    assert found is not None
    return found
