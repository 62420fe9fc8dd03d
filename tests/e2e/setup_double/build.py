# SPDX-License-Identifier: Apache-2.0
"""Writes the setup double: an ISO that boots where a Windows medium would, and behaves as one from outside.

Made of Debian packages and of the root file system of the wine image.  The ISO is UDF with Joliet names and
carries a real ``sources/install.wim``, so that the media checks read it as they read Microsoft's.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pycdlib
from filelock import FileLock

from tests.component import standins
from vm import image, initrd
from vm.commands import require
from vm.config import VmConfig
from vm.files import digest_of, private_directory, remove_tree
from vm.windows.domain import firmware_pair

HERE = Path(__file__).parent
FAULTS = (
    "hang-in-setup",
    "wrong-edition",
    "first-logon-failure",
    "reboot-loop",
    "no-network",
    "sshd-missing",
    "disk-full",
)
EDITION = "ServerStandardEval"
BUILD = 26100
IMAGES = (("Double Standard Core", "ServerCoreEval"), ("Double Standard", EDITION))
_FAULT_SIZE = 64  # bytes of the file that names the faults; patched in place
_MODULES = (
    "ahci",
    "sd_mod",
    "sr_mod",
    "udf",
    "isofs",
    "vfat",
    "nls_ascii",
    "nls_cp437",
    "crc32c_generic",
    "ext4",
    "e1000e",
    "pvpanic-mmio",
)
_GRUB_COMMON = (
    "normal",
    "linux",
    "search",
    "search_fs_file",
    "configfile",
    "echo",
    "test",
    "sleep",
    "all_video",
)
_BIOS = (*_GRUB_COMMON, "linux16", "biosdisk", "iso9660", "part_msdos", "fat")
_UEFI = (*_GRUB_COMMON, "iso9660", "part_gpt", "fat", "efi_gop")


@dataclass(frozen=True)
class Double:
    """The ISO without a fault, and where in it the names of faults stand."""

    iso: Path
    fault_at: int

    def with_faults(self, names: Sequence[str], target: Path) -> Path:
        """A copy of the ISO with these faults."""
        assert set(names) <= set(FAULTS)
        text = ",".join(names)
        assert len(text) <= _FAULT_SIZE
        subprocess.run(["cp", "--reflink=auto", str(self.iso), str(target)], check=True)
        with target.open("r+b") as file:
            file.seek(self.fault_at)
            file.write(text.encode().ljust(_FAULT_SIZE))
        return target


def ensure(config: VmConfig) -> Double:
    """The double for the present wine image; kept in the cache, made again when anything in it changed."""
    wine = image.ensure(config)
    kernel = _kernel_package()
    digest = digest_of(
        {
            "wine": wine.digest,
            "kernel": kernel,
            "files": {path.name: path.read_text() for path in sorted(HERE.iterdir()) if path.is_file()},
            "standin": Path(standins.__file__).with_name("standin.c").read_text(),
            "standins": sorted(standins.REASONS),
        }
    )
    folder = private_directory(private_directory(config.cache_dir / "setup-double") / digest[:16])
    iso = folder / "double.iso"
    with FileLock(folder.parent / "lock"):
        for other in folder.parent.iterdir():
            if other.is_dir() and other != folder and not other.name.startswith("kernel-"):
                remove_tree(other)
        if not iso.exists():
            remove_tree(folder / "work")
            work = private_directory(folder / "work")
            _write_iso(_contents(config, wine, kernel, work), work, folder / "double.part")
            (folder / "double.part").rename(iso)
            remove_tree(work)
    return Double(iso, _fault_offset(iso))


def _kernel_package() -> str:
    text = _output("apt-cache", "depends", "linux-image-amd64")
    match = re.search(r"Depends: (linux-image-\S+)", text)
    assert match is not None, "apt knows no linux-image-amd64; run apt-get update"
    return match[1]


def _output(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def _kernel_tree(config: VmConfig, package: str) -> Path:
    """The unpacked kernel package; Debian's cloud kernel, which the wine image has, knows no AHCI."""
    tree = config.cache_dir / "setup-double" / f"kernel-{package}"
    if not tree.exists():
        part = private_directory(tree.with_suffix(".part"))
        subprocess.run(
            ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", package],
            cwd=part,
            check=True,
            capture_output=True,
        )
        (package_file,) = part.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", str(package_file), str(part / "root")], check=True)
        (part / "root").rename(tree)
        remove_tree(part)
    return tree


