# SPDX-License-Identifier: Apache-2.0
"""The first file system of a Linux guest: busybox, the few modules that find the disk, one script."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from vm.commands import run
from vm.errors import VmError
from vm.files import remove_tree

_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


def kernel_release(root: Path) -> str:
    """The release of the one kernel in the tree, such as 6.1.0-9-cloud-amd64.

    Raises:
        VmError: there is none or more than one.
    """
    found = sorted(path.name for path in (root / "usr/lib/modules").glob("*") if path.is_dir())
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
    built_in = {
        Path(line).stem.replace("-", "_") for line in (modules / "modules.builtin").read_text().splitlines()
    }
    files = {path.stem.replace("-", "_"): path for path in (modules / "kernel").rglob("*.ko")}
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
        match = _DEPENDS.search(path.read_bytes())
        for dependency in match[1].decode().split(",") if match else []:
            if dependency:
                add(dependency)
        order.append(path)

    for name in wanted:
        add(name)
    return order


def build(root: Path, kernel: str, modules: Sequence[str], script: Path, scratch: Path) -> bytes:
    """A cpio archive (newc, not compressed: it is small and the guest starts sooner)."""
    tree = scratch / "initrd.part"
    remove_tree(tree)
    for name in ("bin", "modules", "proc", "sys", "dev", "root"):
        (tree / name).mkdir(parents=True)
    busybox = root / "usr/bin/busybox"
    shutil.copy(busybox, tree / "bin/busybox")
    (tree / "bin/sh").symlink_to("busybox")
    order = module_order(root / "usr/lib/modules" / kernel, modules)
    for path in order:
        shutil.copyfile(path, tree / "modules" / path.name)
    (tree / "modules/order").write_text("".join(f"{path.name}\n" for path in order))
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
