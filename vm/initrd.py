# SPDX-License-Identifier: Apache-2.0
"""The first file system of a Linux guest: busybox, the few modules that find the disk, one script."""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from vm.commands import run
from vm.errors import VmError
from vm.files import remove_tree

_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_FORMS = (".ko", ".ko.xz", ".ko.gz", ".ko.zst")
"""How distributions store modules: Debian 12 as they are, Debian 13 as .xz, Ubuntu as .zst."""


def modules_directory(root: Path, kernel: str) -> Path:
    """Where the tree keeps the modules of this kernel; packages of Debian 12 still say /lib.

    Raises:
        VmError: it has none.
    """
    for place in (root / "usr/lib/modules" / kernel, root / "lib/modules" / kernel):
        if place.is_dir():
            return place
    raise VmError(f"has no modules of the kernel {kernel}", str(root))


def module_name(path: Path) -> str:
    """As the kernel calls the module in this file, whose name may have dashes and a compression's suffix."""
    return path.name.split(".")[0].replace("-", "_")


def module_content(path: Path) -> bytes:
    """The module as insmod of busybox takes it, unpacked.

    Raises:
        VmError: it is damaged, or its compression's program is missing.
    """
    try:
        if path.suffix == ".xz":
            return lzma.decompress(path.read_bytes())
        if path.suffix == ".gz":
            return gzip.decompress(path.read_bytes())
    except (lzma.LZMAError, OSError, EOFError) as error:
        raise VmError(f"cannot be unpacked: {error}", str(path)) from None
    if path.suffix == ".zst":
        return run(["zstd", "--decompress", "--stdout", str(path)], what="unpacking a kernel module")
    return path.read_bytes()


def kernel_release(root: Path) -> str:
    """The release of the one kernel in the tree, such as 6.1.0-9-cloud-amd64.

    Raises:
        VmError: there is none or more than one.
    """
    places = (root / "usr/lib/modules", root / "lib/modules")
    found = sorted({path.name for place in places for path in place.glob("*") if path.is_dir()})
    if len(found) != 1:
        raise VmError(f"expected one kernel, found {', '.join(found) or 'none'}", str(root))
    return found[0]


def module_order(modules: Path, wanted: Sequence[str]) -> list[Path]:
    """The files of ``wanted`` and of all that they depend on, dependencies first.

    Dependencies are read from each module's ``.modinfo``, so that no depmod run is needed; what the
    kernel has built in needs no file.

    Raises:
        VmError: neither a file nor built in.
    """
    try:
        listed = (modules / "modules.builtin").read_text().splitlines()
    except OSError as error:
        raise VmError(f"cannot be read: {error.strerror}", str(modules / "modules.builtin")) from None
    built_in = {module_name(Path(line)) for line in listed}
    found = (modules / "kernel").rglob("*.ko*")
    files = {module_name(path): path for path in found if path.name.endswith(_FORMS)}
    order: list[Path] = []

    def add(name: str) -> None:
        key = name.replace("-", "_")
        if key in built_in:
            return
        path = files.get(key)
        if path is None:
            raise VmError(f"the kernel has no module {name}", str(modules))
        if path in order:
            return
        match = _DEPENDS.search(module_content(path))
        for dependency in match[1].decode().split(",") if match else []:
            if dependency:
                add(dependency)
        order.append(path)

    for name in wanted:
        add(name)
    return order


def write_modules(order: Sequence[Path], directory: Path) -> None:
    """Puts the modules, unpacked, into ``directory``, with their order in the file ``order``."""
    names = [f"{module_name(path)}.ko" for path in order]
    for name, path in zip(names, order, strict=True):
        (directory / name).write_bytes(module_content(path))
    (directory / "order").write_text("".join(f"{name}\n" for name in names))


def build(root: Path, kernel: str, modules: Sequence[str], script: Path, scratch: Path) -> bytes:
    """A cpio archive (newc, not compressed: it is small and the guest starts sooner)."""
    tree = scratch / "initrd.part"
    remove_tree(tree)
    for name in ("bin", "modules", "proc", "sys", "dev", "root"):
        (tree / name).mkdir(parents=True)
    busybox = root / "usr/bin/busybox"
    shutil.copy(busybox, tree / "bin/busybox")
    (tree / "bin/sh").symlink_to("busybox")
    write_modules(module_order(modules_directory(root, kernel), modules), tree / "modules")
    shutil.copyfile(script, tree / "init")
    (tree / "init").chmod(0o755)
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    archive = run(
        ["sh", "-c", 'cd "$1" && exec "$2" cpio -o -H newc', "cpio", str(tree), str(busybox.absolute())],
        what="packing the initrd",
        input="\n".join(names).encode() + b"\n",
    )
    remove_tree(tree)
    return archive