def _contents(config: VmConfig, wine: image.Image, package: str, work: Path) -> Mapping[str, Path]:
    tree = _kernel_tree(config, package)
    release = package.removeprefix("linux-image-")
    kernel = tree / "boot" / f"vmlinuz-{release}"
    archive = _initrd(initrd.modules_directory(tree, release), work)
    find = HERE / "grub-find.cfg"
    # What is built into the image is read by GRUB's simplest parser, which has no `if`.
    text = (HERE / "grub-disk.cfg").read_text()
    disk, disk_bios = work / "disk.cfg", work / "disk-bios.cfg"
    disk.write_text(text.replace("@16@", ""))
    disk_bios.write_text(text.replace("@16@", "16"))
    medium_efi = _grub("x86_64-efi", find, _UEFI, work / "medium.efi")
    disk_efi = _grub("x86_64-efi", disk, _UEFI, work / "disk.efi")
    efi = _fat(work / "efi.img", 4, {"EFI/BOOT/BOOTX64.EFI": medium_efi})
    boot = _fat(
        work / "boot.fat",
        64,
        {"EFI/BOOT/BOOTX64.EFI": disk_efi, "kshs/vmlinuz": kernel, "kshs/initrd": archive},
    )
    pack, packed = _pack(wine.disk, work)
    fault, images = work / "fault", work / "images"
    fault.write_bytes(b"none".ljust(_FAULT_SIZE))
    images.write_text("".join(f"{n} {edition}\n" for n, (_, edition) in enumerate(IMAGES, start=1)))
    return {
        "boot/bios.img": _grub("i386-pc-eltorito", find, _BIOS, work / "bios.img"),
        "boot/efi.img": efi,
        "double/boot.fat": boot,
        "double/boot.img": Path("/usr/lib/grub/i386-pc/boot.img"),
        "double/core.img": _grub("i386-pc", disk_bios, _BIOS, work / "core.img"),
        "double/fault": fault,
        "double/grub.cfg": HERE / "grub-medium.cfg",
        "double/images": images,
        "double/initrd": archive,
        "double/root.map": packed,
        "double/root.pack": pack,
        "double/vmlinuz": kernel,
        "sources/install.wim": _wim(work),
    }


def _grub(form: str, config: Path, modules: tuple[str, ...], target: Path) -> Path:
    subprocess.run(
        ["grub-mkimage", "-O", form, "-p", "/double", "-c", str(config), "-o", str(target), *modules],
        check=True,
    )
    return target


def _fat(target: Path, mib: int, files: Mapping[str, Path]) -> Path:
    """A FAT file system without a partition table, as an EFI system partition or an El Torito image is."""
    with target.open("wb") as file:
        file.truncate(mib << 20)
    width = ["-F", "32"] if mib >= 64 else []
    subprocess.run(
        [require("mkfs.vfat"), *width, "-n", "SYSTEM", str(target)], check=True, capture_output=True
    )
    made: set[str] = set()
    for name, path in files.items():
        parts = name.split("/")
        for end in range(1, len(parts)):
            folder = "/".join(parts[:end])
            if folder not in made:
                subprocess.run(["mmd", "-i", str(target), f"::{folder}"], check=True)
                made.add(folder)
        subprocess.run(["mcopy", "-i", str(target), str(path), f"::{name}"], check=True)
    return target


def _initrd(modules: Path, work: Path) -> Path:
    tree = work / "initrd.tree"
    for name in ("bin", "sbin", "modules", "double", "proc", "sys", "dev", "root", "cd", "tmp", "lib64"):
        (tree / name).mkdir(parents=True)
    busybox = Path(require("busybox"))
    shutil.copy(busybox, tree / "bin/busybox")
    for applet in _output(str(busybox), "--list").split():
        if not (tree / "bin" / applet).exists():
            (tree / "bin" / applet).symlink_to("busybox")
    sfdisk = Path(require("sfdisk"))
    for path in [sfdisk, *_libraries(sfdisk)]:
        target = tree / ("sbin/sfdisk" if path == sfdisk else path.relative_to("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    initrd.write_modules(initrd.module_order(modules, _MODULES), tree / "modules")
    for path in sorted(HERE.iterdir()):
        if path.suffix not in (".py", ".cfg") and path.is_file():
            shutil.copy(path, tree / "double" / path.name)
    standin_work = work / "standin"
    standin_work.mkdir()
    shutil.copy(standins.build(standin_work), tree / "double/standin.exe")
    (tree / "double/standins").write_text("".join(f"{name}\n" for name in standins.REASONS))
    (tree / "double/path").write_text(standins.StandIns.PATH)
    shutil.copy(HERE / "init.sh", tree / "init")
    (tree / "init").chmod(0o755)
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    packed = subprocess.run(
        ["busybox", "cpio", "-o", "-H", "newc"],
        cwd=tree,
        input="\n".join(names).encode() + b"\n",
        check=True,
        capture_output=True,
    )
    target = work / "initrd"
    target.write_bytes(packed.stdout)
    return target


def _libraries(program: Path) -> list[Path]:
    return [Path(name) for name in re.findall(r"(/\S+) \(0x", _output("ldd", str(program)))]


def _pack(disk: Path, work: Path) -> tuple[Path, Path]:
    """The parts of a sparse disk that hold data, one behind the other, and the map of their places."""
    pack, packed = work / "root.pack", work / "root.map"
    with disk.open("rb") as source, pack.open("wb") as target, packed.open("w") as lines:
        for first, count in _filled(source.fileno()):
            lines.write(f"{first} {count}\n")
            source.seek(first << 20)
            shutil.copyfileobj(_Limited(source, count << 20), target, 1 << 20)
    return pack, packed


class _Limited:
    """The next bytes of a file, and no more."""

    def __init__(self, source: object, size: int) -> None:
        self._source, self._left = source, size

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._source.read(min(size, self._left))  # type: ignore[attr-defined]
        self._left -= len(data)
        return data


def _filled(descriptor: int) -> Iterator[tuple[int, int]]:
    """First MiB and number of MiB of each stretch that is not a hole."""
    size = os.fstat(descriptor).st_size
    used: set[int] = set()
    at = 0
    while at < size:
        try:
            begin = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:
            break
        at = os.lseek(descriptor, begin, os.SEEK_HOLE)
        used.update(range(begin >> 20, ((at - 1) >> 20) + 1))
    numbers = sorted(used)
    start = 0
    for place in range(1, len(numbers) + 1):
        if place == len(numbers) or numbers[place] != numbers[place - 1] + 1:
            yield numbers[start], place - start
            start = place


def _wim(work: Path) -> Path:
    """A true WIM with the properties that Windows media carry."""
    content = work / "content"
    content.mkdir()
    (content / "readme.txt").write_text("The setup double installs no Windows.\n" * 200)
    target = work / "install.wim"
    for number, (name, edition) in enumerate(IMAGES, start=1):
        properties = {
            "DISPLAYNAME": name,
            "WINDOWS/ARCH": "9",
            "WINDOWS/EDITIONID": edition,
            "WINDOWS/INSTALLATIONTYPE": "Server",
            "WINDOWS/LANGUAGES/LANGUAGE": "en-US",
            "WINDOWS/LANGUAGES/DEFAULT": "en-US",
            "WINDOWS/VERSION/MAJOR": "10",
            "WINDOWS/VERSION/MINOR": "0",
            "WINDOWS/VERSION/BUILD": str(BUILD),
            "WINDOWS/VERSION/SPBUILD": "1",
        }
        options = [f"--image-property={key}={value}" for key, value in properties.items()]
        verb = "capture" if number == 1 else "append"
        subprocess.run(
            ["wimlib-imagex", verb, str(content), str(target), name, *options],
            check=True,
            capture_output=True,
        )
    return target


def _write_iso(files: Mapping[str, Path], work: Path, target: Path) -> None:
    iso = pycdlib.PyCdlib()
    iso.new(udf="2.60", joliet=3, interchange_level=3, vol_ident="SETUP_DOUBLE")
    for folder in sorted({name.split("/")[0] for name in files}):
        iso.add_directory(f"/{folder.upper()}", joliet_path=f"/{folder}", udf_path=f"/{folder}")
    for name, path in files.items():
        folder, base = name.split("/")
        stem, _, suffix = base.upper().partition(".")
        iso.add_file(
            str(path),
            f"/{folder.upper()}/{stem}.{suffix};1",
            joliet_path=f"/{name}",
            udf_path=f"/{name}",
        )
    iso.add_eltorito("/BOOT/BIOS.IMG;1", "/BOOT.CAT;1", boot_load_size=4, boot_info_table=True)
    iso.add_eltorito("/BOOT/EFI.IMG;1", efi=True, platform_id=0xEF)
    iso.write(str(target))
    iso.close()


def _fault_offset(path: Path) -> int:
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    try:
        return int(iso.get_record(joliet_path="/double/fault").extent_location()) * 2048
    finally:
        iso.close()


def firmware_is_there() -> bool:
    """Whether the UEFI firmware can be had."""
    return firmware_pair().code.is_file()
